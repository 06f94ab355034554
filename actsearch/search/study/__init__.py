"""The study: its configuration, its record, its place."""
