"""Names for proposed tasks: from the heading above, else from what the code does and writes."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Collection, Sequence

from ..core.cells.source import Python, to_python

MOST_WORDS = 4
_HEADING = re.compile(r"^\s*#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
_FILLER = frozenset({"a", "an", "and", "for", "in", "of", "on", "our", "part", "section", "step", "the", "to", "with"})
# Calls that tell what a cell does: a verb, and the names of functions and methods.
_CALLS = {
    "save": "dump save savefig save_model to_csv to_excel to_json to_parquet to_sql",
    "train": "fit fit_transform train fit_predict partial_fit",
    "split": "train_test_split",
    "load": "load_dataset read_csv read_excel read_json read_parquet read_sql read_html read_table load_iris load_wine"
    " load_diabetes load_digits load_breast_cancer load_data",
    "evaluate": "accuracy_score classification_report confusion_matrix cross_val_score score",
    "predict": "predict predict_proba",
    "plot": "bar boxplot heatmap hist imshow pairplot plot scatter show countplot",
    "clean": "dropna drop_duplicates fillna replace",
    "join": "concat join merge",
    "aggregate": "agg groupby pivot_table",
}


def heading(markdown: str) -> str:
    """Return the text of the last heading of a markdown cell, or ""."""
    found = _HEADING.findall(markdown)
    return str(found[-1]) if found else ""


def slug(text: str) -> str:
    """Return a heading as the name of a task, or "" if it has no letters: "2. Load the data" is load_data."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = [word for word in re.findall(r"[a-z][a-z0-9]*", plain) if word not in _FILLER]
    return "_".join(words[:MOST_WORDS])


def from_code(code: str, written: Sequence[str]) -> str:
    """Return a name that says what the code does, and with which of the names that later tasks read."""
    does, target = verb(code), next((name.strip("_").lower() for name in written if name.strip("_")), "")
    if does and target and does != target:
        return f"{does}_{target}"
    return does or target


def unused(name: str, used: Collection[str]) -> str:
    """Return the name, with a number if another task has it."""
    if name not in used:
        return name
    number = 2
    while f"{name}_{number}" in used:
        number += 1
    return f"{name}_{number}"


def verb(code: str) -> str:
    """Return a verb for the calls of a cell, such as train or plot, or ""."""
    python = to_python(code)
    if not isinstance(python, Python):
        return ""
    called = {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(python.tree)
        if isinstance(node, ast.Call)
    }
    return next((word for word, names in _CALLS.items() if called & set(names.split())), "")
