"""Tab completion in a header: options, values of options, names of tasks.

IPython completes the lines below the header. The command line completes a line that begins with `%nbdag`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from ..core.cells.header import complete, is_header, word_start

Matcher = Callable[[CompletionContext], SimpleMatcherResult]


def matcher(tasks: Callable[[], Iterable[str]], operators: Callable[[], Iterable[str]]) -> Matcher:
    """Return a matcher for IPython that completes headers; it calls `tasks` and `operators` when Tab is pressed."""

    def nbdag_header(context: CompletionContext) -> SimpleMatcherResult:
        line = context.line_with_cursor
        if not is_header(line):
            return {"completions": []}
        cursor = context.cursor_position
        command = re.match(r"\s*%nbdag\s", line[:cursor])
        if command:
            start = max(map(line[:cursor].rfind, " \t,=")) + 1
            found = _complete_command(line[command.end() : start].split(), line[start:cursor], tasks)
        else:
            start = word_start(line, cursor)
            found = complete(line, cursor, list(tasks()), list(operators()))
        return {
            "completions": [SimpleCompletion(text, type="option" if text[0] == "-" else "task") for text in found],
            "matched_fragment": line[start:cursor],
            "suppress": bool(found),
            "ordered": True,
        }

    registered: Matcher = context_matcher(identifier="nbdag", priority=100)(nbdag_header)
    return registered


def _complete_command(before: list[str], typed: str, tasks: Callable[[], Iterable[str]]) -> list[str]:
    from click.shell_completion import ShellComplete

    from ..cli import main
    from .load_command import load

    of_kernel = before[:1] == ["load"]
    command, words = (load, before[1:]) if of_kernel else (main, before)
    completions = ShellComplete(command, {}, "nbdag", "").get_completions(words, typed)
    found = [each.value for each in completions if each.type == "plain"]
    if of_kernel and not words:
        found += [each for each in tasks() if each.startswith(typed)]
    if not before and "load".startswith(typed):
        found.append("load")
    return found
