"""Find the places in a shell script where values of the notebook are inserted, and the quotes around these places.

Only the quoting of bash is parsed: '…', "…", $(…), <<HERE, comments and backslashes. The script is not executed.
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
# Finds the variables that a script itself sets.
_ASSIGNED = re.compile(
    rf"(?:^|[\s;&|(`])({_NAME})\+?=|\bfor\s+({_NAME})\b|\b(?:read|mapfile|readarray|local|declare)\b([^\n;|&<]*)"
)
_SHELL_VARIABLES = frozenset({"BASH_ENV", "HOME", "IFS", "LANG", "PATH", "PWD", "SHELL", "TMPDIR", "USER"})
_BUILTINS = frozenset(dir(builtins))
_ALWAYS = frozenset({"dag_run"})  # names that exist in every kernel

CODE, PAREN, SINGLE, DOUBLE, HERE, RAW_HERE = "", "(", "'", '"', "<<", "<<'"


@dataclass(frozen=True, slots=True)
class ScriptPiece:
    """A piece of a script: shell text, or an expression whose value is inserted."""

    text: str  # shell text, or a Python expression with an optional format such as `day:%Y`
    # For an expression, the quotes around it, such as DOUBLE, or `$name`; None for shell text.
    within: str | None = None


@dataclass(frozen=True, slots=True)
class UnresolvedField:
    """An expression in braces that is passed to the shell unchanged, because no cell sets some of its names."""

    field: str
    line: int  # line of the script, from 1
    names: frozenset[str]  # names in the expression that no cell sets


def parse_script(script: str, known: Collection[str] | None) -> tuple[list[ScriptPiece], list[UnresolvedField]]:
    """Return the pieces of a script and its unresolved fields.

    `known` are the names that the notebook's cells set. If it is None, all names except builtins count as known.
    """
    parser = _Parser(script, known)
    parser.read()
    return parser.pieces, parser.unresolved


class _Parser:
    """Parses one script from start to end."""

    def __init__(self, script: str, known: Collection[str] | None) -> None:
        self.script = script
        self.pieces: list[ScriptPiece] = []
        self.unresolved: list[UnresolvedField] = []
        self._known = known
        self._own = {
            name for match in _ASSIGNED.finditer(script) for words in match.groups("") for name in words.split()
        }
        self._text = ""  # shell text since the last piece
        self._within = [CODE]  # the quotes that are open, the innermost last
        self._here: re.Match[str] | None = None  # a here-document (<<HERE) whose text begins on the next line
        self._here_ends = -1

    def read(self) -> None:
        at = 0
        while match := _TOKEN.search(self.script, at):
            if self._within[-1] in (HERE, RAW_HERE) and match.start() >= self._here_ends:
                self._within.pop()
            self._text += self.script[at : match.start()]
            at = match.end() if self._take(match) else match.start() + 1
        self.pieces.append(ScriptPiece(self._text + self.script[at:]))

    def _take(self, match: re.Match[str]) -> bool:
        """Consume a token and return True.

        If the token has no meaning inside the open quotes, consume one character and return False.
        """
        kind = match.lastgroup or ""
        text, within = match[kind], self._within[-1]
        code = within in (CODE, PAREN)
        if kind == "kept":
            self._text += f"{{{text}}}"
            return True
        if kind == "field" and self._is_field(text, match.start()):
            return self._value(text, within)
        if kind == "variable" and within not in (SINGLE, RAW_HERE) and self._is_variable(text):
            self._value(text, f"${text}")
        elif kind == "quote" and (code or within == text):
            self._within.append(text) if code else self._within.pop()
        elif kind == "open" and (code or (within in (DOUBLE, HERE) and text == "$(")):
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
        self.pieces += [ScriptPiece(self._text), ScriptPiece(expression, within)]
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
        # If the notebook's names are not known, the name may be that of an environment variable.
        return name in (self._known or ()) and name not in self._own and name not in _SHELL_VARIABLES


def names_in(field: str) -> set[str] | None:
    """Return the names that an expression in braces reads, or None if the braces are not a replacement field, as in
    `{a,b}`.
    """
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
