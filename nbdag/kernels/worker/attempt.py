"""One attempt of one task: let papermill execute the attempt's notebook, and return the result.

Papermill changes the working directory and is not thread-safe, so each attempt has a process to itself, a `worker`.
Standard output and error of that process become the attempt's text log.
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
from dataclasses import fields
from pathlib import Path
from typing import Any

import papermill
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from ...core.model.job import KERNEL_DIED, TIMED_OUT, Job, Outcome, Result
from ...core.model.secret_names import is_reference, masked
from ...core.model.states import TaskState
from ...environments import python_of, site_dirs_of
from ...errors import NbdagError
from ...processes.identity import MARK_VARIABLE, WORKER_VARIABLE
from ...processes.leftovers import forget_processes, record_processes
from ...processes.marks import new_attempt_mark
from ...processes.process_tree import kill_marked, kill_tree
from ...secrets import mask
from ...secrets.sources import HOME_ENV_FILE, LOOKUPS, hide_known_values, hide_looked_up
from ...writing import create_private_file, is_json, to_json, write_atomically
from ..forkserver import framing
from ..forkserver.preload import preloadable
from ..jupyter.engine import ENGINE, START_TIMEOUT, Execution
from ..jupyter.manager import TaskKernelManager
from .task_notebook import task_notebook
from .working_folder import working_folder

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LOOKED_UP = "looked-up"  # file in the attempt's folder with the names of the secrets that the attempt has looked up
_CRASH_OUTPUT = 65_536  # maximum size in bytes of a dead kernel's output that is copied to the log


class Attempt:
    """The execution of one job."""

    def __init__(self, job: Job, folder: Path, connection: socket.socket) -> None:
        self.job = job
        self.mark = job.mark or new_attempt_mark()
        self.started = time.time()
        self.execution: Execution | None = None
        self._folder = folder
        # File with the output of the kernel process itself, such as the last lines before a crash.
        self._echo = Path(folder) / "echo"
        self._connection = connection
        self._kernel: int | None = None  # pid of the kernel
        self._termination: str | None = None  # why the attempt was terminated; None if it was not
        self._result_sent = False  # whether the result was sent; after that, the attempt cannot be terminated
        self._lock = threading.Lock()

    def execute(self) -> Result:
        """Execute the notebook; return a result for every kind of failure."""
        os.environ[MARK_VARIABLE] = self.mark
        record_processes(Path(self.job.path), [os.getpid()])
        log = Path(self.job.path).with_suffix(".log")
        try:
            with (
                log.open("a", encoding="utf-8", buffering=1) as file,
                self._echo.open("wb") as echo,
                working_folder(self.job, lambda line: file.write(f"{line}\n")) as folder,
            ):
                os.chdir(folder)
                nb = task_notebook(self.job)
                # ipykernel captures the output of the task's subprocesses, and also writes it to the kernel's own
                # streams. These streams go to a separate file, because the log would otherwise contain the output
                # twice.
                for stream in (1, 2):
                    os.dup2(echo.fileno(), stream)
                result = self._execute(nb, file, folder)
                os.chdir(self.job.cwd)
                self._show_parameters()
                if result.traceback or result.error:
                    file.write(f"{result.traceback or result.error}\n")
        except TimeoutError as error:  # nbclient raises this error
            return self._failed(f"the outputs of the cell did not arrive: {str(error).partition(chr(10))[0]}")
        except NbdagError as error:
            return self._failed(str(error))
        except OSError as error:
            return self._failed(
                f"{_reason(error)}: {error.filename or self.job.path}; make the folder writable or free some space"
            )
        except Exception as error:
            return self._failed(f"{type(error).__name__}: {error}")
        return result

    def terminate(self, reason: str) -> bool:
        """Kill the kernel so that `execute` returns in its thread. Return False if the result was already sent."""
        with self._lock:
            if self._result_sent:
                return False
            self._termination = self._termination or reason
            pid = self._kernel
        if pid is not None:
            kill_tree(pid, self.mark)
        return True

    def give_up(self, reason: str) -> None:
        """Kill the kernel again and send a failure without a notebook, because `execute` has not returned in time."""
        if self.terminate(reason):
            self.send_result(self._failed(self._termination or reason))

    def send_heartbeat(self) -> None:
        """Notify the executor that this process is alive, unless the result was sent."""
        with self._lock, contextlib.suppress(OSError):  # the executor has ended
            if not self._result_sent:
                framing.send(self._connection, {"alive": True})

    def send_result(self, result: Result) -> bool:
        """Send the result to the executor.

        Return False if the attempt was terminated. In this case, this process must end.
        """
        with self._lock, contextlib.suppress(OSError):  # the executor has ended
            self._result_sent = self._termination is None
            framing.send(self._connection, {"result": True}, pickle.dumps(result))
        return self._result_sent

    def close(self) -> None:
        """Shut the kernel down after the result was sent, and kill the remaining processes of the attempt."""
        if self.execution is not None:
            with contextlib.suppress(Exception):
                self.execution.close()
        if self._kernel is not None:
            with contextlib.suppress(OSError):
                os.killpg(self._kernel, signal.SIGKILL)
        if self.execution is not None and self.execution.has_processes:
            kill_marked(self.mark)  # kill also processes of the attempt that have left the kernel's process group
        forget_processes(Path(self.job.path))

    def _execute(self, nb: Any, log: Any, folder: str) -> Result:
        job = self.job
        try:
            create_private_file(Path(job.path))  # create the file with a private mode, which papermill keeps
            self.execution = Execution(_manager(job, self._folder), self._on_kernel)
            papermill.execute_notebook(
                nb,
                # Papermill formats the path as a template, so braces are doubled.
                job.path.replace("{", "{{").replace("}", "}}"),
                parameters={name: value for name, value in job.parameters.items() if not is_reference(value)},
                engine_name=ENGINE,
                kernel_name=job.kernel_name,
                language="python",
                progress_bar=False,
                request_save_on_cell_execute=False,
                start_timeout=START_TIMEOUT,
                stdout_file=log,
                stderr_file=log,
                cwd=folder,
                execution=self.execution,
            )
        except NoSuchKernel:
            installed = ", ".join(sorted(KernelSpecManager().find_kernel_specs())) or "none"
            return self._failed(
                f"unknown kernel {job.kernel_name!r} (installed: {installed}); install it or choose another one in the "
                "notebook"
            )
        except PapermillExecutionError as error:
            return self._failed_in_cell(error)
        except DeadKernelError:
            kill_tree(None, self.mark)
            reason = self._termination or _describe_death(self.execution.exit_code if self.execution else None)
            hide_known_values()  # the kernel masks its messages, but not text written directly to its streams
            hide_looked_up(self._folder / _LOOKED_UP)
            log.write(mask(self._echo.read_bytes().decode(errors="replace"))[-_CRASH_OUTPUT:])
            self._keep_notebook(reason)
            return self._failed(reason, kinds=KERNEL_DIED)
        except RuntimeError as error:  # jupyter_client raises RuntimeError if the kernel did not start in time
            return self._failed(self._termination or f"the kernel did not start: {error}")
        return self._done()

    def _show_parameters(self) -> None:
        """Correct the parameters that papermill has written into the notebook's metadata.

        Papermill receives no secret parameters, so they are added here, masked. Papermill also writes NaN and
        infinities, which JavaScript cannot read, so they are replaced.
        """
        parameters = self.job.parameters
        if not any(is_reference(value) for value in parameters.values()) and is_json(parameters):
            return
        path = Path(self.job.path)
        with contextlib.suppress(OSError, ValueError, LookupError):
            nb = json.loads(path.read_bytes())
            nb["metadata"]["papermill"]["parameters"] = masked(parameters)
            write_atomically(path, to_json(nb, indent=1).encode())

    def _on_kernel(self, pid: int) -> None:
        with self._lock:
            self._kernel = pid
            is_terminated = self._termination is not None
            framing.send(self._connection, {"kernel": pid, "mark": self.mark})
        record_processes(Path(self.job.path), [pid, os.getpid()])
        if is_terminated:
            kill_tree(pid, self.mark)

    def _done(self) -> Result:
        outcome = self._outcome
        if self._termination is not None:  # the cell can end normally if a process for which it waits is killed first
            return self._failed(self._termination)
        if outcome is None:
            return self._failed("the kernel executed its cells but published no outcome")
        return self._result(outcome)

    @property
    def _outcome(self) -> Outcome | None:
        return self.execution.outcome if self.execution is not None else None

    def _failed_in_cell(self, error: PapermillExecutionError) -> Result:
        outcome = self._outcome
        lines = "\n".join(error.traceback) if error.traceback else f"{error.ename}: {error.evalue}"
        text = _ESCAPES.sub("", lines)
        if outcome is None and "No module named 'nbdag'" in text:
            return self._failed(
                f"the Python of kernel {self.job.kernel_name!r} has no nbdag; install it there (`pip install nbdag`)"
            )
        message = outcome.error if outcome is not None and outcome.error else f"{error.ename}: {error.evalue}"
        outcome = outcome or Outcome(state=TaskState.FAILED)
        return self._failed(
            message.strip(),
            traceback=text,
            final=outcome.final,
            files=outcome.files,
            kinds=outcome.kinds,
            retry=outcome.retry,
        )

    def _failed(self, error: str, *, traceback: str | None = None, final: bool = False, **observed: Any) -> Result:
        if self._termination is not None:
            # A killed kernel causes many kinds of errors. The reason why it was killed is more useful than these.
            error, final = self._termination, False
            observed |= {"kinds": TIMED_OUT if error.startswith("timed out") else KERNEL_DIED, "retry": None}
        outcome = Outcome(state=TaskState.FAILED, error=error, final=final, **observed)
        return self._result(outcome, traceback=traceback)

    def _result(self, outcome: Outcome, traceback: str | None = None) -> Result:
        observed = {each.name: getattr(outcome, each.name) for each in fields(outcome)}
        return Result(key=self.job.key, started=self.started, ended=time.time(), traceback=traceback, **observed)

    def _keep_notebook(self, reason: str) -> None:
        """Write the notebook after the kernel has died, because papermill does not write it in this case."""
        if self.execution is None or self.execution.client is None:
            return
        cell = self.execution.died_in_cell
        if cell is not None:
            cell.metadata.papermill.update(exception=True, status="failed")
            cell.outputs.append(
                {"output_type": "error", "ename": "KernelDied", "evalue": reason, "traceback": [reason]}
            )
        with contextlib.suppress(OSError):
            text = json.dumps(self.execution.client.nb, indent=1, ensure_ascii=False)
            write_atomically(Path(self.job.path), text.encode())


def _manager(job: Job, folder: Path) -> TaskKernelManager:
    """Return the kernel's manager; the kernel's sockets are in a folder that only the owner can enter."""
    os.environ[WORKER_VARIABLE] = str(os.getpid())
    # The path is set here, because the kernel may find another home than that of the run.
    if "://" not in job.values:
        home = Path(job.home) if job.home else Path(job.values).parent
        os.environ.setdefault(HOME_ENV_FILE, str(home.parent / ".env"))
    (folder / _LOOKED_UP).unlink(missing_ok=True)  # left by this worker's earlier attempt
    os.environ[LOOKUPS] = str(folder / _LOOKED_UP)
    warm = job.kernels == "warm"
    sites = site_dirs_of(job.packages) if job.packages else None
    return TaskKernelManager(
        kernel_name=job.kernel_name,
        warm=warm,
        python=str(python_of(job.packages)) if job.packages else "",
        modules=list(preloadable(job.imports, Path(job.cwd), sites=sites)) if warm else [],
        connection_file=str(folder / "kernel.json"),
    )


def _describe_death(code: int | None) -> str:
    if code is None:
        return "the kernel ended unexpectedly"
    if code >= 0:
        return f"the kernel ended by itself, with exit code {code}"
    name = signal.Signals(-code).name
    hint = ", perhaps because the system ran out of memory" if name == "SIGKILL" else ""
    return f"the kernel was killed by {name}{hint}"


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
