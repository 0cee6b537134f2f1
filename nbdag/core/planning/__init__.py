"""What a run does next: from a `Dag` and the states of its tasks to moves, claims and jobs."""
