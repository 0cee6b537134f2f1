"""Static analysis of one cell: the names and objects that its code reads, binds and changes.

`objects` models objects, `scopes` Python's scoping, `known` the behaviour of common libraries. `effects`, `follow`,
`calls`, `expressions`, `shell`, `bindings` and `statements` walk the syntax; each extends the class of the one before.
The entry point is `names.uses`.
"""
