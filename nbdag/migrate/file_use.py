"""Find pairs of cells that may use the same file, although nbdag's analysis finds no common path in their code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..core.cells.source import Python, to_python
from ..core.dataflow.file_order import file_calls, path_constants
from .cell_roles import Role
from .pieces import Piece

# Calls that depend on which files a folder contains.
_LISTS = frozenset(
    {"exists", "getsize", "glob", "iglob", "is_file", "iterdir", "listdir", "rglob", "scandir", "stat", "walk"}
)
_SHELL = frozenset({"system", "getoutput", "run_cell_magic", "check_output", "check_call", "Popen"})
_FILE_NAME = re.compile(
    r"[\w./ -]+\.(?:csv|tsv|txt|json|jsonl|md|xml|html|ya?ml|toml|npy|npz|pkl|pickle|joblib|pt|pth|h5|hdf5|parquet"
    r"|feather|xlsx?|db|sqlite3?|png|jpe?g|gif|svg|pdf|zip|gz|bz2|tar|log|dat|gml|graphml|wav)"
)


def uses_files(source: str) -> bool:
    """Return whether a cell reads, writes or lists files, or runs another program."""
    python = to_python(source)
    return isinstance(python, Python) and (
        any(True for _ in file_calls(python.tree, {}))
        or any(True for _ in _hidden(python.tree))
        or bool(_names(python.tree, {}))
    )


def unshown_pairs(pieces: Sequence[Piece], positions: Iterable[int]) -> dict[tuple[int, int], str]:
    """Find pairs of pieces of which one may write a file that the other uses.

    Return for each pair why the second piece must run later. Omit pairs that nbdag's analysis finds itself: both pieces
    pass the file's literal name to a function that the analysis knows.
    """
    positions = sorted(positions)
    trees = {position: to_python(piece.source) for position, piece in enumerate(pieces) if piece.role}
    shared = [
        tree.tree
        for position, tree in trees.items()
        if isinstance(tree, Python) and pieces[position].role in (Role.SETUP, Role.PARAMETERS)
    ]
    constants = path_constants(shared)
    calls: dict[int, list[tuple[str, str]]] = {}
    names: dict[int, set[str]] = {}
    for position in positions:
        tree = trees[position]
        if isinstance(tree, Python):
            calls[position] = [(path, how) for path, how, _ in file_calls(tree.tree, constants)]
            calls[position] += _hidden(tree.tree)
            names[position] = _names(tree.tree, constants)
    found: dict[tuple[int, int], str] = {}
    for below in names:
        for above in [each for each in names if each < below]:
            both = [*calls[above], *calls[below]]
            unknown = any(not path for path, _ in both) and calls[above] and calls[below]
            common = {
                name
                for name in names[above] & names[below]
                if not all((name, "r") in calls[each] for each in (above, below))
                and not all(any(path == name for path, _ in calls[each]) for each in (above, below))
            }
            if common:
                found[above, below] = f"both use {', '.join(sorted(common))}"
            elif unknown and any(how != "r" for _, how in both):
                found[above, below] = "both use files, and the code does not show which"
    return found


def _hidden(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield a use of an unknown file for each call that lists a folder or runs another program."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in _LISTS:
                yield "", "r"
            elif name in _SHELL:
                yield "", "c"


def _names(tree: ast.Module, constants: Mapping[str, str]) -> set[str]:
    """Return the texts that look like names of files: literals, and the values of constants."""
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    texts += [constants[node.id] for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in constants]
    return {text for text in texts if _FILE_NAME.fullmatch(text)}
