"""The findings of a rehearsal as one HTML page, which needs no script, no network and no other file."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .findings import Finding, Rehearsal, Weight

_TITLES = {
    Weight.ERROR: "Errors: a scheduled run fails, or shows something else than the saved notebook",
    Weight.WARNING: "Warnings: a scheduled run may differ some day, or on another machine",
    Weight.NOTE: "Notes",
}


def rehearsal_page(done: Rehearsal) -> str:
    """Return the page of a rehearsal."""
    groups = [
        (weight.value, title, [_row(each, done) for each in done.findings if each.weight is weight])
        for weight, title in _TITLES.items()
    ]
    return str(
        _template().render(
            notebook=Path(done.notebook).name,
            summary=done.summary(),
            groups=[group for group in groups if group[2]],
            seconds=[f"{each:.1f} s" for each in done.seconds],
            version=version("nbdag"),
        )
    )


def _row(finding: Finding, done: Rehearsal) -> dict[str, Any]:
    source = done.sources.get(finding.cell, "") if finding.cell is not None else ""
    lines = list(enumerate(source.split("\n"), 1)) if source else []
    first = 0 if finding.line is None else max(0, finding.line - 3)
    lines = lines[first : first + 5]
    start = finding.text_start
    return {
        "place": finding.place,
        "kind": finding.kind.value,
        "message": finding.message,
        "remedy": finding.remedy,
        "evidence": finding.evidence,
        "lines": [
            (number if start is None else start + number - 1, text, number == finding.line) for number, text in lines
        ],
    }


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    return environment.get_template("page.html.j2")
