"""When a pipeline runs: cron ticks, intervals and time zones."""
