"""Rehearse a notebook: run it twice, and report what would make a scheduled run differ from the saved notebook."""
