"""The fork server: a process that imports packages once, then forks a kernel or a worker for each request.

`client` requests children, `server_registry` finds or starts the server, `server` is its process, and
`child` sets up a forked child. `server_spec` decides which requests share a server. `preload` and
`importing` decide which modules a server imports. `framing` defines how messages cross the socket.
"""
