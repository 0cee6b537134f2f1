"""The open notebook, for a host that edits it: analysis, tags, headers as forms, and the start of a run."""
