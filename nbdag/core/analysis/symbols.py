"""The global names that a piece of code may use, according to Python's module `symtable`.

The result is coarser than the result of `names`: a name that any function reads counts, even if no code calls the
function. Callers use this module if they do not know which functions will be called.
"""

from __future__ import annotations

import ast
import symtable


def global_reads(code: ast.Module) -> set[str]:
    """Return the global names that the code reads, at the top level or in any of its functions."""
    top = _table(code)
    if top is None:
        return {node.id for node in ast.walk(code) if isinstance(node, ast.Name)}
    found: set[str] = set()
    ahead = [top]
    while ahead:
        table = ahead.pop()
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (table is top or symbol.is_global()):
                found.add(symbol.get_name())
        ahead += table.get_children()
    return found


def top_level_names(code: ast.Module) -> set[str]:
    """Return the names that the code sets at the top level."""
    top = _table(code)
    symbols = [] if top is None else top.get_symbols()
    return {each.get_name() for each in symbols if each.is_assigned() or each.is_imported()}


def _table(code: ast.Module) -> symtable.SymbolTable | None:
    try:
        return symtable.symtable(ast.unparse(code), "cell", "exec")
    except (SyntaxError, ValueError, RecursionError):  # the code has IPython syntax, or is nested too deeply
        return None
