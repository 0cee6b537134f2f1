"""The law: a task sees exactly what a run of the notebook from top to bottom would leave it."""
