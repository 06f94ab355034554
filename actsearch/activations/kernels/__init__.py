"""Autograd rules that keep less in memory and run faster than the formula."""
