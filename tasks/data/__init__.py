"""Data that several tasks may train on, by kind.

No task by itself: it brings no class.
"""
