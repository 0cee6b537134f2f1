"""The papermill engine for one task: a notebook client with less waiting time.

Unlike papermill's own engine, this engine gets the kernel manager from its `Execution`. The `Execution` shuts the
kernel down after the result is reported, so that no task waits for the shutdown. The engine overrides methods of
papermill and nbclient and patches nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbclient.util import run_sync
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

from ...core.model.cell_tags import DISPLAY_ID, DISPLAY_UPDATES, HELPER, PARAMETERS, RENDERED, SETUP, tags_of
from ...core.model.job import Outcome
from ...core.model.states import TaskState
from ..runtime.messages import MIME, PROCESSES, RENDERED_MIME, outcome_from_dict
from .output_limits import OutputLimits
from .widget_texts import write_widget_texts

ENGINE = "nbdag-task"
START_TIMEOUT = 600  # seconds within which a running kernel must reply; the death of a kernel is detected immediately
IOPUB_TIMEOUT = 600  # seconds within which outputs must arrive after the end of a cell


class Execution:
    """One execution of a notebook: the inputs of the engine, and its observations."""

    def __init__(self, manager: AsyncKernelManager, on_kernel: Callable[[int], None]) -> None:
        self.manager = manager
        self.on_kernel = on_kernel  # function that is called with the kernel's pid
        self.client: TaskClient | None = None
        self.outcome: Outcome | None = None  # the outcome that the kernel published; None before that
        self.has_processes = True  # whether a process that the kernel started may still exist
        # Exit code of a kernel that ended by itself; a negative code is the number of a signal.
        self.exit_code: int | None = None
        self.died_in_cell: Any = None  # the cell that the kernel was executing when it died

    def close(self) -> None:
        """Request the kernel's shutdown, so that the kernel flushes and closes its open files."""
        if self.client is not None:
            run_sync(self.client.shut_down)()


class TaskClient(PapermillNotebookClient):  # type: ignore[misc]
    """Executes an attempt's notebook."""

    def __init__(self, nb_man: Any, execution: Execution, **options: Any) -> None:
        self.kc: Any = None
        super().__init__(nb_man, km=execution.manager, **options)
        self.execution = execution
        self._limits = OutputLimits()
        self._of_setup: list[str] | None = None  # text that the running setup cell has printed; None in other cells
        execution.client = self

    async def async_start_new_kernel(self, **options: Any) -> None:
        """Start the kernel and report its pid."""
        await super().async_start_new_kernel(**options)
        self.execution.on_kernel(self.km.provisioner.pid)

    start_new_kernel = run_sync(async_start_new_kernel)

    async def async_execute_cell(self, cell: Any, cell_index: int, *args: Any, **options: Any) -> Any:
        """Execute a cell; only cells of the user get an execution number, as in a live notebook."""
        tags = tags_of(cell)
        options["store_history"] = HELPER not in tags
        self._of_setup = [] if SETUP in tags or PARAMETERS in tags else None
        try:
            return await super().async_execute_cell(cell, cell_index, *args, **options)
        except CellExecutionError:
            self._log("".join(self._of_setup or ()))  # the printed text of setup may explain the error
            raise
        except DeadKernelError:
            self.execution.exit_code = await self.km.provisioner.poll()
            self.execution.died_in_cell = cell
            raise
        finally:
            self._of_setup = None

    execute_cell = run_sync(async_execute_cell)

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        """Store the outcome if the message is the kernel's outcome; write the output of any other message into the
        notebook, within limits.
        """
        if msg["msg_type"] == "display_data" and MIME in msg["content"]["data"]:
            data = dict(msg["content"]["data"][MIME])
            self.execution.has_processes = data.pop(PROCESSES, True)
            self.execution.outcome = outcome_from_dict(data)
            return None
        if msg["msg_type"] == "display_data" and RENDERED_MIME in msg["content"]["data"]:
            own = self.nb.metadata.setdefault("nbdag", NotebookNode())
            own[RENDERED] = dict(msg["content"]["data"][RENDERED_MIME])
            return None
        excess = self._limits.excess(msg)
        self._keep_display_id(msg)
        is_kept = excess is None or bool(msg["content"].get("text"))
        output = super().process_message(msg, cell, cell_index) if is_kept else None
        if excess is not None:
            self._log(excess)
            note = self._limits.note(Path(self.stdout_file.name).name)
            if note is not None:
                cell.outputs.append(NotebookNode(note))
        return output

    def log_output_message(self, output: Any) -> None:
        """Write printed text into the log, except text of setup, which is the same for every task."""
        if self._of_setup is None:
            super().log_output_message(output)
        elif output.output_type == "stream":
            self._of_setup.append("".join(output.text))

    def _log(self, text: str) -> None:
        self.stdout_file.write(text)

    def _keep_display_id(self, msg: Any) -> None:
        """Record, for the report of the run, the id of a display or the update of another task's display."""
        name = (msg["content"].get("transient") or {}).get("display_id")
        if not name or msg["msg_type"] not in ("display_data", "execute_result", "update_display_data"):
            return
        content = msg["content"]
        if msg["msg_type"] == "update_display_data" and name not in self._display_id_map:
            updates = self.nb.metadata.setdefault("nbdag", NotebookNode()).setdefault(DISPLAY_UPDATES, NotebookNode())
            updates[name] = {"data": content["data"], "metadata": content["metadata"]}
        else:
            content["metadata"] = {**content["metadata"], DISPLAY_ID: name}

    async def shut_down(self) -> None:
        """Request the shutdown of the kernel if it is running; release the connections to it."""
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


# States of a task whose cell was ended early by an exception that is no failure.
_ENDED_EARLY = (TaskState.SKIPPED, TaskState.UP_FOR_RESCHEDULE)


class TaskEngine(NBClientEngine):  # type: ignore[misc]
    """Papermill's engine with a `TaskClient`."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        *,
        execution: Execution,
        log_output: bool = False,
        stdout_file: Any = None,
        stderr_file: Any = None,
        start_timeout: int = START_TIMEOUT,
        **_: Any,
    ) -> None:
        """Execute the notebook; leave the kernel running until `Execution.close`."""
        client = TaskClient(
            nb_man,
            execution,
            kernel_name=kernel_name,
            startup_timeout=start_timeout,
            timeout=None,
            iopub_timeout=IOPUB_TIMEOUT,
            # nbclient does not treat `sys.exit()` as an error. If it makes the task fail, the kernel publishes the
            # failure.
            allow_error_names=["SystemExit"],
            log_output=log_output,
            stdout_file=stdout_file,
            stderr_file=stderr_file,
        )
        try:
            client.execute()
        finally:
            write_widget_texts(nb_man.nb, client.widget_state)
        if execution.outcome is not None and execution.outcome.state in _ENDED_EARLY:
            _clear_exception(nb_man.nb)


def _clear_exception(nb: Any) -> None:
    """Mark the cell that ended its task early as completed; nbclient has recorded the exception as an error."""
    nb.metadata.papermill["exception"] = None
    for cell in nb.cells:
        if cell.metadata.papermill["exception"]:
            cell.metadata.papermill.update(exception=False, status="completed")


papermill_engines.register(ENGINE, TaskEngine)
