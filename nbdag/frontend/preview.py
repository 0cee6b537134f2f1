"""The preview of a stored value, for a host without a kernel."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import lru_cache
from typing import Any

from ..errors import NbdagError, error
from ..home import Home
from ..runs import ValueNotStoredError, find_run
from . import outputs
from .messages import DisplayOutput, ValueMessage

_LONGEST = 60.0  # maximum number of seconds to load a value
_KEPT = 64  # number of previews in the cache
_SHOWN_INSTANCES = 20  # number of instances of a mapped task whose values are shown together


@error
class PreviewError(NbdagError):
    """A stored value cannot be loaded."""

    name: str
    reason: str
    template = "{name} cannot be loaded here: {reason}"


def preview(dag: str, run: str, task: str, name: str, *, map_index: int = -1, home: Home) -> ValueMessage:
    """Return the preview of an input or output of a task. Raise `PreviewError` or `ValueNotStoredError`.

    For a mapped task without `map_index`, return the preview of a list with the values of the first instances.
    """
    found = find_run(run, dag, home=home)
    mapped = [each for each in found if each.id == task and each.map_index >= 0]
    if mapped and map_index < 0:
        stored = [each.map_index for each in mapped if any(output.name == name for output in each.outputs)]
        indexes = tuple(stored[:_SHOWN_INSTANCES]) or (mapped[0].map_index,)
        more = len(stored) - len(indexes)
    else:
        indexes, more = ((found[task] if map_index < 0 else found[task, map_index]).map_index,), 0
    folder = str(found.source.parent) if found.source is not None and found.source.parent.is_dir() else None
    # A later attempt may store another value. So a cached preview is used only until any task has a new attempt.
    state = tuple((each.id, each.map_index, each.tries) for each in found)
    shown = list(_outputs(dag, found.id, task, indexes, name, home, folder, state))
    if more > 0:
        shown.append({"mime": "text/plain", "data": f"… and the values of {more} more instances"})
    return {"kind": "value", "run": found.id, "task": task, "name": name, "outputs": shown}


@lru_cache(maxsize=_KEPT)
def _outputs(
    dag: str, run: str, task: str, indexes: tuple[int, ...], name: str, home: Home, folder: str | None, state: object
) -> tuple[DisplayOutput, ...]:
    request = {
        "home": str(home.root),
        "storage": home.storage,
        "url": home.url,
        "dag": dag,
        "run": run,
        "task": task,
        "map_indexes": indexes,
        "name": name,
    }
    answer = _ask(request, name, folder)
    if "missing" in answer:
        raise ValueNotStoredError(run, name, (), tuple(answer["missing"]))
    if "error" in answer:
        raise PreviewError(name, answer["error"])
    return tuple(outputs.bundle_outputs(answer["bundle"]))


def _ask(request: dict[str, Any], name: str, folder: str | None) -> dict[str, Any]:
    try:
        done = subprocess.run(
            [sys.executable, "-m", f"{__package__}.preview_process"],
            input=json.dumps(request), capture_output=True, text=True, timeout=_LONGEST, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise PreviewError(name, f"it takes longer than {_LONGEST:.0f} s") from None
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else f"exit code {done.returncode}"
        raise PreviewError(name, outputs.plain_text(reason)) from None
    return found
