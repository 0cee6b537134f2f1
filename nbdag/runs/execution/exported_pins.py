"""Pin the files (`%dag --with`) and the packages (`%dag --requires`) of an exported pipeline.

`nbdag export` copies the files and the list of packages into the storage, and writes their digests into the exported
file. With these digests, every attempt uses the same files and packages, on every host, even if the files in the
notebook's folder change.

    files/DIGEST.tar     the pinned files
    files/DIGEST.txt     the exact versions of the packages, one in each line
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ... import environments
from ...core.options.options import DagOptions
from ...errors import NbdagError, error
from ...home import Home, path_part, without_secrets
from ...storage import cache_root, files_at, local_copy, pinned_files
from ...storage.owners import ATTEMPTS, record_owner


@error
class ExportedPackagesMissingError(NbdagError):
    """The storage has no packages under the digest that an exported file names."""

    exit_code = 2

    digest: str
    storage: str
    template = (
        "--environment {digest}: {storage} has no packages of this digest; pass the --storage of the export, or export "
        "the notebook again"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedPins:
    """The files and packages of a pipeline, in memory."""

    files: str = ""  # digest of the archive; "" without %dag --with
    archive: bytes = b""
    packages: str = ""  # exact versions; "" without %dag --requires

    @property
    def environment(self) -> str:
        """Return the digest of the packages; "" without %dag --requires."""
        return hashlib.sha256(self.packages.encode()).hexdigest()[:32] if self.packages else ""

    def store(self, place: Home) -> None:
        """Copy the files and packages into the storage of the attempts. Raises `StorageError` or `HomeError`."""
        if not (self.files or self.packages):
            return
        if place.remote is not None:
            files_at(place.remote).check()
        place.make()
        record_owner(place, ATTEMPTS)  # without this, `nbdag gc` deletes the files, because no database knows them
        if self.files:
            _store(place, pinned_files.archive_path(place.files, self.files), self.archive)
        if self.packages:
            _store(place, _packages_path(place, self.environment), self.packages.encode())


def read_pins(options: DagOptions, folder: Path) -> ExportedPins:
    """Return the files of --with in the notebook's folder, and the exact versions of the packages of --requires.

    Raises `PinError`, or the errors of `environments.locked`.
    """
    files, archive = pinned_files.pack(folder, options.with_) if options.with_ else ("", b"")
    packages = environments.locked(options.requires, folder) if options.requires else ""
    return ExportedPins(files=files, archive=archive, packages=packages)


def stored_packages(place: Home, digest: str) -> str:
    """Return the packages of an exported file. Raises `ExportedPackagesMissingError` or `StorageError`."""
    try:
        return local_copy(place, _packages_path(place, digest)).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ExportedPackagesMissingError(digest, without_secrets(place.remote or str(place.files))) from None


def place_of(storage: str) -> Home:
    """Return a home for the files of a run: the storage folder, or, for a storage URL, this host's cache of the URL."""
    return Home(cache_root(storage), storage=storage) if "://" in storage else Home(Path(storage))


def _packages_path(place: Home, digest: str) -> Path:
    return place.files / pinned_files.FOLDER / f"{path_part(digest)}.txt"


def _store(place: Home, path: Path, content: bytes) -> None:
    place.write(path, content)
    if place.remote is not None:
        files_at(place.remote).put(path, place.name_of(path))
