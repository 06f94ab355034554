"""The measures that come along: one a file, under its own name; the registry finds them here."""
