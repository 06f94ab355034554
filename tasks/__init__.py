"""Tasks: one file each, found by name; files that begin with an underscore are shared by several."""
