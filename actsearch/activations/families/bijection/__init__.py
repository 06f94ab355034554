"""Bijections of the real line onto itself, with inverse and log-derivative."""
