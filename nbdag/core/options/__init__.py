"""The options of a header, the types of their values, and their help."""
