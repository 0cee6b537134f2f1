"""Papermill's engine for one task: an ordinary notebook client, with less waiting.

It differs from papermill's own in what it leaves to its `Drive`: which kernel manager is used, and when the kernel is
shut down (after the result is known, so that nobody waits for it). Nothing of papermill or nbclient is patched: what
differs is overridden.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from nbclient.util import run_sync
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

from ...core.model.cell_tags import HELPER, tags_of
from ..runtime.messages import MIME, Report

ENGINE = "nbdag-task"
START_TIMEOUT = 600  # seconds until a living kernel answers; one that dies is noticed at once


class Drive:
    """One execution: what the engine is told, and what it leaves behind."""

    def __init__(self, manager: AsyncKernelManager, on_kernel: Callable[[int], None]) -> None:
        self.manager = manager
        self.on_kernel = on_kernel  # is told the kernel's pid
        self.client: TaskClient | None = None
        self.report: Report | None = None  # what the kernel said
        self.exit_code: int | None = None  # of a kernel that ended by itself; negative: the signal
        self.died_in: Any = None  # the cell that it was executing then

    def close(self) -> None:
        """Let the kernel end in its own time: what it left open is flushed and closed."""
        if self.client is not None:
            run_sync(self.client.let_go)()


class TaskClient(PapermillNotebookClient):  # type: ignore[misc]
    """Executes an attempt's notebook."""

    def __init__(self, nb_man: Any, drive: Drive, **options: Any) -> None:
        self.kc: Any = None
        super().__init__(nb_man, km=drive.manager, **options)
        self.drive = drive
        drive.client = self

    async def async_start_new_kernel(self, **options: Any) -> None:
        """Start the kernel, and say which process it is."""
        await super().async_start_new_kernel(**options)
        self.drive.on_kernel(self.km.provisioner.pid)

    start_new_kernel = run_sync(async_start_new_kernel)

    async def async_execute_cell(self, cell: Any, cell_index: int, *args: Any, **options: Any) -> Any:
        """Execute a cell; nbdag's own do not count, so the user's are numbered as in a live notebook."""
        options["store_history"] = HELPER not in tags_of(cell)
        try:
            return await super().async_execute_cell(cell, cell_index, *args, **options)
        except DeadKernelError:
            self.drive.exit_code = await self.km.provisioner.poll()
            self.drive.died_in = cell
            raise

    execute_cell = run_sync(async_execute_cell)

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        """What the kernel has to say is taken out; all else goes into the notebook."""
        if msg["msg_type"] == "display_data" and MIME in msg["content"]["data"]:
            self.drive.report = Report.from_dict(msg["content"]["data"][MIME])
            return None
        return super().process_message(msg, cell, cell_index)

    async def let_go(self) -> None:
        """Shut the kernel down, by request where it still listens."""
        try:
            if await self.km.is_alive():
                await self.km.shutdown_kernel(now=False)
        except RuntimeError as error:
            if "No kernel is running" not in str(error):
                raise
        finally:
            client, self.kc = self.kc, None
            if client is not None:
                client.stop_channels()
            await asyncio.shield(self.km.cleanup_resources())


class TaskEngine(NBClientEngine):  # type: ignore[misc]
    """Papermill's engine, with our client."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        *,
        drive: Drive,
        log_output: bool = False,
        stdout_file: Any = None,
        stderr_file: Any = None,
        start_timeout: int = START_TIMEOUT,
        **_: Any,
    ) -> None:
        """Execute the notebook; the kernel is left running for `Drive.close`."""
        client = TaskClient(
            nb_man,
            drive,
            kernel_name=kernel_name,
            startup_timeout=start_timeout,
            timeout=None,
            # So that `sys.exit()` ends a cell and not the task; a task that fails by it is told by the kernel.
            allow_error_names=["SystemExit"],
            log_output=log_output,
            stdout_file=stdout_file,
            stderr_file=stderr_file,
        )
        client.execute()
        if drive.report is not None and drive.report.state == "skipped":
            _unmark(nb_man.nb)


def _unmark(nb: Any) -> None:
    """A cell that skips its task ends with an error for nbclient, and is none."""
    nb.metadata.papermill["exception"] = None
    for cell in nb.cells:
        if cell.metadata.papermill["exception"]:
            cell.metadata.papermill.update(exception=False, status="completed")


papermill_engines.register(ENGINE, TaskEngine)
