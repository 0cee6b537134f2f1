"""A real kernel, called over the Jupyter protocol, for tests of the notebook."""

from __future__ import annotations

import os
import queue
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager
from patience import LONG


@dataclass
class Reply:
    """The reply and the outputs of one cell."""

    status: str
    content: dict[str, Any]
    outputs: list[dict[str, Any]] = field(default_factory=list)  # iopub messages: type and content

    @property
    def stdout(self) -> str:
        return self._stream("stdout")

    @property
    def stderr(self) -> str:
        return self._stream("stderr")

    def _stream(self, name: str) -> str:
        return "".join(out["text"] for kind, out in self._pairs() if kind == "stream" and out["name"] == name)

    def _pairs(self):
        return [(out["msg_type"], out["content"]) for out in self.outputs]

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [content for kind, content in self._pairs() if kind in kinds]

    @property
    def result(self) -> str | None:
        """The displayed value of the last expression, as text."""
        found = self.of("execute_result")
        return found[-1]["data"]["text/plain"] if found else None

    @property
    def traceback(self) -> str:
        lines = [line for error in self.of("error") for line in error["traceback"]]
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines))


class Kernel:
    """One kernel and its client."""

    path: Path  # of its notebook, if it has one

    def __init__(self, **options: Any) -> None:
        self.manager = KernelManager()
        self.manager.start_kernel(**options)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=LONG)

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    def run(self, code: str, cell: str | None = None) -> Reply:
        """Execute a cell as a frontend does; `cell` is its id."""
        self.start(code, cell)
        return self.finish()

    def start(self, code: str, cell: str | None = None) -> None:
        """Send the request to execute a cell, without waiting."""
        content = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False, "stop_on_error": True,
        }  # fmt: skip
        self._request = self.client.session.msg("execute_request", content, metadata={"cellId": cell} if cell else {})
        self.client.shell_channel.send(self._request)

    def finish(self) -> Reply:
        """Wait for the cell of the last request, and return its reply."""
        reply = self._reply(self._request)
        outputs: list[dict[str, Any]] = []
        while True:
            message = self.client.get_iopub_msg(timeout=LONG)
            if message["parent_header"].get("msg_id") != self._request["header"]["msg_id"]:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
            if message["msg_type"] not in ("status", "execute_input"):
                outputs.append({"msg_type": message["msg_type"], "content": message["content"]})
        return Reply(reply["status"], reply, outputs)

    def await_debugger(self, event: str) -> dict[str, Any]:
        """Wait for an event of the debugger, and return its message."""
        while True:
            message = self.client.get_iopub_msg(timeout=LONG)
            if message["msg_type"] == "debug_event" and message["content"]["event"] == event:
                return message["content"]

    def quietly(self, code: str) -> None:
        """Execute code silently, so that it is not a cell of the notebook."""
        assert self.client.execute(code, silent=True, reply=True)["content"]["status"] == "ok"

    def value(self, expression: str) -> str:
        """Return the repr of an expression."""
        reply = self.client.execute("", user_expressions={"x": f"repr({expression})"}, silent=True, reply=True)
        answer = reply["content"]["user_expressions"]["x"]
        assert answer["status"] == "ok", answer
        return eval(answer["data"]["text/plain"])

    def complete(self, code: str, cursor: int | None = None) -> tuple[list[str], int, int]:
        """Return the completions that Tab offers, and the start and end of the text that they replace."""
        at = len(code) if cursor is None else cursor
        reply = self.client.complete(code, at, reply=True, timeout=LONG)["content"]
        return reply["matches"], reply["cursor_start"], reply["cursor_end"]

    def inspect(self, code: str, cursor: int) -> str:
        reply = self.client.inspect(code, cursor, reply=True, timeout=LONG)["content"]
        return reply["data"].get("text/plain", "") if reply["found"] else ""

    def control(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """Send a request on the control channel, such as one of the debugger, and return the reply."""
        message = self.client.session.msg(kind, content)
        self.client.control_channel.send(message)
        while True:
            reply = self.client.control_channel.get_msg(timeout=LONG)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return reply["content"]

    def _reply(self, message: dict[str, Any]) -> dict[str, Any]:
        while True:
            try:
                reply = self.client.get_shell_msg(timeout=LONG)
            except queue.Empty:
                raise AssertionError("the kernel does not answer") from None
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return reply["content"]


@contextmanager
def notebook_kernel(folder: Path, name: str) -> Iterator[Kernel]:
    """Yield a kernel whose notebook is the file `path`, which each test may write."""
    path = folder / name
    env = {
        **os.environ, "IPYTHONDIR": str(folder / "ipython"), "NBDAG_HOME": str(folder / ".nbdag"),
        "JPY_SESSION_NAME": str(path),
    }  # fmt: skip
    kernel = Kernel(cwd=str(folder), env=env)
    kernel.path = path
    try:
        yield kernel
    finally:
        kernel.stop()


def reset(kernel: Kernel) -> Kernel:
    """Return the kernel with no cell run, no notebook file, and no time for a page to show the widget."""
    kernel.path.unlink(missing_ok=True)
    kernel.quietly(
        "%unload_ext nbdag\nimport nbdag.magics.graph_display as graph_display\ngraph_display.WIDGET_TIMEOUT = 0"
    )
    kernel.quietly("get_ipython().reset()\nget_ipython().history_manager.input_hist_raw[:] = ['']")
    kernel.run("%load_ext nbdag", "load")
    return kernel
