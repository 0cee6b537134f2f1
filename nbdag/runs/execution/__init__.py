"""Execute runs, in the foreground or as a scheduler; write their reports, notify, and recover."""
