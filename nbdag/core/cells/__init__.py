"""Parse the cells of a notebook: headers, kinds of cells, Python source."""
