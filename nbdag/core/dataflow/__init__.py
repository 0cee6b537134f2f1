"""Data flow between tasks: build a `Dag` from all cells of a notebook."""
