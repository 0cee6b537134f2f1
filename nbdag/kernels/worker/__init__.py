"""The worker process: it writes a task's notebook, lets papermill execute the notebook, and reports the result."""
