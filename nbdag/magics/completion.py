"""Tab in a header: options, their values, names of tasks. Below the header, Python completes as ever.

After `%nbdag`, the command line's own completion answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from ..core.cells.header import complete, is_header, word_start

Matcher = Callable[[CompletionContext], SimpleMatcherResult]


def matcher(tasks: Callable[[], Iterable[str]], operators: Callable[[], Iterable[str]]) -> Matcher:
    """IPython's completion matcher for header lines. `tasks` and `operators` are asked when Tab is pressed in one."""

    def nbdag_header(context: CompletionContext) -> SimpleMatcherResult:
        line = context.line_with_cursor
        if not is_header(line):
            return {"completions": []}
        cursor = context.cursor_position
        command = re.match(r"\s*%nbdag\s", line[:cursor])
        if command:
            start = max(map(line[:cursor].rfind, " \t,=")) + 1
            found = _of_command_line(line[command.end() : start].split(), line[start:cursor])
        else:
            start = word_start(line, cursor)
            found = complete(line, cursor, list(tasks()), list(operators()))
        return {
            "completions": [SimpleCompletion(text, type="option" if text[0] == "-" else "task") for text in found],
            "matched_fragment": line[start:cursor],
            "suppress": bool(found),
            "ordered": True,
        }

    marked: Matcher = context_matcher(identifier="nbdag", priority=100)(nbdag_header)
    return marked


def _of_command_line(before: list[str], typed: str) -> list[str]:
    from click.shell_completion import ShellComplete

    from ..cli import main

    offered = ShellComplete(main, {}, "nbdag", "").get_completions(before, typed)
    return [each.value for each in offered if each.type == "plain"]
