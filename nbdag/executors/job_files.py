"""The files of one attempt on hosts that exchange files by the storage: inputs, notebook, log, state and values.

`on_this_host` gives a job the paths of this host's cache. `get_inputs` and `store_results` run around the attempt, on
its host; `delete_copies` runs there afterwards, if nobody reads the notebook and the log on that host. `get_results`
runs on the host of the scheduler, after the attempt. A job without `Job.storage` has its files
in folders that all hosts share, so none of these does anything.
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
from ..storage.host import cache_limit
from ..writing import make_private_folder

if TYPE_CHECKING:
    from ..values.transfer import Transfer


def on_this_host(job: Job) -> Job:
    """Return the job with the paths of this host's cache, for a host that may lack the folders of the job.

    Raises `FolderMissingError` if the host lacks the working directory and the storage has no copy.
    """
    if not job.storage:
        return job
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


def copy_folder(job: Job) -> str:
    """Copy the working directory to the storage and return the digest for `Job.folder`. Raises `StorageError`."""
    return pack(Path(job.cwd), job.storage) if job.storage else ""


def get_inputs(job: Job) -> dict[Path, str]:
    """Download the values that the attempt certainly loads, and the files of `nbdag.state`.

    Return the digest of each file of `nbdag.state` ("" if the file is missing), for `store_results`. The attempt
    downloads other values itself when it loads them. Raises `LostValueError`, `StorageError` or `CacheSizeError`.
    """
    if not job.storage:
        return {}
    cache_limit(Path(job.values))  # an invalid NBDAG_CACHE_SIZE is reported before the attempt runs
    digests = [digest for each in job.inputs for digest in each.digests]
    _transfer(job).download([*digests, *job.element.values()])
    for path in map(Path, job.context.get("state_files", ())):
        with contextlib.suppress(FileNotFoundError):
            make_private_folder(path.parent)
            files_at(job.storage).get(_name(job, path), path)
    return {path: _digest(path) for path in map(Path, job.context.get("state_files", ()))}


def store_results(job: Job, result: Result, state: Mapping[Path, str]) -> None:
    """Upload the values, the notebook and the log of an attempt, and the files of `nbdag.state` that it has changed.

    `state` is the result of `get_inputs`. Raises `StorageError` or OSError.
    """
    if not job.storage:
        return
    elements = (digest for each in result.elements for digest in each.values())
    _transfer(job).upload([*(each.digest for each in result.outputs), *elements])
    notebook = Path(job.path)
    changed = [path for path, digest in state.items() if _digest(path) != digest]
    for path in (notebook, notebook.with_suffix(".log"), *changed):
        if path.exists():
            files_at(job.storage).put(path, _name(job, path))


def delete_copies(job: Job) -> None:
    """Delete the notebook and the log of an attempt from the cache of this host, after they were uploaded."""
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
