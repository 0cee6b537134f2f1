"""Frozen values that all other packages use: a notebook as a `Dag`, an attempt as a `Job`, states and events."""
