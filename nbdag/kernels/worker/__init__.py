"""The worker process: it writes a task's notebook, has papermill execute it, and reports the result."""
