"""Which of a module's names a piece of code has to do with, by Python's own symbol table.

Coarser than `names`, which follows what code does: here a name that any function looks up counts, whether or not the
function is called. So it can be asked what code could need, when it is only known that it will be there.
"""

from __future__ import annotations

import ast
import symtable


def looked_up(code: ast.Module) -> set[str]:
    """The names that it reads at the top level, and those that its functions read from there, whenever they run."""
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


def bound(code: ast.Module) -> set[str]:
    """The names that it sets at the top level."""
    top = _table(code)
    symbols = [] if top is None else top.get_symbols()
    return {each.get_name() for each in symbols if each.is_assigned() or each.is_imported()}


def _table(code: ast.Module) -> symtable.SymbolTable | None:
    try:
        return symtable.symtable(ast.unparse(code), "cell", "exec")
    except (SyntaxError, ValueError, RecursionError):  # what only IPython takes, or is nested too deep
        return None
