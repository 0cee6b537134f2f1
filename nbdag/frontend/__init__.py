"""The front end: messages for pages that show a pipeline, and the Jupyter widget that carries them.

`messages` defines every message. `graph` lays out a notebook's graph, `status` computes task statuses,
`task` the details of one task, `outputs` the outputs of its attempts, and `history` the earlier runs.
`watcher` reports changes of runs, and `actions` starts and cancels runs. Only `widget` depends on Jupyter;
a web server could send the same messages.
"""
