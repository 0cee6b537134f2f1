"""Plan a run: from the states of its tasks, compute which states change, which tasks start, and their jobs."""
