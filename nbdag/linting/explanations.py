"""The explanation of each problem code, with a wrong and a right example.

The texts are in the Markdown files of the folder `explanations`, which have a section for each code. The examples are
notebooks in the percent format: a line `# %%` begins a cell. A line `# $ nbdag …` is the command that reports the
problem; the default command is `nbdag check`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..core.model.dag import Problem
from ..core.model.problems import LATER, TABLE, hint_for_code
from ..errors import NbdagError, error

_SECTION = re.compile(r"^## (NB\d+)\n", re.MULTILINE)
_EXAMPLE = re.compile(r"^```(wrong|right)\n(.*?)\n```$", re.MULTILINE | re.DOTALL)


@error
class UnknownCodeError(NbdagError):
    """No problem has this code."""

    exit_code = 2
    code: str
    template = "unknown code {code!r}; {hint}"

    @property
    def hint(self) -> str:
        """Return what the user can do."""
        return hint_for_code(self.code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The explanation of a problem code."""

    code: str
    severity: str  # "error" or "warning"
    title: str  # a few words, without a full stop
    text: str  # one or more paragraphs of plain text, each on one line
    wrong: str  # a notebook with the problem, in the percent format
    right: str  # the same notebook without the problem
    in_run: bool  # whether a run reports the problem, not `nbdag check`


def explain(code: str) -> Explanation:
    """Return the explanation of a code, which may be in lower case. Raise `UnknownCodeError` for an unknown code."""
    found = _explanations().get(code.strip().upper())
    if found is None:
        raise UnknownCodeError(code)
    return found


def all_explanations() -> tuple[Explanation, ...]:
    """Return the explanations of all codes, in the order of the codes."""
    return tuple(found for _, found in sorted(_explanations().items()))


def texts_of(problems: Iterable[Problem]) -> dict[str, str]:
    """Return the plain-text explanation of each code that these problems have, by code."""
    return {code: as_text(explain(code)) for code in sorted({each.code for each in problems})}


def as_text(explanation: Explanation) -> str:
    """Return an explanation as plain text, with indented examples."""
    parts = [f"{explanation.code} ({explanation.severity}): {explanation.title}", explanation.text]
    for title, example in (("Wrong", explanation.wrong), ("Right", explanation.right)):
        lines = [f"    {line}".rstrip() for line in example.split("\n")]
        parts.append("\n".join([f"{title}:", "", *lines]))
    return "\n\n".join(parts) + "\n"


@cache
def _explanations() -> dict[str, Explanation]:
    found: dict[str, Explanation] = {}
    for path in sorted((Path(__file__).parent / "explanations").glob("*.md")):
        parts = _SECTION.split(path.read_text(encoding="utf-8"))
        for code, body in zip(parts[1::2], parts[2::2], strict=True):
            examples = dict(_EXAMPLE.findall(body))
            paragraphs = _EXAMPLE.sub("", body).strip().split("\n\n")
            found[code] = Explanation(
                code=code,
                severity=TABLE[code].severity,
                title=TABLE[code].title,
                text="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs),
                wrong=examples["wrong"],
                right=examples["right"],
                in_run=code in LATER and code >= "NB400",
            )
    return found
