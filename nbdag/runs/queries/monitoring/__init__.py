"""Queries for monitoring: lists, changes, calendars, schedulers, numbers, badges, and this machine's health."""
