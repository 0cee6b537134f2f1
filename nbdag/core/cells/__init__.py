"""From the cells of a notebook to what each of them is: headers, kinds, Python source."""
