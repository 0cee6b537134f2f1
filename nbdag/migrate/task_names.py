"""Names for proposed tasks: from the heading above, else from what the code does and writes."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Collection
from fnmatch import fnmatchcase

from ..core.cells.source import Python, to_python

MOST_WORDS = 4
_HEADING = re.compile(r"^[ ]{0,3}(#{1,6})\s+(.+?)\s*#*\s*$", re.MULTILINE)
_FILE = re.compile(r"""["'](?:[^"'\n]*/)?([^"'/\n]+)\.(?:csv|db|json|parquet|pickle|pkl|png|txt|xlsx?)["']""")
_FILLER = frozenset({"a", "an", "and", "for", "in", "of", "on", "our", "part", "section", "step", "the", "to", "with"})
# Key: verb for what a cell does; value: functions and methods that do this. "to_*" means all names that begin so.
_CALLS = {
    "save": "dump dump_model export save* to_csv to_excel to_json to_parquet to_sql write_*",
    "train": "fit fit_transform train fit_predict partial_fit",
    "split": "train_test_split",
    "load": "load load_* read_* loadtxt genfromtxt",
    "evaluate": "accuracy_score classification_report confusion_matrix cross_val_score score",
    "predict": "predict predict_proba",
    "plot": "bar boxplot heatmap hist imshow pairplot plot scatter show countplot",
    "clean": "dropna drop_duplicates fillna replace",
    "join": "concat merge",
    "aggregate": "agg groupby pivot_table",
}

OF_A_PLOT = frozenset({"_", "ax", "axes", "axs", "f", "fig", "figure"})  # names that say nothing about a plot's data
_DATA = frozenset({"data", "df", "x", "y"})  # names of data that say no more than "data"


def headings(markdown: str) -> list[tuple[int, str]]:
    """Return the level and the text of each heading of a markdown cell."""
    return [(len(marks), str(text)) for marks, text in _HEADING.findall(markdown)]


def slug(text: str) -> str:
    """Return a heading as the name of a task, or "" if it has no letters: "2. Load the data" is load_data."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = [word for word in re.findall(r"[a-z0-9]+", plain) if word not in _FILLER]
    while words and words[0][0].isdigit():
        del words[0]
    return "_".join(words[:MOST_WORDS])


def from_code(code: str, target: str) -> str:
    """Return a name that says what the code does, and with which value."""
    does, target = verb(code), target.strip("_").lower()
    if target in _DATA or does == "split":  # a split has several results, so none of them names it
        target = "data"
    if does and target and does != target:
        return f"{does}_{target}"
    return does or target


def file_stem(code: str) -> str:
    """Return the first file that the code names, without its folder and suffix, or ""."""
    found = _FILE.search(code)
    return slug(found[1]) if found else ""


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
    for word, names in _CALLS.items():
        if any(fnmatchcase(each, name) for name in names.split() for each in called):
            return word
    return ""
