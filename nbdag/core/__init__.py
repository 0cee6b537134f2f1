"""Pure rules: they determine the tasks and edges of a notebook, and the next steps of a run.

Everything here is pure: no file, kernel, clock, network or database.
"""
