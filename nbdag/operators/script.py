"""A shell script taken apart: what of it is the notebook's, and in what quotes that stands.

Bash's own grammar is read as far as quotes go: '…', "…", $(…), <<HERE, comments and backslashes. Nothing is run.
"""

from __future__ import annotations

import ast
import builtins
import re
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass

_NAME = r"[^\W\d]\w*"
_TOKEN = re.compile(
    rf"""
    \{{\{{(?P<kept>[^{{}}\n]*)\}}\}}
    | (?<![$\\])\{{(?P<field>[^\W\d][^{{}}\n]*)\}}
    | (?<!\\)\$\{{?(?P<variable>{_NAME})
    | (?P<open>\$?\()
    | (?P<close>\))
    | (?P<escaped>\\[^{{\n]|\$\$)
    | (?P<quote>['"])
    | (?P<comment>(?<![^\s;&|()])\#[^\n]*)
    | (?<!<)<<(?P<tabs>-?)[ \t]*(?P<raw>['"\\]?)(?P<here>\w+)['"]?
    | (?P<newline>\n)
    """,
    re.VERBOSE,
)
# What a script itself gives values to.
_ASSIGNED = re.compile(
    rf"(?:^|[\s;&|(`])({_NAME})\+?=|\bfor\s+({_NAME})\b|\b(?:read|mapfile|readarray|local|declare)\b([^\n;|&<]*)"
)
_THE_SHELLS = frozenset({"BASH_ENV", "HOME", "IFS", "LANG", "PATH", "PWD", "SHELL", "TMPDIR", "USER"})
_BUILTINS = frozenset(dir(builtins))
_ALWAYS = frozenset({"dag_run"})  # in every kernel

CODE, PAREN, SINGLE, DOUBLE, HERE, RAW_HERE = "", "(", "'", '"', "<<", "<<'"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a script, as it is written."""

    text: str  # the shell's; or an expression of Python, with its format
    within: str | None = None  # what a value stands in, such as DOUBLE; $name where it is one; None: it is the shell's


@dataclass(frozen=True, slots=True)
class UnresolvedField:
    """What could be the notebook's, if any of its names were set there."""

    field: str
    line: int  # from 1
    names: frozenset[str]


def parse_script(script: str, known: Collection[str] | None) -> tuple[list[Part], list[UnresolvedField]]:
    """`known` are the names that the notebook sets; None where that is not known: all names then but Python's own."""
    reading = _Reading(script, known)
    reading.read()
    return reading.parts, reading.unresolved


class _Reading:
    """A script while it is being read, from its first character to its last."""

    def __init__(self, script: str, known: Collection[str] | None) -> None:
        self.script = script
        self.parts: list[Part] = []
        self.unresolved: list[UnresolvedField] = []
        self._known = known
        self._own = {
            name for match in _ASSIGNED.finditer(script) for words in match.groups("") for name in words.split()
        }
        self._text = ""  # the shell's, since the last part
        self._within = [CODE]  # innermost last
        self._here: re.Match[str] | None = None  # a <<HERE whose text begins below this line
        self._here_ends = -1

    def read(self) -> None:
        at = 0
        while match := _TOKEN.search(self.script, at):
            if self._within[-1] in (HERE, RAW_HERE) and match.start() >= self._here_ends:
                self._within.pop()
            self._text += self.script[at : match.start()]
            at = match.end() if self._take(match) else match.start() + 1
        self.parts.append(Part(self._text + self.script[at:]))

    def _take(self, match: re.Match[str]) -> bool:
        """Take a token; False where it is none in these quotes, and only its first character is taken."""
        kind = match.lastgroup or ""
        said, within = match[kind], self._within[-1]
        code = within in (CODE, PAREN)
        if kind == "kept":
            self._text += f"{{{said}}}"
            return True
        if kind == "field" and self._is_field(said, match.start()):
            return self._value(said, within)
        if kind == "variable" and within not in (SINGLE, RAW_HERE) and self._is_variable(said):
            self._value(said, f"${said}")
        elif kind == "quote" and (code or within == said):
            self._within.append(said) if code else self._within.pop()
        elif kind == "open" and (code or (within in (DOUBLE, HERE) and said == "$(")):
            self._within.append(PAREN)
        elif kind == "close" and within == PAREN:
            self._within.pop()
        elif kind == "here" and code:
            self._here = match
        elif kind == "newline" and code and self._here is not None:
            self._begin_here(self._here, match.end())
        elif (kind == "escaped" and within in (SINGLE, RAW_HERE)) or (kind in ("comment", "field") and not code):
            self._text += match.group()[0]
            return False
        self._text += match.group()
        return True

    def _value(self, expression: str, within: str) -> bool:
        self.parts += [Part(self._text), Part(expression, within)]
        self._text = ""
        return True

    def _begin_here(self, here: re.Match[str], at: int) -> None:
        tabs = r"\t*" if here["tabs"] else ""
        end = re.compile(rf"^{tabs}{here['here']}$", re.MULTILINE).search(self.script, at)
        self._within.append(RAW_HERE if here["raw"] else HERE)
        self._here, self._here_ends = None, end.start() if end else len(self.script)

    def _is_field(self, field: str, at: int) -> bool:
        names = names_in(field)
        if names is None:
            return False
        if self._known is None:
            return bool(names - _BUILTINS)
        known = {*self._known, *_ALWAYS}
        if names & known and names <= known | _BUILTINS:
            return True
        self.unresolved.append(
            UnresolvedField(field, self.script.count("\n", 0, at) + 1, frozenset(names - known - _BUILTINS))
        )
        return False

    def _is_variable(self, name: str) -> bool:
        # Where it is not known what the notebook sets, a name may as well be the environment's.
        return name in (self._known or ()) and name not in self._own and name not in _THE_SHELLS


def names_in(field: str) -> set[str] | None:
    """The names that an expression reads; None where it is none that Python would put in, as `{a,b}`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(f'f"""{{{field}}}"""', mode="eval").body
    except (SyntaxError, ValueError):
        return None
    match tree:
        case ast.JoinedStr(values=[ast.FormattedValue(value=value)]) if not isinstance(value, ast.Tuple):
            return set(_free(tree))
    return None


def _free(tree: ast.AST) -> Iterator[str]:
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    own = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    own |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    yield from (node.id for node in names if node.id not in own)
