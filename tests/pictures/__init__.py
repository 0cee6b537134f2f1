"""The pictures of the README, each made by one command from the real program: see `__main__.py`."""
