"""The rules: what a notebook means, and what a run does next.

Everything here is pure: no file, kernel, clock, network or database.
"""
