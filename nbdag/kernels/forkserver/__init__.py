"""The fork server: a process that imports packages once, then forks a kernel or a worker for each request.

`client` asks for a child, `server_registry` finds or starts the server, `server` is its process, and `child` sets up
what it forks. `server_spec` says which requests can share a server, `preload` and `importing` which modules it
imports, and `framing` how messages cross the socket.
"""
