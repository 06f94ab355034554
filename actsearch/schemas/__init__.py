"""The published JSON schemas of the two files that people write and read, beside this file."""
