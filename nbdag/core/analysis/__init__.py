"""Static analysis of one cell: the names and objects that its code reads, binds and changes.

`objects` models objects, `scopes` models Python's scoping, and `known` lists the behaviour of common libraries.
`effects`, `function_calls`, `calls`, `expressions`, `shell`, `bindings` and `statements` walk the syntax tree. Each of
these modules has one main class, which extends the class of the module before it in this list. The entry point is
`names.uses`.
"""
