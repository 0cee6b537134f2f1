"""What each task takes from which: all cells of a notebook become a `Dag`."""
