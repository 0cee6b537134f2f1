"""Parse a cell as Python, with the line numbers of the cell.

Plain Python is parsed directly. Other code is first transformed by IPython, which replaces `%time f(x)`, `files = !ls`
and `df?` by calls. Below a cell magic that executes Python (`%%time`, `%%capture`), the code is parsed like the code of
any cell. The text below any other cell magic is not parsed. Such a cell reads only the names that IPython expands in
this text.
"""

from __future__ import annotations

import ast
import difflib
import io
import re
import string
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

# Cell magics that run Python in the notebook's namespace (OPEN), or in a separate namespace (CLOSED).
OPEN_MAGICS = frozenset({"time", "capture", "prun", "memit", "mprun", "lprun", "heat", "snakeviz", "scalene", "debug"})
CLOSED_MAGICS = frozenset({"timeit"})
# Cell magics whose text is in another language; IPython expands no names in that text.
TEXT_MAGICS = frozenset(
    {
        "bash",
        "sh",
        "script",
        "system",
        "sx",
        "!",
        "html",
        "HTML",
        "javascript",
        "js",
        "latex",
        "markdown",
        "svg",
        "SVG",
        "perl",
        "ruby",
        "python",
        "python2",
        "python3",
        "pypy",
        "cmd",
        "writefile",
        "file",
        "mermaid",
        "cython",
        "css",
    }
)
TOP_LEVEL_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
NAME = re.compile(r"[^\W\d]\w*\Z")
PLACEHOLDER = re.compile(r"\$\{?([^\W\d]\w*)|(?<![:\w]):([^\W\d]\w*)|\{\{?\s*([^\W\d]\w*)")


@dataclass(frozen=True, slots=True)
class Python:
    """A cell parsed as Python."""

    tree: ast.Module  # the syntax tree, with the line numbers of the cell
    text: str  # the source code that `tree` was parsed from
    shown: bool = True  # whether the value of a last expression is displayed; a `;` at the end prevents it
    closed: bool = False  # whether the names that the cell binds are local to the cell, as in %%timeit
    reads: tuple[tuple[str, int], ...] = ()  # (name, line) of each name that IPython expands in the text of a magic
    # (name, line) of each name that a magic may expand, if the name exists.
    soft_reads: tuple[tuple[str, int], ...] = ()
    writes: tuple[tuple[str, int], ...] = ()  # (name, line) of each name that a magic sets, as `%%capture out` does
    opaque: tuple[int, ...] = field(default=())  # numbers of the lines that cannot be analysed


@dataclass(frozen=True, slots=True)
class SyntaxProblem:
    """The syntax error of a cell."""

    message: str
    line: int


def to_python(code: str) -> Python | SyntaxProblem:
    """Parse a cell's code; return a `SyntaxProblem` instead of raising an error."""
    with warnings.catch_warnings():
        # Warnings about escapes are ignored here, because Python repeats them when the cell runs.
        warnings.simplefilter("ignore")
        try:
            return _cell_magic(code) or _plain(code)
        except SyntaxError as error:
            return SyntaxProblem(error.msg or "invalid syntax", error.lineno or 1)
        except (ValueError, RecursionError, MemoryError) as error:
            # The code contains a NUL byte, or is nested too deeply for the parser.
            return SyntaxProblem(str(error) or "too deeply nested", 1)


def parse_line(text: str, line: int) -> ast.Module | None:
    """Parse the code after a magic such as `%time`, with every node at `line`, or return None if this is not Python."""
    found = to_python(text.strip())
    if isinstance(found, SyntaxProblem):
        return None
    for node in ast.walk(found.tree):
        if hasattr(node, "lineno"):
            node.lineno = line
    return found.tree


def expanded_names(text: str) -> Iterator[ast.expr]:
    """Yield the expressions in `{…}` and `$name` that IPython expands in a shell command or magic."""
    for dollar in re.finditer(r"(?<!\$)\$([^\W\d]\w*(?:\.[^\W\d]\w*)*)", text):
        yield ast.parse(dollar[1], mode="eval").body
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(text) if name]
    except ValueError:
        fields = re.findall(r"(?<!\{)\{([^{}]+)\}", text)
    for name in fields:
        try:
            yield ast.parse(name.strip(), mode="eval").body
        except SyntaxError:
            continue


def _plain(code: str) -> Python:
    try:
        tree = ast.parse(code)
        text = code
    except SyntaxError:
        text, lines = _transformed(code)
        try:
            tree = ast.parse(text)
        except SyntaxError as error:
            error.lineno = lines[min(error.lineno or 1, len(lines)) - 1] if lines else error.lineno
            raise
        _renumber(tree, lines)
    # The compiler finds errors that the parser does not find.
    compile(tree, "<cell>", "exec", flags=TOP_LEVEL_AWAIT, dont_inherit=True)
    return Python(tree, text, shown=not _ends_with_semicolon(code))


def _cell_magic(code: str) -> Python | None:
    lines = code.split("\n")
    head = next((n for n, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), None)
    if head is None or not lines[head].startswith("%%"):
        return None
    name, _, rest = lines[head][2:].partition(" ")
    name = name.strip()
    reads = tuple(
        (node.id, head + 1) for name_ in expanded_names(rest) for node in ast.walk(name_) if isinstance(node, ast.Name)
    )
    if name in OPEN_MAGICS | CLOSED_MAGICS:
        words = [word for word in rest.split() if not word.startswith("-")]
        writes = ((words[0], head + 1),) if name == "capture" and words and NAME.match(words[0]) else ()
        body = "\n".join([*([""] * (head + 1)), *lines[head + 1 :]])
        if name == "timeit":
            setup = re.sub(r"^\s*(-[a-z]\s*\w*\s+)*", "", rest + " ").strip()
            body = "\n".join([*([""] * head), setup, *lines[head + 1 :]])
        inner = _plain(body)
        return Python(inner.tree, inner.text, inner.shown, name in CLOSED_MAGICS, reads, (), writes)
    options = re.findall(r"--(?:out|err|proc)[ =]([^\W\d]\w*)", rest)
    soft: list[tuple[str, int]] = []
    if name not in TEXT_MAGICS:
        for number, line in enumerate(lines[head + 1 :], head + 2):
            soft += [(next(filter(None, match.groups())), number) for match in PLACEHOLDER.finditer(line)]
    written = tuple((option, head + 1) for option in options)
    return Python(ast.Module([], []), "", True, False, reads, tuple(soft), written)


@cache
def _transformer() -> Any:
    # Imported here because this import is slow and most cells are plain Python.
    from IPython.core.inputtransformer2 import TransformerManager

    return TransformerManager()


def _transformed(code: str) -> tuple[str, list[int] | None]:
    """Return the Python code into which IPython transforms a cell, and the cell's line for each line of this code.

    The second value is None if the line numbers do not change.
    """
    text: str = _transformer().transform_cell(code)
    # IPython drops leading blank lines and joins continued lines of a magic.
    blank = re.match(r"(?:[ \t]*\n)*", code)
    dropped = blank[0].count("\n") if blank else 0
    before, after = code.rstrip("\n").split("\n")[dropped:], text.rstrip("\n").split("\n")
    if len(before) == len(after) and not dropped:
        return text, None
    lines: list[int] = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "delete":
            lines += [min(a + n, max(b - 1, a)) + 1 + dropped for n in range(d - c)]
    return text, lines


def _renumber(tree: ast.Module, lines: list[int] | None) -> None:
    if lines is None:
        return
    last = len(lines)
    for node in ast.walk(tree):
        if hasattr(node, "lineno"):
            node.lineno = lines[min(node.lineno, last) - 1]
        if getattr(node, "end_lineno", None) is not None:
            node.end_lineno = lines[min(node.end_lineno, last) - 1]  # type: ignore[attr-defined]


def _ends_with_semicolon(code: str) -> bool:
    last = code.rstrip()
    if last.endswith(";"):
        return "#" not in last.rsplit("\n", 1)[-1] or _last_token(code) == ";"
    return "#" in last.rsplit("\n", 1)[-1] and ";" in code and _last_token(code) == ";"


def _last_token(code: str) -> str:
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.INDENT, tokenize.DEDENT}
    last = ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type not in skipped:
                last = token.string
    except (tokenize.TokenError, SyntaxError):
        return ""
    return last
