"""Planning of a run: from a `Dag` and the states of its tasks to moves, claims of slots, and jobs."""
