"""Tasks, found by name: a module, or a package with what the task alone needs.

``data`` and ``nets`` are shared by several.
"""
