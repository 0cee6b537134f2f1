"""The working folder of an attempt, if the notebook's version has pinned files (`%dag --with`).

The notebook's folder may have changed since the version was deployed. So the attempt gets a folder of its own, into
which the pinned files are copied. All other files in the notebook's folder, and the files beside that folder, are
linked. So every program and library reads the version's pinned files. Other relative paths lead to the same files as in
the notebook's folder, except paths that lead further up, such as ../../data. After the attempt, the files that it
created are moved to the notebook's folder, or beside that folder. Files that it removed or renamed are removed or
renamed there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ...core.model.job import Job
from ...storage.pinned_files import PinnedFiles, unpacked
from ...writing import make_private_folder

CONTEXT = "folder"  # key in `Job.context`: the notebook's folder, if the attempt runs in a folder of its own


@contextlib.contextmanager
def working_folder(job: Job, log: Callable[[str], object]) -> Iterator[str]:
    """Yield the folder in which the attempt runs; `log` receives a line for each pinned file that the attempt changed.

    Raises `PinnedFilesLostError`, `StorageError` or OSError.
    """
    if not job.pinned_files:
        yield job.cwd
        return
    pinned = unpacked(Path(job.values).parent, job.pinned_files, job.storage)
    real = Path(job.cwd)
    place = Path(job.path).with_suffix(".files")
    shutil.rmtree(place, ignore_errors=True)  # left if this attempt was killed and is repeated
    make_private_folder(place)
    view = _View(place / (real.name or "folder"), real, pinned)
    try:
        view.create()
        try:
            yield str(view.folder)
        except Exception:  # a failed attempt keeps the files that it has created, as in an ordinary folder
            view.take_back(log)
            raise
        view.take_back(log)
    finally:
        shutil.rmtree(place, ignore_errors=True)


class _View:
    """A folder with copies of the pinned files and links to all other files."""

    def __init__(self, folder: Path, real: Path, pinned: PinnedFiles) -> None:
        self.folder = folder
        self._real = real
        self._pinned = pinned
        self._mirrored: list[tuple[Path, Path]] = []  # (folder of the view, the folder that it stands for)
        self._copied: set[Path] = set()  # paths in the view
        self._linked: dict[Path, Path] = {}  # key: path in the view; value: target

    def create(self) -> None:
        self.folder.mkdir()
        self._mirror(self.folder, self._real, self._pinned.content, "")
        # Code may also use files beside the notebook's folder, such as ../data.
        self._link_others(self.folder.parent, self._real.parent)
        self._mirrored.append((self.folder.parent, self._real.parent))

    def _mirror(self, here: Path, real: Path, pinned: Path, name: str) -> None:
        self._mirrored.append((here, real))
        for entry in sorted(pinned.iterdir()):
            target = here / entry.name
            if entry.is_dir():
                target.mkdir()
                self._mirror(target, real / entry.name, entry, f"{name}{entry.name}/")
            else:
                shutil.copy2(entry, target)
                self._copied.add(target)
        if name.rstrip("/") not in self._pinned.whole:
            self._link_others(here, real)

    def _link_others(self, here: Path, real: Path) -> None:
        with contextlib.suppress(OSError):  # the folder is missing or cannot be listed
            for entry in os.scandir(real):
                target = here / entry.name
                if not os.path.lexists(target):
                    target.symlink_to(entry.path)
                    self._linked[target] = Path(entry.path)

    def take_back(self, log: Callable[[str], object]) -> None:
        """Apply the changes that the attempt made in its own folder to the notebook's folder."""
        for path in sorted(self._copied):
            original = self._pinned.content / path.relative_to(self.folder)
            if not path.is_file() or path.read_bytes() != original.read_bytes():
                name = path.relative_to(self.folder)
                log(f"the task changed {name}, which is pinned with this version; the change was discarded")
        moved: set[Path] = set()
        for here, real in self._mirrored:
            if here.is_dir():
                moved |= self._take_new(here, real)
        for link, target in self._linked.items():
            is_gone = not os.path.lexists(link) and link.parent.is_dir()
            if is_gone and target not in moved and (target.is_symlink() or not target.is_dir()):
                target.unlink(missing_ok=True)

    def _take_new(self, here: Path, real: Path) -> set[Path]:
        """Move the files that the attempt has created; return the files that it has renamed."""
        folders = {each for each, _ in self._mirrored}
        renamed: set[Path] = set()
        for path in sorted(here.iterdir()):
            if path in folders or path in self._copied or path.name == "__pycache__":
                continue
            if path.is_symlink():
                target = path.readlink()
                if self._linked.get(path) == target:
                    continue
                source = next((link for link, each in self._linked.items() if each == target), None)
                if source is not None and not os.path.lexists(source):  # the attempt has renamed the link
                    target.replace(real / path.name)
                    renamed.add(target)
                    continue
            real.mkdir(parents=True, exist_ok=True)
            _move(path, real / path.name)
        return renamed


def _move(path: Path, target: Path) -> None:
    """Move a file or folder; merge a folder into the target folder if that exists."""
    if path.is_dir() and not path.is_symlink() and target.is_dir():
        for each in sorted(path.iterdir()):
            _move(each, target / each.name)
        return
    try:
        path.replace(target)
    except OSError:  # the target is on another file system
        shutil.move(path, target)
