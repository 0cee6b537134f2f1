"""Creating a run: check all that must be right first, then record it in the store."""
