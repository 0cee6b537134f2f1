"""Compare two outputs of a cell: texts, tables, images, and data of JSON."""
