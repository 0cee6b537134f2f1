"""A running kernel of a task, for tests that use Jupyter's own protocol."""

from __future__ import annotations

import asyncio
import os
import textwrap
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from patience import LONG

from nbdag.kernels.jupyter.manager import TaskKernelManager

QUIET = ["--HistoryManager.hist_file=:memory:"]


class Kernel:
    """A running kernel and its client."""

    def __init__(self, manager: TaskKernelManager, client: Any) -> None:
        self.manager, self.client = manager, client

    @property
    def pid(self) -> int:
        return int(self.manager.provisioner.pid)

    async def run(self, code: str) -> str:
        """Return a cell's standard output; raise AssertionError with the traceback if it fails."""
        said = await self.messages(code)
        errors = ["\n".join(each["traceback"]) for kind, each in said if kind == "error"]
        assert not errors, errors[0]
        return "".join(each["text"] for kind, each in said if kind == "stream")

    async def messages(self, code: str) -> list[tuple[str, dict[str, Any]]]:
        request = self.client.execute(textwrap.dedent(code))
        said = []
        while True:
            message = await self.client.get_iopub_msg(timeout=LONG)
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["content"].get("execution_state") == "idle":
                break
            said.append((message["msg_type"], message["content"]))
        await self.client.get_shell_msg(timeout=LONG)
        return said

    async def lines(self, code: str, count: int) -> list[str]:
        """Run a cell whose processes print `count` words, and return these, sorted: they may come after its answer."""
        words = (await self.run(code)).split()
        while len(words) < count:
            message = await self.client.get_iopub_msg(timeout=LONG)
            if message["msg_type"] == "stream":
                words += message["content"]["text"].split()
        return sorted(words)


@asynccontextmanager
async def kernel(*modules: str, warm: bool = True, **options: Any):
    manager = TaskKernelManager(kernel_name="python3", modules=list(modules), warm=warm)
    env = {**(options.pop("env", None) or os.environ)}
    await manager.start_kernel(extra_arguments=QUIET, env=env, **options)
    forked = Kernel(manager, manager.client())
    forked.client.start_channels()
    try:
        await forked.client.wait_for_ready(timeout=LONG)
        yield forked
    finally:
        forked.client.stop_channels()
        await manager.shutdown_kernel()


def run(what: Callable[[], Awaitable[Any]]) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(what())
    # A browser test in this process has left its event loop running in this thread.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(what())).result()
