"""Write problems in the formats of other programs: SARIF for code scanning, and GitHub's annotations.

Both formats need the line in the `.ipynb` file, so the line in the cell is converted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..core.model.dag import Problem
from .explanations import explain
from .file_lines import line_in_file, source_lines

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFile:
    """A notebook's file with the problems to report."""

    path: Path
    text: str  # the content of the file; "" if it could not be read
    problems: tuple[Problem, ...] = ()
    failure: str = ""  # why the file is not a notebook; "" if it is one


def github(file: CheckedFile) -> Iterator[str]:
    """Yield a workflow command for each problem. GitHub then shows the problem at its line of a pull request."""
    lines = source_lines(file.text) if file.problems else {}
    name = _property(_relative(file.path))
    for each in file.problems:
        where = f"{each.place}: " if each.place else ""
        hint = f" ({each.hint})" if each.hint else ""
        title = _property(f"{each.code}: {explain(each.code).title}")
        line = line_in_file(lines, each.place)
        yield f"::{each.severity} file={name},line={line},title={title}::{_data(f'{where}{each.message}{hint}')}"
    if file.failure:
        yield f"::error file={name}::{_data(file.failure)}"


def sarif(files: Sequence[CheckedFile]) -> dict[str, Any]:
    """Return a SARIF log (version 2.1.0) of these files."""
    codes = sorted({each.code for file in files for each in file.problems})
    results = [result for file in files for result in _results(file, codes)]
    failures = [
        {"level": "error", "message": {"text": file.failure}, "locations": [{"physicalLocation": _artifact(file.path)}]}
        for file in files
        if file.failure
    ]
    driver = {
        "name": "nbdag",
        "version": version("nbdag"),
        "rules": [_rule(code) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": not failures, "toolExecutionNotifications": failures}],
        "results": results,
        "columnKind": "unicodeCodePoints",
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _results(file: CheckedFile, codes: Sequence[str]) -> Iterator[dict[str, Any]]:
    lines = source_lines(file.text) if file.problems else {}
    for each in file.problems:
        location: dict[str, Any] = {
            "physicalLocation": {**_artifact(file.path), "region": {"startLine": line_in_file(lines, each.place)}}
        }
        if each.place is not None:
            location["logicalLocations"] = [{"name": str(each.place), "kind": "member"}]
        yield {
            "ruleId": each.code,
            "ruleIndex": codes.index(each.code),
            "level": each.severity,
            "message": {"text": f"{each.message} ({each.hint})" if each.hint else each.message},
            "locations": [location],
        }


def _rule(code: str) -> dict[str, Any]:
    found = explain(code)
    examples = [f"{title}:\n\n```\n{text}\n```" for title, text in (("Wrong", found.wrong), ("Right", found.right))]
    return {
        "id": code,
        "shortDescription": {"text": found.title},
        "fullDescription": {"text": found.text},
        "help": {"text": found.text, "markdown": "\n\n".join([found.text, *examples])},
        "defaultConfiguration": {"level": found.severity},
    }


def _artifact(path: Path) -> dict[str, Any]:
    name = _relative(path)
    if Path(name).is_absolute():
        return {"artifactLocation": {"uri": Path(name).as_uri()}}
    return {"artifactLocation": {"uri": quote(name), "uriBaseId": "%SRCROOT%"}}


def _relative(path: Path) -> str:
    """Return the path relative to the working directory if the file is below it, else the absolute path."""
    try:
        found = os.path.relpath(path)
    except (OSError, ValueError):  # another drive, or no working directory
        return str(path)
    return str(path.absolute()) if found.startswith("..") else Path(found).as_posix()


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
