"""Queries for those who watch: lists, changes, calendars, schedulers, numbers, badges, and this machine's health."""
