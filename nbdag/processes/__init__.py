"""Processes: their identity, whether they are alive, and how to kill a whole tree of them."""
