"""The confirmation: a race, its verdict, its file."""
