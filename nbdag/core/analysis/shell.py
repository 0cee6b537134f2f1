"""Effects of magics and shell lines, which IPython translates into calls of `get_ipython()`."""

from __future__ import annotations

import ast
import re
from contextlib import ExitStack

from ..cells.source import NAME, PLACEHOLDER, expanded_names, parse_line
from . import known
from .expressions import Expressions
from .function_calls import CallSite
from .objects import NOTHING, Value


class Shell(Expressions):
    """Interprets calls of the methods of IPython's shell."""

    def shell_call(self, node: ast.Call, method: str) -> Value:
        """Interpret `get_ipython().…`, the form into which IPython translates magics and shell lines."""
        line = node.lineno
        texts = [each.value if isinstance(each, ast.Constant) else None for each in node.args]
        if not all(isinstance(text, str) for text in texts):
            self._parts(node)
        elif method in ("system", "getoutput", "getoutput_pcre") and texts:
            self._expand(str(texts[0]), line)
        elif method in ("run_line_magic", "magic") and texts:
            name, rest = (str(texts[0]), str(texts[1])) if len(texts) > 1 else _split(str(texts[0]))
            return self._line_magic(name.lstrip("%"), rest, line)
        if method in known.SHELL_HIDING:
            self.note("opaque", f"get_ipython().{method}", line)
        return frozenset({self.object_created_at("shell", node)})

    def _expand(self, text: str, line: int) -> None:
        for found in expanded_names(text):
            for node in ast.walk(found):
                if hasattr(node, "lineno"):
                    node.lineno = line
            # The name may be missing: IPython leaves an unknown name such as `$HOME` to the shell.
            with self.optionally() if isinstance(found, ast.Name) and f"${found.id}" in text else ExitStack():
                self.expr(found)

    def _line_magic(self, name: str, rest: str, line: int) -> Value:
        words = rest.split()
        if name in known.RUNS_PYTHON or name == "timeit":
            code = re.sub(r"^(\s*-\w+(\s+\d+)?(?=\s))*", "", rest)
            tree = parse_line(code, line)
            if tree is None:
                return NOTHING
            if name == "timeit":
                before = self.snapshot()
                self.block(tree.body)
                self.merge_paths(before)
                return frozenset({self.object_created_at("timing", tree)})
            *body, last = tree.body or [ast.Pass()]
            self.block(body)
            if isinstance(last, ast.Expr):
                return self.effect(last.value, CallSite(last.value, line, shown=True))
            self.block([last])
            return NOTHING
        if name in known.HELP_MAGICS:
            with self.optionally():
                self._expand("{" + rest.strip("? ") + "}", line)
        elif name == "store":
            for word in words:
                if not word.startswith("-"):
                    if "-r" in words and NAME.match(word):
                        with self.maybe():
                            self.store(word, frozenset({self.object_created_at("store", word)}), line)
                    elif "-d" not in words and NAME.match(word):
                        self.load(word, line)
        elif name == "pylab":
            self.note("star", "%pylab", line)
        elif name == "reset" and "-f" in words:
            pass  # `%reset` deletes every name; bindings in the rest of the cell are analysed as usual
        elif name in known.MAGICS_HIDING:
            self.note("opaque", f"%{name}", line)
        elif name in ("cd", "pushd", "popd"):
            self._expand(rest, line)
            self.note_state(f"%{name}", line)
        elif name in ("env", "set_env"):
            self._expand(rest, line)
            if "=" in rest or len(words) > 1:
                self.note_state(f"%{name}", line)
        elif name == "sql":
            with self.optionally():
                for match in PLACEHOLDER.finditer(rest):
                    self.load(next(filter(None, match.groups())), line)
        else:
            self._expand(rest, line)
            if rest:  # without an argument, these magics show a setting
                self.note_state(f"%{name}", line)
        return frozenset({self.object_created_at("magic", name, rest, line)})


def _split(text: str) -> tuple[str, str]:
    name, _, rest = text.partition(" ")
    return name, rest
