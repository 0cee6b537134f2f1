"""The files of one attempt on hosts that exchange files through the storage: inputs, notebook, log, state and values.

`on_this_host` gives a job the paths of this host's cache. On the attempt's host, `get_inputs` runs before the attempt
and `store_results` after it. `delete_copies` runs last on that host, if nobody reads the notebook and the log there.
`accept_state` and `get_results` run on the host of the scheduler, after the attempt. If a job has no `Job.storage`, all
hosts share the folders of its files. Then only `nbdag.state` is exchanged, and only if `Job.returns_state` is set.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.model.job import Job, Result
from ..storage import cache_root, files_at
from ..storage.folders import pack, unpack
from ..storage.host_cache import cache_limit
from ..storage.pinned_files import unpacked
from ..writing import make_private_folder, write_atomically

if TYPE_CHECKING:
    from ..values.transfer import Transfer


def on_this_host(job: Job) -> Job:
    """Return the job with the paths of this host's cache, for a host that may lack the folders of the job.

    If hosts share the folders, only the files of `nbdag.state` are copied, and the attempt changes the copies.

    Raises `FolderMissingError` if the host lacks the working directory and the storage has no copy.
    """
    if not job.storage:
        return _with_state_copies(job) if job.returns_state else job
    root = cache_root(job.storage)
    files = _files(job)

    def moved(path: str) -> str:
        return str(root / Path(path).relative_to(files))

    context = dict(job.context)
    if "state_files" in context:
        context["state_files"] = [moved(path) for path in context["state_files"]]
    cwd = job.cwd
    if not Path(cwd).is_dir():
        cwd = str(unpack(cwd, job.folder, (job.key.dag, job.key.run), job.storage))
    return replace(job, path=moved(job.path), values=moved(job.values), cwd=cwd, context=context)


def _with_state_copies(job: Job) -> Job:
    copies = _state_copies(job)
    for path, copy in zip(_state_files(job), copies, strict=True):
        make_private_folder(copy.parent)
        if path.exists():
            write_atomically(copy, path.read_bytes())
        else:
            copy.unlink(missing_ok=True)
    return replace(job, context={**job.context, "state_files": list(map(str, copies))})


def _state_files(job: Job) -> list[Path]:
    return [Path(path) for path in job.context.get("state_files", ())]


def _state_copies(job: Job) -> list[Path]:
    """Return the paths of an attempt's own copies of the files of `nbdag.state`, beside its notebook."""
    return [Path(job.path).with_suffix(f".state{n}") for n, _ in enumerate(_state_files(job))]


def copy_folder(job: Job) -> str:
    """Copy the working directory to the storage and return the digest for `Job.folder`. Raises `StorageError`."""
    return pack(Path(job.cwd), job.storage) if job.storage else ""


def get_inputs(job: Job) -> dict[Path, str]:
    """Download the values that the attempt certainly loads, and the files of `nbdag.state`.

    Return the digest of each file of `nbdag.state`, or "" for a missing file, as `store_results` needs them. Return {}
    if the attempt changes the files that all hosts share. The attempt downloads other values itself when it loads them.
    Raises `LostValueError`, `PinnedFilesLostError`, `StorageError` or `CacheSizeError`.
    """
    if job.pinned_files:
        unpacked(Path(job.values).parent, job.pinned_files, job.storage)
    if not job.storage:
        return {path: _digest(path) for path in _state_files(job)} if job.returns_state else {}
    cache_limit(Path(job.values))  # an invalid NBDAG_CACHE_SIZE is reported before the attempt runs
    digests = [digest for each in job.inputs for digest in each.digests]
    _transfer(job).download([*digests, *job.element.values()])
    for path in _state_files(job):
        with contextlib.suppress(FileNotFoundError):
            make_private_folder(path.parent)
            files_at(job.storage).get(_name(job, path), path)
    return {path: _digest(path) for path in _state_files(job)}


def store_results(job: Job, result: Result, state: Mapping[Path, str]) -> Result:
    """Upload the values, the notebook and the log of an attempt, and the files of `nbdag.state` that it has changed.

    Return the result. With `Job.returns_state`, the files of `nbdag.state` are not uploaded; the returned result
    contains them. `state` is the result of `get_inputs`. Raises `StorageError` or OSError.
    """
    changed = {n: path for n, (path, digest) in enumerate(state.items()) if _digest(path) != digest}
    if job.storage:
        elements = (digest for each in result.elements for digest in each.values())
        _transfer(job).upload([*(each.digest for each in result.outputs), *elements])
        notebook = Path(job.path)
        for path in (notebook, notebook.with_suffix(".log"), *(() if job.returns_state else changed.values())):
            if path.exists():
                files_at(job.storage).put(path, _name(job, path))
    if not job.returns_state:
        return result
    return replace(result, state_changes={n: path.read_bytes() for n, path in changed.items() if path.exists()})


def accept_state(job: Job, result: Result) -> Result:
    """Store the files of `nbdag.state` from a result of another host, and return the result without them.

    `job` has the paths of the scheduler's host. Raises `StorageError` or OSError.
    """
    for number, content in result.state_changes.items():
        path = _state_files(job)[number]
        if job.storage:
            files_at(job.storage).write(_name(job, path), content)
        else:
            make_private_folder(path.parent)
            write_atomically(path, content)
    return replace(result, state_changes={})


def state_of_lost(job: Job) -> dict[int, bytes]:
    """Return the changes that an attempt made to `nbdag.state` before its host was lost, for `Result.state_changes`.

    Return {} if hosts do not share the folders. `job` has the paths of the scheduler's host.
    """
    found = {}
    if not job.storage:
        for number, (path, copy) in enumerate(zip(_state_files(job), _state_copies(job), strict=True)):
            if copy.exists() and _digest(copy) != _digest(path):
                found[number] = copy.read_bytes()
    return found


def delete_copies(job: Job) -> None:
    """Delete the local files that nobody needs after an attempt has its result.

    These are the notebook and the log in the cache of this host, which were uploaded, or the attempt's copies of
    `nbdag.state`. `job` is the result of `on_this_host`.
    """
    if not job.storage and job.returns_state:
        for path in _state_files(job):
            with contextlib.suppress(OSError):
                path.unlink()
    if job.storage and _files(job) == cache_root(job.storage):
        for path in (Path(job.path), Path(job.path).with_suffix(".log")):
            with contextlib.suppress(OSError):
                path.unlink()


def get_results(job: Job) -> None:
    """Download the notebook and the log of an attempt that another host has executed. Raises `StorageError`."""
    if not job.storage:
        return
    notebook = Path(job.path)
    make_private_folder(notebook.parent)
    for path in (notebook, notebook.with_suffix(".log")):
        with contextlib.suppress(FileNotFoundError):
            files_at(job.storage).get(_name(job, path), path)


def _transfer(job: Job) -> Transfer:
    from ..values.transfer import transfer  # imported here because only jobs with a storage need it

    return transfer(job.values, f"{job.storage}/values")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def _files(job: Job) -> Path:
    return Path(job.values).parent


def _name(job: Job, path: Path) -> str:
    return path.relative_to(_files(job)).as_posix()
