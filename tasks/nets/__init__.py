"""Networks that several tasks may train, their sites inside.

No task by itself: it brings no class.
"""
