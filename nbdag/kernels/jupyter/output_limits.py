"""Limit how much of a task's output the attempt's notebook contains.

A front end cannot open a notebook with 20,000 displays or 100 MB of text, and nbclient needs minutes to search and copy
such outputs. So an attempt's notebook keeps only the first outputs, up to a maximum number and size. A note in the
notebook names the log, which has the whole text.
"""

from __future__ import annotations

from typing import Any

MAX_OUTPUTS = 2_000
MAX_SIZE = 10_000_000  # maximum number of characters, of text and of encoded displays together
_KINDS = {"stream", "display_data", "execute_result"}


class OutputLimits:
    """Counts the outputs of one attempt."""

    def __init__(self) -> None:
        self._number = 0
        self._size = 0
        self._is_noted = False

    def excess(self, message: dict[str, Any]) -> str | None:
        """Count an output.

        Return the text that exceeds the limits, which goes only into the log, or None if the whole output fits. If only
        a part of a text fits, shorten the output to that part.
        """
        if message["msg_type"] == "clear_output":
            self._number = self._size = 0
        if message["msg_type"] not in _KINDS:
            return None
        content, left = message["content"], MAX_SIZE - self._size
        if message["msg_type"] == "stream":  # consecutive pieces of text count as one output
            text = str(content["text"])
            self._size += len(text)
            content["text"] = text[: max(0, left)]
            return text[max(0, left) :] or None
        self._number += 1
        self._size += sum(len(str(data)) for data in content["data"].values())
        if self._number <= MAX_OUTPUTS and self._size <= MAX_SIZE:
            return None
        return f"{content['data'].get('text/plain', sorted(content['data']))}\n"

    def note(self, log: str) -> dict[str, Any] | None:
        """On the first call, return an output that names the log with the whole text. On later calls, return None."""
        if self._is_noted:
            return None
        self._is_noted = True
        text = (
            f"nbdag: this notebook keeps {MAX_OUTPUTS:,} displays and {MAX_SIZE // 1_000_000} MB of output per task; "
            f"the whole text is in {log}\n"
        )
        return {"output_type": "stream", "name": "stderr", "text": text}
