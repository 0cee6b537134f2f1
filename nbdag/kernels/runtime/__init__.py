"""What runs inside a task's kernel, around the user's cells.

`runtime` is called by the cells that nbdag adds to a task's notebook; `messages` is the plain data that it reads and
reports. Nothing here starts a kernel.
"""
