"""The front end: messages for pages that show a pipeline, and the Jupyter widget that sends and receives them.

`messages` defines every message. `graph` lays out a notebook's graph. `status` computes task statuses. `task` returns
the details of a task, `outputs` the outputs of an attempt, and `history` the earlier runs. `watcher` reports changes of
runs, and `actions` starts and cancels runs. Only `widget` depends on Jupyter, so a web server can send the same
messages.
"""
