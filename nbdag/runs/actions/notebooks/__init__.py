"""Actions on a notebook file: check and repair it, propose its tasks, import and export it."""
