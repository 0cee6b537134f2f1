"""The files that shell commands name: words that look like paths, and redirections.

A word is only a guess at a file. If the command or a redirection certainly writes the file, the file counts as written.
Otherwise it counts as read. A wrong guess matters only if another task writes a file of this name.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

_PATH = re.compile(r"(?=.*[^\d.])(?=.*[./])[\w.~/-]*\w")  # letters, and a dot or a slash; no variable or wildcard
_CHANGES = frozenset({"rm", "mv", "touch", "tee", "truncate", "shred", "rmdir"})  # commands that change all named files
_ENDS = frozenset({"|", "||", "&", "&&", ";", ";;", "(", ")"})  # words after which a new command begins
_OUTPUT_OPTIONS = frozenset({"-o", "-O", "--output", "--output-document"})


def shell_uses(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield the path, the kind of use (as in `FileUse`) and the line, from 1, of each file that shell code names."""
    for number, line in enumerate(text.split("\n"), 1):
        try:
            words = shlex.shlex(line, posix=True, punctuation_chars=True)
            words.whitespace_split = True
            found = list(words)
        except ValueError:  # a quotation mark is open, as in the first line of a longer string
            continue
        for path, how in _uses(found):
            yield path, how, number


def _uses(words: list[str]) -> Iterator[tuple[str, str]]:
    command, before = "", ""
    for position, word in enumerate(words):
        if word in _ENDS:
            command = ""
        elif not command and not word.startswith((">", "<")) and "=" not in word:
            command = word.rpartition("/")[2]
            if "/" in word and _PATH.fullmatch(word):
                yield word, "r"
        else:
            path = word.rpartition("=")[2]
            if (path != word or not word.startswith("-")) and _PATH.fullmatch(path):
                last = position + 1 == len(words) or words[position + 1] in _ENDS
                changes = command in _CHANGES or before in _OUTPUT_OPTIONS or (command == "cp" and last)
                yield path, "a" if ">>" in before else "c" if changes or ">" in before else "r"
        before = word
