"""How a cell's code is read: what its names may stand for, and what happens to them.

`objects` says what is believed of objects; `scopes` is Python's scoping; `known` lists what is known of libraries;
`effects`, `follow`, `calls`, `expressions`, `shell`, `bindings` and `statements` walk the syntax, each built on the one
before. The way in is `core.names.uses`.
"""
