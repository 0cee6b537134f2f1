"""Executing runs: in the foreground, as the scheduler's daemon, with their report and notifications."""
