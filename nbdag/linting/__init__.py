"""The linter: explain the codes of problems, select and repair problems, and print them for other programs.

`core.dataflow` finds the problems. This package has the explanation of each code (`explanations`), the codes that a
command or `pyproject.toml` selects (`selection`), formats for editors and CI (`formats`), and the repairs (`repairs`).
"""

from __future__ import annotations
