"""Tasks: one file each, found by name.

Files that begin with an underscore are shared by several.
"""
