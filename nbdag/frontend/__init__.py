"""What a front end is told of a pipeline, whatever carries the message: a widget's comm, or a web page's requests.

`messages` is the description of all that is said, both ways. `picture` lays a notebook out, `standing` says how its
tasks do, `task` tells all of one task, `outputs` what its attempts put out, `history` what earlier runs did; `watch`
notices when any run moves, whoever drives it, and `acts` does what is asked for. Nothing here knows of a widget, a
kernel or a server.
"""
