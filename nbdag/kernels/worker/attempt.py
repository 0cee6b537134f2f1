"""One attempt at one task: drive papermill, and say what became of it.

Papermill changes the working directory, and is not safe in threads: hence an attempt has its process for itself, which
is a `worker`. Standard output and error of that process become the attempt's text log.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import papermill
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from ...core.model.job import Job, Result
from ...core.model.states import TaskState
from ...processes.identity import MARK, WORKER
from ...processes.leftovers import forget, remember
from ...processes.process_tree import end_all, new_mark
from ...writing import write_atomically
from ..forkserver import framing
from ..forkserver.preload import ahead
from ..jupyter.engine import ENGINE, START_TIMEOUT, Drive
from ..jupyter.manager import TaskKernelManager
from ..runtime.messages import Report
from .task_notebook import task_notebook

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_OUT_OF_SPACE = "make the folder writable, or free some space"
_LAST_WORDS = 65_536  # bytes of what a kernel that died had written


class Attempt:
    """One job, being done."""

    def __init__(self, job: Job, folder: Path, connection: socket.socket) -> None:
        self.job = job
        self.mark = new_mark()
        self.started = time.time()
        self.drive: Drive | None = None
        self._folder = folder
        self._echo = Path(folder) / "echo"  # what reaches the kernel's own streams: a crash's last words among it
        self._connection = connection
        self._kernel: int | None = None
        self._why: str | None = None  # it was ended, and so
        self._told = False  # the result is: nobody ends it any more
        self._lock = threading.Lock()

    def make(self) -> Result:
        """Execute the notebook; whatever happens, there is a result."""
        os.environ[MARK] = self.mark
        remember(Path(self.job.path), [os.getpid()], self.mark)
        log = Path(self.job.path).with_suffix(".log")
        try:
            nb = task_notebook(self.job)
            os.chdir(self.job.cwd)
            with log.open("a", encoding="utf-8", buffering=1) as file, self._echo.open("wb") as echo:
                # ipykernel sends what processes of the task print, and writes it to the kernel's own streams as well:
                # were those the log, it would stand there twice.
                for stream in (1, 2):
                    os.dup2(echo.fileno(), stream)
                result = self._execute(nb, file)
                if result.traceback or result.error:
                    file.write(f"{result.traceback or result.error}\n")
        except OSError as error:
            return self._failed(f"{_reason(error)}: {error.filename or self.job.path}; {_OUT_OF_SPACE}")
        except Exception as error:
            return self._failed(f"{type(error).__name__}: {error}")
        return result

    def end(self, why: str) -> bool:
        """Kill the kernel, from another thread; `make` then comes to an end. False where it has done so already."""
        with self._lock:
            if self._told:
                return False
            self._why = self._why or why
            pid = self._kernel
        if pid is not None:
            end_all(pid, self.mark)
        return True

    def give_up(self, why: str) -> None:
        """Kill the kernel once more and report the end, without a notebook: `make` has not come to an end in time."""
        if self.end(why):
            self.tell(self._failed(self._why or why))

    def beat(self) -> None:
        """Say that this process is alive, for as long as there is no result."""
        with self._lock, contextlib.suppress(OSError):  # one who is not there any more does not miss it
            if not self._told:
                framing.send(self._connection, {"alive": True})

    def tell(self, result: Result) -> bool:
        """Tell the executor the result; False where the attempt was ended, and the process is to end with it."""
        with self._lock, contextlib.suppress(OSError):  # nobody there any more
            self._told = self._why is None
            framing.send(self._connection, {"result": True}, pickle.dumps(result))
        return self._told

    def close(self) -> None:
        """After the result has been told: shut the kernel down and end what is left of its group."""
        if self.drive is not None:
            with contextlib.suppress(Exception):
                self.drive.close()
        if self._kernel is not None:
            with contextlib.suppress(OSError):
                os.killpg(self._kernel, signal.SIGKILL)
        forget(Path(self.job.path))

    def _execute(self, nb: Any, log: Any) -> Result:
        job = self.job
        try:
            self.drive = Drive(_manager(job, self._folder), self._on_kernel)
            papermill.execute_notebook(
                nb,
                job.path.replace("{", "{{").replace("}", "}}"),  # papermill takes it for a template
                parameters=dict(job.parameters),
                engine_name=ENGINE,
                kernel_name=job.kernel_name,
                language="python",
                progress_bar=False,
                request_save_on_cell_execute=False,
                start_timeout=START_TIMEOUT,
                stdout_file=log,
                stderr_file=log,
                cwd=job.cwd,
                drive=self.drive,
            )
        except NoSuchKernel:
            installed = ", ".join(sorted(KernelSpecManager().find_kernel_specs())) or "none"
            return self._failed(
                f"there is no kernel named {job.kernel_name!r} (installed: {installed}); install it, or choose another "
                "one in the notebook"
            )
        except PapermillExecutionError as error:
            return self._failed_in_cell(error)
        except DeadKernelError:
            end_all(None, self.mark)
            why = self._why or _death(self.drive.exit_code if self.drive else None)
            log.write(self._echo.read_bytes()[-_LAST_WORDS:].decode(errors="replace"))
            self._keep_notebook(why)
            return self._failed(why)
        except RuntimeError as error:  # jupyter_client's way to say that there is no kernel, or not in time
            return self._failed(self._why or f"the kernel could not be started ({error})")
        return self._done()

    def _on_kernel(self, pid: int) -> None:
        with self._lock:
            self._kernel = pid
            ended = self._why is not None
            framing.send(self._connection, {"kernel": pid, "mark": self.mark})
        remember(Path(self.job.path), [pid, os.getpid()], self.mark)
        if ended:
            end_all(pid, self.mark)

    def _done(self) -> Result:
        report = self._report
        if report is None:
            return self._failed("the kernel ended its cells without saying how they went")
        return Result(
            key=self.job.key,
            state=TaskState(report.state),
            started=self.started,
            ended=time.time(),
            outputs=tuple(report.outputs),
            notes=tuple(report.notes),
            error=report.error,
            short_circuit=report.short_circuit,
            length=report.length,
            elements=tuple(report.elements),
        )

    @property
    def _report(self) -> Report | None:
        return self.drive.report if self.drive is not None else None

    def _failed_in_cell(self, error: PapermillExecutionError) -> Result:
        report = self._report
        lines = "\n".join(error.traceback) if error.traceback else f"{error.ename}: {error.evalue}"
        text = _ESCAPES.sub("", lines)
        if report is None and "No module named 'nbdag'" in text:
            return self._failed(
                f"the Python of kernel {self.job.kernel_name!r} has no nbdag; install it there (`pip install nbdag`)"
            )
        said = report.error if report is not None and report.error else f"{error.ename}: {error.evalue}"
        return self._failed(said.strip(), traceback=text, final=report.final if report is not None else False)

    def _failed(self, error: str, *, traceback: str | None = None, final: bool = False) -> Result:
        return Result(
            key=self.job.key,
            state=TaskState.FAILED,
            started=self.started,
            ended=time.time(),
            error=error,
            traceback=traceback,
            final=final,
        )

    def _keep_notebook(self, why: str) -> None:
        """Papermill leaves the notebook of a kernel that died unwritten."""
        if self.drive is None or self.drive.client is None:
            return
        cell = self.drive.died_in
        if cell is not None:
            cell.metadata.papermill.update(exception=True, status="failed")
            cell.outputs.append({"output_type": "error", "ename": "KernelDied", "evalue": why, "traceback": [why]})
        with contextlib.suppress(OSError):
            text = json.dumps(self.drive.client.nb, indent=1, ensure_ascii=False)
            write_atomically(Path(self.job.path), text.encode())


def _manager(job: Job, folder: Path) -> TaskKernelManager:
    """The kernel's manager: its sockets are in a folder that only the owner can enter."""
    os.environ[WORKER] = str(os.getpid())
    warm = job.kernels == "warm"
    return TaskKernelManager(
        kernel_name=job.kernel_name,
        warm=warm,
        modules=list(ahead(job.imports, Path(job.cwd))) if warm else [],
        connection_file=str(folder / "kernel.json"),
    )


def _death(code: int | None) -> str:
    if code is None:
        return "the kernel ended unexpectedly"
    if code >= 0:
        return f"the kernel ended by itself, with exit code {code}"
    name = signal.Signals(-code).name
    hint = ", perhaps because memory ran out" if name == "SIGKILL" else ""
    return f"the kernel was killed by {name}{hint}"


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
