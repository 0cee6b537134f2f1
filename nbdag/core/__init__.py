"""The rules: what a notebook means, and what a run does next. Pure: no file, kernel, clock, network or database."""
