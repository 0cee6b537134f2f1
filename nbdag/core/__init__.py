"""The rules: the meaning of a notebook, and the next moves of a run.

Everything here is pure: no file, kernel, clock, network or database.
"""
