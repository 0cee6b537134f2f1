"""The schedule of a pipeline: cron ticks, intervals and time zones."""
