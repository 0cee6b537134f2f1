"""The code that runs inside a task's kernel, around the user's cells.

The cells that nbdag adds to a task's notebook call `runtime`. `messages` defines the plain data that `runtime` receives
and publishes. This package starts no kernel.
"""
