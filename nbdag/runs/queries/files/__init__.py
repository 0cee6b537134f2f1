"""Queries about files that runs have stored: pinned notebooks, values, logs and reports."""
