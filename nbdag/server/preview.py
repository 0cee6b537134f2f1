"""Show a stored value in a process of its own.

Loading a value runs code: that of its type, and definitions of the notebook. In the server, such code could block it,
end it, or change it. So a process loads the value, prints its safe form (`frontend.outputs`) as JSON, and ends. It has
the working directory of the notebook on its path, as a task has.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from .. import runs
from ..errors import NbdagError, error
from ..frontend import outputs
from ..frontend.messages import DisplayOutput, ValueMessage
from ..home import Home

TIMEOUT = 60.0  # seconds that a process may take to show a value
_MAX_PROCESSES = 2
_places = threading.BoundedSemaphore(_MAX_PROCESSES)


@error
class PreviewError(NbdagError):
    """The value cannot be shown."""

    name: str
    problem: str
    template = "cannot show {name}: {problem}"


def preview(home: Home, dag: str, run: str, task: str, name: str) -> ValueMessage:
    """Return the safe form of a value that a task has stored. Raise `ValueNotStoredError` or `PreviewError`."""
    found = runs.find_run(run, dag, home=home)
    instances = [each for each in found if each.id == task]
    if not instances:
        raise runs.TaskNotInRunError(dag, found.id, task, tuple(dict.fromkeys(each.id for each in found)))
    stored = {output.name for each in instances for output in each.outputs}
    if name not in stored:
        raise runs.ValueNotStoredError(found.id, name, (), tuple(sorted(stored)))
    folder = None if found.source is None else found.source.parent
    shown = _in_process([str(home.root), dag, found.id, task, name], folder, name)
    return {"kind": "value", "run": run, "task": task, "name": name, "outputs": shown}


def _in_process(arguments: list[str], folder: Path | None, name: str) -> list[DisplayOutput]:
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "MPLBACKEND": "agg"}
    with _places:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "nbdag.server.preview", *arguments],
                cwd=folder if folder is not None and folder.is_dir() else None,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired:
            raise PreviewError(name, f"loading it takes longer than {TIMEOUT:.0f} s") from None
    try:
        answer = json.loads(done.stdout.rpartition(b"\n")[2])
    except ValueError:
        last = outputs.plain_text(done.stderr.decode(errors="replace")).strip().rpartition("\n")[2]
        raise PreviewError(name, last or f"its process ended with exit code {done.returncode}") from None
    if "problem" in answer:
        raise PreviewError(name, answer["problem"])
    shown: list[DisplayOutput] = answer["outputs"]
    return shown


def main(root: str, dag: str, run: str, task: str, name: str) -> None:
    """Print the safe form of a value as the last line of the output."""
    sys.path.append(str(Path.cwd()))  # the notebook's modules, after all others
    answer: dict[str, Any]
    try:
        value = runs.load_output(dag, run=run, task=task, name=name, home=Home(Path(root)))
        answer = {"outputs": outputs.bundle_outputs(_bundle(value))}
    except Exception as problem:  # the code of the value's type may raise anything
        text = str(problem) if isinstance(problem, NbdagError) else f"{type(problem).__name__}: {problem}"
        answer = {"problem": " ".join(text.split())[:1000]}
    print(f"\n{json.dumps(answer)}", end="", flush=True)


def _bundle(value: Any) -> dict[str, Any]:
    """Return the MIME bundle that a notebook would show for a value."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.core.pylabtools import select_figure_formats

    shell = InteractiveShell.instance()
    if "matplotlib" in sys.modules:
        select_figure_formats(shell, {"png"})
    formatter = shell.display_formatter
    assert formatter is not None
    found, _ = formatter.format(value)
    return dict(found)


if __name__ == "__main__":
    main(*sys.argv[1:])
