"""Read Kale's cell tags: translate the tagged cells of a Kale notebook into cells of nbdag.

`block:NAME` or `step:NAME` begins a step; untagged cells below continue it. `prev:NAME` declares an upstream step.
`imports` and `functions` are setup, `pipeline-parameters` are parameters, `pipeline-metrics` is a task that shows the
metrics, and `skip` is a scratch cell, which is not executed. Kale ignores untagged cells above the first tag. The first
cell of a step gets the joined code of the whole step. For each line of the joined code, `RawCell.origin` has the place
in the user's file.

Tags about pods (limits, labels, annotations, images, secrets) have no effect, since tasks run on this machine. nbdag
reports each of these tags. A cell with a header of nbdag keeps its header.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..model.dag import Place, Problem
from ..model.problems import problem
from ..options.option_types import ID, nearest
from .cells import RawCell
from .header import Header, is_header
from .header import format as format_header
from .joined_source import joined_parts

METADATA = "kubeflow_notebook"  # key of Kale's settings in the metadata of a notebook
METRICS_TASK = "pipeline-metrics"
_STEP = ("block", "step")
_SPECIAL = ("skip", "imports", "functions", "pipeline-parameters", "pipeline-metrics")
# Tags without an effect, each with what to do instead.
_WITHOUT_EFFECT = {
    "limit": "remove it; --pool limits how many tasks use a scarce resource at the same time",
    "label": "remove it; a task is a process on this machine, not a pod",
    "annotation": "remove it; a task is a process on this machine, not a pod",
    "image": "remove it; install the packages in the environment of the notebook's kernel",
    "secret": "remove it, and set the secret with nbdag: nbdag.secret('NAME')",
    "report": "remove it; each run has a report",
}
_FLAGS = {"cache:enabled": True, "cache:disabled": False}
# The first words of Kale's tags.
TAG_KINDS = frozenset({*_STEP, *_SPECIAL, *_WITHOUT_EFFECT, "prev", "cache", "notebook"})
# Settings of the notebook that have no effect here. In Kale, they change the environment of the steps.
_IGNORED_SETTINGS = ("volumes", "docker_image", "base_image", "katib_run", "autosnapshot", "snapshot_volumes")


@dataclass(slots=True)
class _Part:
    """Cells that Kale joins."""

    kind: str  # a tag of _SPECIAL, or "step"
    cells: list[int]
    name: str = ""
    before: list[str] = field(default_factory=list)  # the steps of prev: tags
    cache: bool | None = None


def is_kale(cells: Sequence[RawCell]) -> bool:
    """Return whether cells without a header of nbdag have Kale's tags for steps."""
    return any(
        tag.partition(":")[0] in _STEP and not _has_header(cell)
        for cell in cells
        if cell.type == "code"
        for tag in cell.tags
        if ":" in tag
    )


def translate(
    cells: Sequence[RawCell], metadata: Mapping[str, Any] | None = None
) -> tuple[Sequence[RawCell], tuple[Problem, ...]]:
    """Return the cells in nbdag's language, and the problems of the tags.

    The cells of a notebook without Kale's tags are returned unchanged.
    """
    if not is_kale(cells):
        return cells, ()
    found = _Translator(cells, metadata or {})
    return found.translated(), tuple(found.problems)


class _Translator:
    def __init__(self, cells: Sequence[RawCell], metadata: Mapping[str, Any]) -> None:
        self.cells = cells
        settings = metadata.get(METADATA)
        self.settings: Mapping[str, Any] = settings if isinstance(settings, Mapping) else {}
        self.problems: list[Problem] = []
        self.parts: list[_Part] = []
        self.ignored: list[int] = []  # cells that Kale does not execute
        self._read_cells()
        self._read_settings()

    def translated(self) -> list[RawCell]:
        found = list(self.cells)
        for cell in self.ignored:
            found[cell] = self._translation(cell, ["%%skip"], [cell])
        for part in self.parts:
            first, *others = part.cells
            found[first] = self._translation(first, self._header(part), part.cells)
            for cell in others:
                found[cell] = replace(found[cell], translated="")
        line = self._dag_line()
        first = self.parts[0].cells[0]
        if line and found[first].translated is not None:
            head, *body = (found[first].translated or "").split("\n")
            start, *rest = found[first].origin
            found[first] = replace(
                found[first], translated="\n".join([head, line, *body]), origin=(start, start, *rest)
            )
        return found

    # -- tags ----------------------------------------------------------------------------------------------------------

    def _read_cells(self) -> None:
        steps: dict[str, _Part] = {}
        current: _Part | None = None
        for index, cell in enumerate(self.cells):
            if cell.type != "code":
                continue
            if _has_header(cell):
                current = None
                continue
            special = next((tag for tag in cell.tags if tag in _SPECIAL), None)
            names = [tag.partition(":")[2] for tag in cell.tags if tag.partition(":")[0] in _STEP and ":" in tag]
            names = [name for name in names if name]
            if special == "skip":
                self.ignored.append(index)  # the next untagged cell continues the step above
            elif special is not None:
                current = _Part(special, [index])
                self.parts.append(current)
            elif names:
                current = steps.get(names[0])
                if current is None:
                    current = steps[names[0]] = _Part("step", [index], names[0])
                    self.parts.append(current)
                else:
                    current.cells.append(index)
                self._read_tags(index, current, names)
            elif current is None:
                self.ignored.append(index)
            else:
                current.cells.append(index)
                self._read_tags(index, None, [])
        for part in self.parts:
            self._check_magics(part)

    def _read_tags(self, index: int, step: _Part | None, names: Sequence[str]) -> None:
        if len(names) > 1:
            message = f"a cell belongs to one step, but the tags name {' and '.join(names)}"
            self._error(index, message, "keep one of these tags")
        if names and not ID.fullmatch(names[0]):
            self._error(index, f"a step cannot be named {names[0]!r}", "use letters, digits and _")
        for tag in self.cells[index].tags:
            kind, colon, value = tag.partition(":")
            if not colon or kind in _STEP:
                continue
            if kind == "prev":
                if step is None:
                    hint = f"add the tag block:NAME, or remove {tag}"
                    self._error(index, f"the tag {tag} is on a cell without a step", hint)
                elif value and value not in step.before:
                    step.before.append(value)
            elif tag in _FLAGS:
                if step is not None:
                    step.cache = _FLAGS[tag]
            elif kind in _WITHOUT_EFFECT:
                self._warning(index, tag, _WITHOUT_EFFECT[kind])
            elif kind == "notebook":
                hint = "make it a task: write %%task NAME --operator notebook, and below it the path of the notebook"
                self._error(index, f"the tag {tag} refers to another notebook", hint)
            elif similar := nearest(kind, (*_STEP, "prev", *_WITHOUT_EFFECT)):
                self._error(index, f"unknown tag {tag}", f"did you mean {similar}:{value}?")

    def _check_magics(self, part: _Part) -> None:
        """Report each cell magic in a cell that is joined with others: the magic would apply to its own cell only."""
        for index in part.cells if len(part.cells) > 1 else ():
            first = self.cells[index].source.lstrip().partition("\n")[0]
            if first.startswith("%%") and not first.startswith("%%time"):
                message = f"{first.split()[0]} is in a cell that continues {part.name or part.kind}"
                self._error(index, message, "give this cell a step of its own: the tag block:NAME")

    def _read_settings(self) -> None:
        defaults = self.settings.get("steps_defaults")
        for tag in defaults if isinstance(defaults, list) else ():
            if isinstance(tag, str) and tag.partition(":")[0] in _WITHOUT_EFFECT:
                self._warning(None, tag, _WITHOUT_EFFECT[tag.partition(":")[0]])
        for name in _IGNORED_SETTINGS:
            if self.settings.get(name):
                hint = "tasks run in this environment, with the files of this machine"
                self._warning(None, f"setting {name}", hint)

    # -- cells ---------------------------------------------------------------------------------------------------------

    def _header(self, part: _Part) -> list[str]:
        match part.kind:
            case "imports" | "functions":
                return ["%%setup"]
            case "pipeline-parameters":
                return ["%%params"]
            case "pipeline-metrics":
                return [format_header(Header(kind="task", name=METRICS_TASK))]
        if not ID.fullmatch(part.name):
            return ["%%skip"]
        options: dict[str, Any] = {}
        if part.before:
            options["after"] = tuple(part.before)
        if part.cache is not None:
            options["cache"] = part.cache
        return [format_header(Header(kind="task", name=part.name, options=options))]

    def _translation(self, first: int, header: Sequence[str], cells: Sequence[int]) -> RawCell:
        """Return the cell `first` with the joined code of all `cells`, and with the place of each line."""
        lines, origin = list(header), [self._place(first, 1)] * len(header)
        for number, (cell, (text, offset)) in enumerate(
            zip(cells, joined_parts([self.cells[each].source for each in cells]), strict=True)
        ):
            if number:
                lines.append("")
                origin.append(self._place(cell, 1))
            last = self.cells[cell].source.count("\n") + 1
            for n, line in enumerate(text.split("\n")):
                lines.append(line)
                origin.append(self._place(cell, min(n + offset + 1, last)))
        return replace(self.cells[first], translated="\n".join(lines), origin=tuple(origin))

    def _dag_line(self) -> str:
        """Return a %dag line with the Kale settings that nbdag supports, or "" if the notebook has no such settings."""
        name, description = self.settings.get("pipeline_name"), self.settings.get("pipeline_description")
        options: dict[str, Any] = {}
        if isinstance(description, str) and description.strip():
            options["description"] = " ".join(description.split())
        defaults = self.settings.get("steps_defaults")
        cache = next((_FLAGS[tag] for tag in defaults if tag in _FLAGS), None) if isinstance(defaults, list) else None
        if cache:
            options["defaults"] = {"cache": True}
        if not isinstance(name, str) or not ID.fullmatch(name):
            name = None
        return format_header(Header(kind="dag", name=name, options=options)) if name or options else ""

    def _place(self, cell: int, line: int) -> Place:
        number = cell - sum(1 for each in self.cells[:cell] if each.built)
        first = self.cells[cell].text_line
        return Place(cell=number, line=line, text_line=None if first is None else first + line - 1)

    def _error(self, index: int, message: str, hint: str) -> None:
        self.problems.append(problem("NB121", message, hint=hint, place=self._place(index, 1)))

    def _warning(self, index: int | None, tag: str, hint: str) -> None:
        place = None if index is None else self._place(index, 1)
        message = f"Kale's {tag} has no effect here" if index is None else f"Kale's tag {tag} has no effect here"
        self.problems.append(problem("NB122", message, hint=hint, place=place))


def _has_header(cell: RawCell) -> bool:
    first = next((line for line in cell.source.split("\n") if line.strip()), "")
    return first.lstrip().startswith("%%") and is_header(first)
