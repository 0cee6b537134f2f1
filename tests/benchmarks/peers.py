"""Other tools that run the same pipelines, from an environment that has them installed.

    python -m venv peers && peers/bin/pip install ploomber dagstermill luigi 'setuptools<80'
    python -m tests.benchmarks --peers peers/bin

A pipeline maps each task to its code and its upstream tasks. Each tool runs it in the way that its documentation
recommends: Ploomber and dagstermill with a notebook per task, Luigi with a Python task. No values are passed.
"""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import nbformat

Tasks = Mapping[str, tuple[str, list[str]]]


class Write(Protocol):
    """Writes a tool's files for a pipeline into a new folder; returns the command that runs all of its tasks."""

    def __call__(self, folder: Path, tasks: Tasks, jobs: int) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool to compare with."""

    name: str
    program: str
    package: str
    write: Write


def ploomber(folder: Path, tasks: Tasks, jobs: int) -> list[str]:
    """Write a script per task, which Ploomber converts to a notebook, and `pipeline.yaml`."""
    spec: dict[str, Any] = {"tasks": []}
    for task, (code, before) in tasks.items():
        head = f'# %% tags=["parameters"]\nupstream = {before or None}\nproduct = None\n'
        (folder / f"{task}.py").write_text(f"{head}\n# %%\n{code}\n")
        spec["tasks"].append({"source": f"{task}.py", "product": {"nb": f"out/{task}.ipynb"}})
    if jobs > 1:
        spec["executor"] = {"dotted_path": "ploomber.executors.Parallel", "processes": jobs}
    (folder / "pipeline.yaml").write_text(json.dumps(spec))  # JSON is valid YAML
    return ["ploomber", "build", "--force"]


def dagstermill(folder: Path, tasks: Tasks, jobs: int) -> list[str]:
    """Write a notebook and an op per task, and a job."""
    lines = [
        "from dagster import In, Nothing, Out, job, multiprocess_executor",
        "from dagstermill import define_dagstermill_op, local_output_notebook_io_manager",
        "resources = {'output_notebook_io_manager': local_output_notebook_io_manager}",
        f"@job(resource_defs=resources, executor_def=multiprocess_executor.configured({{'max_concurrent': {jobs}}}))",
        "def everything():",
    ]
    for task, (code, before) in tasks.items():
        cell = nbformat.v4.new_code_cell(code)
        nb = nbformat.v4.new_notebook(cells=[cell])
        nb.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(nb, folder / f"{task}.ipynb")
        ins = ", ".join(f"'a{n}': In(Nothing)" for n in range(len(before)))
        given = ", ".join(f"a{n}={other}" for n, other in enumerate(before))
        lines.append(
            f"    {task} = define_dagstermill_op('op_{task}', {str(folder / f'{task}.ipynb')!r}, ins={{{ins}}}, "
            f"outs={{'done': Out(Nothing)}}, save_notebook_on_failure=False)({given})"
        )
    (folder / "everything.py").write_text("\n".join(lines) + "\n")
    return ["dagster", "job", "execute", "-f", "everything.py", "-j", "everything"]


def luigi(folder: Path, tasks: Tasks, jobs: int) -> list[str]:
    """Write a class per task, whose output is a file."""
    lines = ["import pathlib, luigi"]
    for task, (code, before) in tasks.items():
        lines += [
            f"class Task_{task}(luigi.Task):",
            f"    def requires(self): return [{', '.join(f'Task_{other}()' for other in before)}]",
            f"    def output(self): return luigi.LocalTarget('done/{task}')",
            "    def run(self):",
            textwrap.indent(code, " " * 8),
            f"        pathlib.Path('done').mkdir(exist_ok=True); pathlib.Path('done/{task}').touch()",
        ]
    (folder / "everything.py").write_text("\n".join(lines) + "\n")
    last = list(tasks)[-1]
    run = f"rm -rf done && luigi --module everything Task_{last} --local-scheduler --workers {jobs} --log-level WARNING"
    return ["sh", "-c", run]


ALL = (
    Peer("Ploomber", "ploomber", "ploomber", ploomber),
    Peer("dagstermill", "dagster", "dagstermill", dagstermill),
    Peer("Luigi (no notebooks)", "luigi", "luigi", luigi),
)


class Peers:
    """The tools that an environment has installed."""

    def __init__(self, programs: Path | None) -> None:
        self._programs = programs
        self.found = [peer for peer in ALL if programs is not None and (programs / peer.program).exists()]

    def runs(self, folder: Path, tasks: Tasks, jobs: int = 1) -> list[tuple[Peer, Callable[[], None]]]:
        """Return, for each tool, a function that runs the pipeline once, as a whole process."""
        return [(peer, self._run(peer, folder / peer.package, tasks, jobs)) for peer in self.found]

    def version(self, peer: Peer) -> str:
        """The version of its package."""
        code = f"from importlib.metadata import version; print(version({peer.package!r}))"
        return self._call(["python", "-c", code], Path.cwd()).strip()

    def _run(self, peer: Peer, folder: Path, tasks: Tasks, jobs: int) -> Callable[[], None]:
        folder.mkdir(parents=True)
        command = peer.write(folder, tasks, jobs)
        return lambda: self._call(command, folder) and None

    def _call(self, command: list[str], folder: Path) -> str:
        assert self._programs is not None
        env = {
            **os.environ,
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "PLOOMBER_STATS_ENABLED": "false",
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "PYTHONPATH": str(folder),
        }
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout or " "
