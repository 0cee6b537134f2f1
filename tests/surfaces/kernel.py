"""A real kernel over the real protocol, for the tests of what a person does in a notebook."""

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
    """What came back of one cell."""

    status: str
    content: dict[str, Any]
    outputs: list[dict[str, Any]] = field(default_factory=list)  # messages of iopub: type and content

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
        """What the last expression displayed, as text."""
        found = self.of("execute_result")
        return found[-1]["data"]["text/plain"] if found else None

    @property
    def traceback(self) -> str:
        lines = [line for error in self.of("error") for line in error["traceback"]]
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines))


class Kernel:
    """One kernel and its client."""

    path: Path  # of its notebook, where it has one

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
        """Ask for a cell to be executed, without waiting."""
        content = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False, "stop_on_error": True,
        }  # fmt: skip
        self._asked = self.client.session.msg("execute_request", content, metadata={"cellId": cell} if cell else {})
        self.client.shell_channel.send(self._asked)

    def finish(self) -> Reply:
        """Wait for the cell that was asked for."""
        reply = self._reply(self._asked)
        outputs: list[dict[str, Any]] = []
        while True:
            said = self.client.get_iopub_msg(timeout=LONG)
            if said["parent_header"].get("msg_id") != self._asked["header"]["msg_id"]:
                continue
            if said["msg_type"] == "status" and said["content"]["execution_state"] == "idle":
                break
            if said["msg_type"] not in ("status", "execute_input"):
                outputs.append({"msg_type": said["msg_type"], "content": said["content"]})
        return Reply(reply["status"], reply, outputs)

    def await_debugger(self, event: str) -> dict[str, Any]:
        """Wait until the debugger says that something has happened."""
        while True:
            said = self.client.get_iopub_msg(timeout=LONG)
            if said["msg_type"] == "debug_event" and said["content"]["event"] == event:
                return said["content"]

    def quietly(self, code: str) -> None:
        """Run something that is no cell."""
        assert self.client.execute(code, silent=True, reply=True)["content"]["status"] == "ok"

    def value(self, expression: str) -> str:
        """The repr of an expression."""
        reply = self.client.execute("", user_expressions={"x": f"repr({expression})"}, silent=True, reply=True)
        told = reply["content"]["user_expressions"]["x"]
        assert told["status"] == "ok", told
        return eval(told["data"]["text/plain"])

    def complete(self, code: str, cursor: int | None = None) -> tuple[list[str], int, int]:
        """What Tab offers, and what it replaces."""
        at = len(code) if cursor is None else cursor
        reply = self.client.complete(code, at, reply=True, timeout=LONG)["content"]
        return reply["matches"], reply["cursor_start"], reply["cursor_end"]

    def inspect(self, code: str, cursor: int) -> str:
        reply = self.client.inspect(code, cursor, reply=True, timeout=LONG)["content"]
        return reply["data"].get("text/plain", "") if reply["found"] else ""

    def control(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """A request on the control channel, such as the debugger's."""
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
def of_a_notebook(folder: Path, name: str) -> Iterator[Kernel]:
    """A kernel whose notebook is a file that each test may write: its `path`."""
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


def begun_anew(kernel: Kernel) -> Kernel:
    """With nothing run, no file, and a page that shows no widget and is given no time to."""
    kernel.path.unlink(missing_ok=True)
    kernel.quietly(
        "%unload_ext nbdag\nimport nbdag.magics.graph_display as graph_display\ngraph_display.WIDGET_TIMEOUT = 0"
    )
    kernel.quietly("get_ipython().reset()\nget_ipython().history_manager.input_hist_raw[:] = ['']")
    kernel.run("%load_ext nbdag", "load")
    return kernel
