"""Frozen classes that all other packages use: `Dag` for a notebook, `Job` for an attempt, states and events."""
