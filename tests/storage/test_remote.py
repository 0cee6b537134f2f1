"""Files at a URL: retries, atomic uploads and downloads, errors without secrets, and the bounded cache of a host."""

from __future__ import annotations

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

import nbdag.store
from nbdag import runs
from nbdag.home import Home, StorageUrlError, find, storage_place
from nbdag.storage import (
    Remote,
    StorageError,
    StoragePasswordError,
    UnwritableStorageError,
    files_at,
    local_copy,
    upload_copy,
)
from nbdag.storage.folders import FolderMissingError, pack, unpack
from nbdag.storage.host_cache import CacheFolderError, CacheSizeError, cache_folder, cache_limit
from nbdag.storage.remote import DiskFullError, UnknownProtocolError
from nbdag.values import LostValueError, ValueStore
from nbdag.values.transfer import Transfer


class Flaky:
    """A file system whose first operations fail."""

    def __init__(self, failures: list[Exception]) -> None:
        self._fs = fsspec.filesystem("memory")
        self._failures = failures
        self.tries = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._fs, name)

        def call(*args: Any, **options: Any) -> Any:
            self.tries += 1
            if self._failures:
                raise self._failures.pop(0)
            return found(*args, **options)

        return call if callable(found) else found


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the waits between two tries take no time."""
    now = [0.0]
    fake = SimpleNamespace(
        sleep=lambda seconds: now.append(now[-1] + seconds), monotonic=lambda: now[-1], time=time.time
    )
    monkeypatch.setattr("nbdag.storage.remote.time", fake)


def flaky(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *failures: Exception) -> tuple[Remote, Flaky]:
    fs = Flaky(list(failures))
    monkeypatch.setattr("nbdag.storage.remote._file_system", lambda url: (fs, f"{tmp_path}/flaky"))
    return Remote("memory://x"), fs


def test_a_lost_connection_is_retried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    remote, fs = flaky(monkeypatch, tmp_path, ConnectionResetError("reset"), TimeoutError(), OSError(5, "busy"))
    remote.write("a", b"text")
    assert (remote.read("a"), fs.tries) == (b"text", 5)


def test_a_storage_that_does_not_answer_is_one_sentence_without_secrets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t-key")
    failures = [ConnectionError("refused for key s3cr3t-key\nat http://user:word@host") for _ in range(99)]
    remote, fs = flaky(monkeypatch, tmp_path, *failures)
    with pytest.raises(StorageError) as caught:
        remote.read("a")
    assert str(caught.value) == (
        "cannot use the storage memory://x (refused for key *** at http://user:***@host); check the connection and "
        "the credentials of this host"
    )
    assert 5 < fs.tries < 30


@pytest.mark.parametrize("failure", [PermissionError(13, "Access Denied"), NotImplementedError("read only")])
def test_an_error_that_a_repetition_does_not_cure_ends_at_once(
    failure: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    remote, fs = flaky(monkeypatch, tmp_path, failure)
    with pytest.raises(UnwritableStorageError, match=r"cannot write to the storage memory://x \((Access|read)"):
        remote.check()
    assert fs.tries == 1


def test_a_url_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(StoragePasswordError) as caught:
        Remote("sftp://me:topsecret@host/nbdag")
    assert "sftp://me:***@host/nbdag contains a password" in str(caught.value)
    assert "topsecret" not in str(caught.value)


def test_a_url_without_a_bucket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageUrlError, match="the storage s3:// names no bucket or folder"):
        storage_place("s3://", tmp_path)
    with pytest.raises(StorageUrlError, match=r"s3:/data has no :// after its protocol; write a URL such as s3://bu"):
        storage_place("s3:/data", tmp_path)
    assert storage_place("./s3:/data", tmp_path) == f"{tmp_path}/s3:/data"


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("S3://data", "did you mean s3?"),
        ("sftpp://data", "did you mean sftp?"),
        ("simplecache::sftpp://data", "did you mean sftp?"),
        ("xyzzy://data", "expected one such as s3, gs, az or sftp"),
    ],
)
def test_an_unknown_protocol_is_one_sentence(url: str, advice: str) -> None:
    protocol = url.partition("://")[0].removeprefix("simplecache::")
    with pytest.raises(UnknownProtocolError) as caught:
        Remote(url).check()
    assert str(caught.value) == f"unknown protocol {protocol!r} of the storage {url}; {advice}"


def test_a_protocol_that_a_program_has_registered_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(MemoryFileSystem):
        protocol = "mine"

    monkeypatch.setitem(_registry, "mine", Mine)
    Remote(f"mine://{tmp_path.name}").check()


def test_an_interrupted_upload_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.local import LocalFileSystem

    def interrupted(self: Any, path: str, to: str, **options: Any) -> None:
        Path(to).write_bytes(b"ha")
        raise PermissionError(13, "interrupted")

    (tmp_path / "file").write_bytes(b"half")
    monkeypatch.setattr(LocalFileSystem, "put_file", interrupted)
    with pytest.raises(StorageError, match="interrupted"):
        Remote(f"file://{tmp_path}/there").put(tmp_path / "file", "x/file")
    assert [path for path in (tmp_path / "there").rglob("*") if path.is_file()] == []


def test_an_interrupted_download_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote, _ = flaky(monkeypatch, tmp_path)
    remote.write("a", b"0123456789")
    monkeypatch.setattr("nbdag.storage.remote.PART", 4)
    remote.get("a", tmp_path / "whole")
    assert (tmp_path / "whole").read_bytes() == b"0123456789"

    def read(name: str, start: int = 0, end: int | None = None) -> bytes:
        raise StorageError(remote.url, "lost")

    monkeypatch.setattr(remote, "read", read)
    with pytest.raises(StorageError):
        remote.get("a", tmp_path / "half")
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_a_file_of_the_home_comes_from_the_storage_if_it_is_missing(tmp_path: Path) -> None:
    here, there = (Home(tmp_path / name, storage=f"memory://{tmp_path}/s") for name in ("here", "there"))
    upload_copy(here, here.pin("abc", b"notebook"))
    assert local_copy(there, there.notebook("abc")).read_bytes() == b"notebook"
    assert not local_copy(there, there.notebook("unknown")).exists()


@pytest.mark.parametrize(
    ("given", "remote", "files"),
    [
        (None, None, "/data/h"),
        ("/mnt/nbdag", None, "/mnt/nbdag"),
        ("shared", None, "/data/shared"),
        ("file:///mnt/nbdag", None, "/mnt/nbdag"),
        ("s3://bucket/nbdag/", "s3://bucket/nbdag", "/data/h"),
    ],
)
def test_the_storage_is_a_folder_or_a_url(given: str | None, remote: str | None, files: str) -> None:
    home = find(Path("/cwd"), {"NBDAG_HOME": "/data/h"} | ({"NBDAG_STORAGE": given} if given else {}))
    assert (home.remote, str(home.files)) == (remote, files)
    assert (str(home.values), str(home.database)) == (f"{files}/values", "/data/h/nbdag.db")


# -- values -----------------------------------------------------------------------------------------------------


def two_hosts(folder: Path) -> tuple[Transfer, Transfer]:
    origin = f"memory://{folder}/storage"
    return Transfer(folder / "one", origin), Transfer(folder / "two", origin)


def store_of(host: Transfer) -> ValueStore:
    return ValueStore(str(host.root), host.origin)


def test_a_value_moves_to_another_host_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = two_hosts(tmp_path)
    digest = store_of(one).save({"x": list(range(1000))}).outputs[0].digest
    one.upload([digest])
    get, gets = Remote.get, []
    monkeypatch.setattr(Remote, "get", lambda *words: (gets.append(words), get(*words)))
    with ThreadPoolExecutor(4) as pool:  # attempts that start at once
        list(pool.map(two.download, 4 * [[digest]]))
    two.download([digest])
    assert len(gets) == 1
    assert store_of(two).load(digest)["x"][-1] == 999


def test_a_value_larger_than_the_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = two_hosts(tmp_path)
    digest = store_of(one).save({"x": list(range(1000))}).outputs[0].digest
    one.upload([digest])

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(DiskFullError, match=rf"has no space in /\S+ for {digest} of the storage \([\d,]+ bytes\)"):
        two.download([digest])
    assert [path for path in two.root.rglob("*") if path.is_file()] == []
    monkeypatch.undo()
    two.download([digest])
    assert store_of(two).load(digest)["x"][-1] == 999


def test_an_old_value_is_kept_without_sending_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    home = Home(tmp_path / "home", storage=f"memory://{tmp_path}/s")
    nbdag.store.open(home).close()
    host = Transfer(tmp_path / "one", home.remote_values)
    used, unused = (store_of(host).save({"x": each}).outputs[0].digest for each in "ab")
    host.upload([used, unused])
    for path, file in MemoryFileSystem.store.items():
        if str(tmp_path) in path:
            file.created = datetime(2020, 1, 1, tzinfo=UTC)
    monkeypatch.setattr(Remote, "put", lambda *_: pytest.fail("the value was sent again"))
    Transfer(host.root, host.origin).upload([used])
    assert runs.gc(home=home).values == 1
    names = {each.name.rpartition("/")[2] for each in files_at(str(home.remote)).files("values")}
    assert names == {used, f"{used}.used"}
    monkeypatch.setattr("nbdag.runs.actions.gc.GRACE", -10.0)
    assert runs.gc(home=home).values == 1
    assert list(files_at(str(home.remote)).files("values")) == []


def test_a_value_takes_the_values_to_which_it_refers_along(tmp_path: Path) -> None:
    from nbdag.values import Origins

    one, two = two_hosts(tmp_path)
    first = store_of(one).save({"x": [1, 2]}).outputs[0].digest
    origins = Origins()
    x = store_of(one).open(first, origins=origins).values["x"]
    second = store_of(one).save({"y": {"inner": x}}, origins=origins).outputs[0].digest
    one.upload([second])
    two.download([second])
    assert {path.name for path in two.root.glob("*/*")} == {first, second}


def test_a_damaged_copy_is_downloaded_again_and_a_missing_value_is_reported(tmp_path: Path) -> None:
    one, two = two_hosts(tmp_path)
    digest = store_of(one).save({"x": 7}).outputs[0].digest
    one.upload([digest])
    two.download([digest])
    path = two.root / digest[:2] / digest
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert store_of(two).load(digest) == {"x": 7}
    with pytest.raises(LostValueError, match="is missing in memory://"):
        two.download(["0" * 32])


def test_the_cache_deletes_the_values_that_were_used_the_longest_time_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = two_hosts(tmp_path)
    digests = [store_of(one).save({"x": f"{n}" * 1000}).outputs[0].digest for n in range(5)]
    one.upload(digests[1:])  # the storage does not have the first value
    for age, digest in enumerate(digests):
        os.utime(one.root / digest[:2] / digest, (age, age))
    monkeypatch.setenv("NBDAG_CACHE_SIZE", "4kB")
    Transfer(one.root, one.origin).trim()
    assert {path.name for path in one.root.glob("*/*")} == {digests[0], *digests[3:]}
    assert [store_of(one).load(digest)["x"][0] for digest in digests] == ["0", "1", "2", "3", "4"]


def test_two_processes_that_delete_at_once_delete_no_more_than_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = two_hosts(tmp_path)
    digests = [store_of(one).save({"x": f"{n}" * 1000}).outputs[0].digest for n in range(5)]
    one.upload(digests)
    for age, digest in enumerate(digests):
        os.utime(one.root / digest[:2] / digest, (age, age))
    exists, other = Remote.exists, [Transfer(one.root, one.origin)]

    def exists_after_the_other(*words: Any) -> bool:
        while other:
            other.pop().trim()
        return exists(*words)

    monkeypatch.setattr(Remote, "exists", exists_after_the_other)
    monkeypatch.setenv("NBDAG_CACHE_SIZE", "4kB")
    Transfer(one.root, one.origin).trim()
    assert not other
    assert {path.name for path in one.root.glob("*/*")} == set(digests[2:])


def test_an_invalid_cache_size_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBDAG_CACHE_SIZE", "much")
    with pytest.raises(CacheSizeError, match="invalid NBDAG_CACHE_SIZE 'much'; expected a size such as 500MB or 20GB"):
        cache_limit(tmp_path)
    monkeypatch.setenv("NBDAG_CACHE", "30MB")
    with pytest.raises(CacheFolderError, match=r"NBDAG_CACHE=30MB is a size, .* set NBDAG_CACHE_SIZE=30MB instead"):
        cache_folder()


# -- folders ----------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NBDAG_CACHE", str(tmp_path / "cache"))
    project = tmp_path / "project"
    for name in ("shop.py", "lib/deep/data.csv", ".env", ".git/config", "lib/__pycache__/x.pyc", "venv/pyvenv.cfg"):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (project / "out").symlink_to(tmp_path)
    (project / "link.py").symlink_to("shop.py")
    (project / "lib" / "absolute.py").symlink_to(project / "shop.py")
    return project


def test_a_folder_arrives_without_hidden_files_and_once_per_run(tmp_path: Path, project: Path) -> None:
    url = f"memory://{tmp_path}/storage"
    digest = pack(project, url)
    first = unpack(str(project), digest, ("dag", "one"), url)
    assert first.name == "project"
    assert sorted(path.relative_to(first).as_posix() for path in first.rglob("*") if path.is_file()) == [
        "lib/absolute.py",
        "lib/deep/data.csv",
        "link.py",
        "shop.py",
    ]
    assert (first / "lib" / "absolute.py").resolve() == (first / "shop.py").resolve()
    (first / "made.txt").write_text("by a task")
    assert unpack(str(project), digest, ("dag", "one"), url) == first
    assert not (unpack(str(project), digest, ("dag", "two"), url) / "made.txt").exists()
    assert pack(project, url) == digest
    (project / "shop.py").write_text("changed")
    assert pack(project, url) != digest


@pytest.mark.parametrize(("limit", "value"), [("MAX_SIZE", 10), ("MAX_FILES", 2)])
def test_a_folder_that_is_too_large_is_not_copied(
    limit: str, value: int, tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"nbdag.storage.folders.{limit}", value)
    url = f"memory://{tmp_path}/storage"
    with pytest.raises(FolderMissingError, match=r"does not have the notebook's folder .*project, and it exceeds"):
        unpack(str(project), pack(project, url), ("dag", "run"), url)


def test_a_folder_whose_copy_was_deleted_is_reported(tmp_path: Path, project: Path) -> None:
    with pytest.raises(FolderMissingError, match="its copy was deleted; run the notebook again"):
        unpack(str(project), "0" * 32, ("dag", "run"), f"memory://{tmp_path}/storage")
