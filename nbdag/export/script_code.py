"""The code of one cell in a script: translate magics, indent lines, and wrap the last expression into other code."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass, replace

_INDENT = "    "
_FUTURE = re.compile(r"^from __future__ import annotations[^\S\n]*(?:#[^\n]*)?\n?", re.MULTILINE)
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")
_SILENT = frozenset({"print", "display"})  # functions that return None
_MULTILINE = frozenset({tokenize.STRING, *(getattr(tokenize, name, -1) for name in ("FSTRING_MIDDLE",))})


@dataclass(frozen=True, slots=True)
class CellCode:
    """Python source of a cell."""

    text: str
    needs_ipython: bool = False

    @property
    def shows(self) -> bool:
        """Return whether the last statement is an expression whose value Jupyter may display."""
        last = self._last()
        if last is None:
            return False
        call = last.value.func if isinstance(last.value, ast.Call) else None
        if isinstance(call, ast.Name) and call.id in _SILENT:
            return False
        return not ast.unparse(last.value).startswith("get_ipython()")

    def wrapped(self, before: str, after: str) -> CellCode:
        """Return the code with text before and after its last expression; without one, return the code unchanged."""
        last = self._last()
        if last is None:
            return self
        start, end = self._span()
        written = self.text[start:end]
        parts = last.value.elts if isinstance(last.value, ast.Tuple) else []
        if parts and last.value.col_offset == parts[0].col_offset:  # a tuple without parentheses
            written = f"({written})"
        head = self.text[:start]
        statement = head[head.rfind("\n") + 1 :]
        if statement.rstrip().endswith(";"):  # the expression follows another statement in its line
            head = head.rstrip().removesuffix(";") + "\n"
        rest = self.text[end:].lstrip(" ;")
        return replace(self, text=f"{head}{before}{written}{after}{'  ' if rest.startswith('#') else ''}{rest}")

    def indented(self) -> str:
        """Return the code, indented by one level. Lines inside of multi-line strings stay unchanged."""
        inside: set[int] = set()  # numbers of the lines that begin inside of a string
        opened: list[int] = []
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            name = tokenize.tok_name[token.type]
            if name == "FSTRING_START":
                opened.append(token.start[0])
            elif name == "FSTRING_END":
                inside.update(range(opened.pop() + 1, token.end[0] + 1))
            elif token.type in _MULTILINE:
                inside.update(range(token.start[0] + 1, token.end[0] + 1))
        lines = self.text.split("\n")
        return "\n".join(
            line if number in inside or not line.strip() else _INDENT + line for number, line in enumerate(lines, 1)
        )

    def _last(self) -> ast.Expr | None:
        body = ast.parse(self.text).body
        return body[-1] if body and isinstance(body[-1], ast.Expr) else None

    def _span(self) -> tuple[int, int]:
        """Return where the last statement, an expression that may be in parentheses, begins and ends."""
        start = end = (1, 0)
        depth, begins = 0, True
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type in (tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
                continue
            depth += (token.string in _OPEN) - (token.string in _CLOSE) if token.type == tokenize.OP else 0
            if token.type == tokenize.NEWLINE or (token.string == ";" and not depth):
                begins = True
                continue
            start = token.start if begins else start
            begins, end = False, token.end
        return self._offset(*start), self._offset(*end)

    def _offset(self, line: int, column: int) -> int:
        """Return the position in the text of a line (counted from 1) and a column (counted from 0)."""
        return sum(len(each) + 1 for each in self.text.split("\n")[: line - 1]) + column


def code_of(code: str, source: str) -> CellCode:
    """Return the code of a cell without nbdag's magics: lines that are comments in `code` but not in `source`."""
    lines = [
        line
        for number, line in enumerate(code.split("\n"))
        if not (line.startswith("# %") and line[2:] == (source.split("\n")[number : number + 1] or [""])[0])
    ]
    text = "\n".join(lines).strip("\n")
    if not _is_python(text):
        from IPython.core.inputtransformer2 import TransformerManager  # imported here because it is slow to import

        return CellCode(TransformerManager().transform_cell(text).rstrip("\n"), needs_ipython=True)
    return CellCode(text)


def without_future(text: str) -> tuple[str, bool]:
    """Return the code without `from __future__ import annotations`, and whether it had that line."""
    found = _FUTURE.sub("", text)
    return found, found != text


def _is_python(text: str) -> bool:
    try:
        compile(text, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True
