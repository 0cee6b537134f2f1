"""Processes: which one this is, whether another is still alive, and how a whole tree of them is ended."""
