"""Comparisons for the page: of two runs, and of two versions of a notebook."""
