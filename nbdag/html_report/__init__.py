"""A report notebook as one HTML file that needs no network and no other file.

nbconvert converts the notebook with the template in `template/`. Pictures of markdown cells are embedded, formulas
become MathML, and a widget is shown as text. The page itself contains no script. Scripts in the outputs of the
notebook are kept, so a server of the page must forbid scripts by a Content-Security-Policy.
"""

from __future__ import annotations

import copy
import html
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

from ..core.model.cell_tags import nbdag_metadata
from ..graphs.marks import duration_text, state_style

Code = Literal["shown", "folded", "hidden"]
CODES: tuple[Code, ...] = get_args(Code)
_TEMPLATES = Path(__file__).parent
# The richest form first. Widgets and JavaScript need files that are not in the page, so their text is shown instead.
_PRIORITY = [
    "text/html",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "text/markdown",
    "text/latex",
    "text/plain",
]


def to_html(
    notebook: Mapping[str, Any],
    *,
    code: Code = "shown",
    folder: Path | None = None,
    about: Mapping[str, Any] | None = None,
) -> str:
    """Return a report as an HTML page. `notebook` is the report as nbformat's dict.

    `code` says whether the source of code cells is shown, folded or hidden. `folder` is the folder to which the picture
    paths in markdown cells are relative. `about` replaces entries of the report's own metadata (dag, run_id, state,
    started, ended, error).
    """
    from nbformat import from_dict
    from nbformat.v4.rwbase import rejoin_lines, strip_transient

    document = strip_transient(rejoin_lines(from_dict(copy.deepcopy(dict(notebook)))))
    facts = {**nbdag_metadata(document), **(about or {})}
    state = str(facts.get("state") or "")
    context = {
        "code": code,
        "dag": str(facts.get("dag") or "Report"),
        "run": str(facts.get("run_id") or ""),
        "state": state,
        "style": state_style(state),
        "started": _moment(facts.get("started")),
        "took": _between(facts.get("started"), facts.get("ended")),
        "error": str(facts.get("error") or ""),
        "parameters": _parameters(document),
        "tasks": [task for task in map(_task, document.cells) if task],
        "version": version("nbdag"),
    }
    resources = {"metadata": {"path": str(folder) if folder is not None else ""}, "report": context}
    page, _ = _exporter().from_notebook_node(document, resources=resources)
    return str(page)


@cache
def _exporter() -> Any:
    """Return nbconvert's exporter with our template. nbconvert is imported only here; importing it takes 0.5 s."""
    from jinja2 import pass_context
    from nbconvert.exporters.html import HTMLExporter
    from nbconvert.filters.markdown_mistune import InvalidNotebook, IPythonRenderer, MarkdownWithMath
    from traitlets.config import Config

    class Renderer(IPythonRenderer):
        """Markdown to HTML, with formulas as MathML and without links to headings."""

        def block_math(self, body: str) -> str:
            return _math(body, "block")

        def inline_math(self, body: str) -> str:
            return _math(body, "inline")

        def latex_environment(self, name: str, body: str) -> str:
            return _math(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")

        def block_mermaidjs(self, code: str) -> str:
            return f"<pre>{html.escape(code)}</pre>"

        def image(self, text: str, url: str, title: str | None = None) -> str:
            try:
                return str(super().image(text, url, title))
            except (InvalidNotebook, OSError):  # the attachment is missing, or the file cannot be read
                return html.escape(text or url)

    @pass_context
    def markdown(context: Any, source: str) -> str:
        resources = context.get("resources", {})
        path = resources.get("metadata", {}).get("path", "")
        renderer = Renderer(
            escape=False,
            embed_images=bool(path),
            path=path,
            attachments=context.get("cell", {}).get("attachments", {}),
            exclude_anchor_links=True,
        )
        return str(MarkdownWithMath(renderer=renderer).render(source))

    exporter = HTMLExporter(
        config=Config({"NbConvertBase": {"display_data_priority": _PRIORITY}}),
        template_name="template",
        extra_template_basedirs=[str(_TEMPLATES)],
    )
    exporter.register_filter("report_markdown", markdown)
    exporter.register_filter("report_task", _task)
    exporter.register_filter("report_math", lambda text: _math(text.strip().strip("$"), "block"))
    return exporter


def _math(source: str, display: Literal["block", "inline"]) -> str:
    """Return a formula as MathML; the source is shown if it cannot be converted."""
    from latex2mathml.converter import convert

    try:
        return str(convert(source, display=display))
    except Exception:  # for a formula that it cannot read, the converter raises errors of many kinds
        return f"<code>{html.escape(source)}</code>"


def _task(cell: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the facts that the page shows about a task, or None if the cell is not a task of the run."""
    found = nbdag_metadata(cell)
    name, state = found.get("task"), found.get("state")
    if cell.get("cell_type") != "code" or not isinstance(name, str) or not isinstance(state, str):
        return None
    timing = cell.get("metadata", {}).get("papermill") or {}
    took = timing.get("duration") if isinstance(timing, Mapping) else None
    error = next((_error(each) for each in cell.get("outputs", ()) if each.output_type == "error"), "")
    return {
        "name": name,
        "state": state,
        "style": state_style(state),
        "tries": found.get("tries") or 0,
        "cached": ", ".join(map(str, found.get("cached") or ())),
        "took": duration_text(took) if isinstance(took, int | float) else "",
        "error": error,
    }


def _error(output: Mapping[str, Any]) -> str:
    """Return the first line of an error. Omit the name TaskFailed, which nbdag gives to errors without a traceback."""
    name, text = str(output.get("ename") or ""), str(output.get("evalue") or "").strip()
    sentence = text if name == "TaskFailed" else ": ".join(part for part in (name, text) if part)
    return (sentence.splitlines() or [""])[0][:300]


def _parameters(notebook: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the values that were set for the run, as text. Secrets are already masked in the report."""
    timing = notebook.get("metadata", {}).get("papermill") or {}
    found = timing.get("parameters") if isinstance(timing, Mapping) else None
    return [(str(name), json.dumps(value, ensure_ascii=False, default=str)) for name, value in (found or {}).items()]


def _moment(at: Any) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if isinstance(at, int | float) else ""


def _between(started: Any, ended: Any) -> str:
    if not isinstance(started, int | float) or not isinstance(ended, int | float):
        return ""
    return duration_text(max(0.0, ended - started))
