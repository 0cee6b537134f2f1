"""A stored value is loaded equal, without a copy, and private to its process."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from nbdag.storage import files_at
from nbdag.values import LostValueError, Origins, StoreWriteError, UnstorableError, ValueStore, files

MB = 1 << 20


def only_digest(store: ValueStore, **values: object) -> str:
    (digest,) = {output.digest for output in store.save(values, [tuple(values)]).outputs}
    return digest


@pytest.fixture(params=["folder", "memory"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> ValueStore:
    return ValueStore(str(tmp_path / "values") if request.param == "folder" else f"memory://{tmp_path}/values")


VALUES = {
    "nothing": None,
    "numbers": [1, 2.5, 3j, 10**100],
    "text": "héllo \ud83d\ude00",
    "empty": [(), {}, set(), b"", ""],
    "bytes": os.urandom(100_000),
    "nested": {"a": [{"b": (1, {2, 3})}]},
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_back_equal(any_store: ValueStore, name: str) -> None:
    assert any_store.load(only_digest(any_store, x=VALUES[name])) == {"x": VALUES[name]}


def test_arrays_and_tables_come_back_equal(any_store: ValueStore) -> None:
    frame = pd.DataFrame({"n": range(2000), "x": np.linspace(0, 1, 2000), "s": ["ab"] * 2000}, index=range(5, 2005))
    array = np.arange(6000.0).reshape(20, 300)
    loaded = any_store.load(
        only_digest(
            any_store,
            frame=frame,
            c=array,
            f=np.asfortranarray(array),
            strided=array[::2, ::3],
            none=np.empty((0, 4)),
            scalar=np.float64(1.5),
            objects=np.array([{}, None, "a"], dtype=object),
            masked=np.ma.masked_greater(array, 100),
            arrow=pa.table({"a": list(range(1000))}),
            polars=pl.DataFrame({"a": list(range(1000)), "s": ["x"] * 1000}),
        )
    )
    pd.testing.assert_frame_equal(loaded["frame"], frame)
    for name, expected in (("c", array), ("f", array), ("strided", array[::2, ::3])):
        np.testing.assert_array_equal(loaded[name], expected)
    assert loaded["f"].flags.f_contiguous
    assert loaded["none"].shape == (0, 4)
    assert loaded["objects"].tolist() == [{}, None, "a"]
    assert (loaded["masked"].mask == (array > 100)).all()
    assert loaded["arrow"].num_rows == 1000
    assert loaded["polars"].to_dict(as_series=False)["s"] == ["x"] * 1000


def test_equal_content_is_stored_once(store: ValueStore) -> None:
    first = store.save({"x": np.ones(10_000)}).outputs[0]
    second = store.save({"x": np.ones(10_000)}).outputs[0]
    assert first.digest == second.digest
    assert len([path for path in Path(store.root).rglob("*") if path.is_file()]) == 1


def test_concurrent_writers_of_one_value_leave_it_complete(store: ValueStore) -> None:
    array = np.arange(500_000)
    threads = [threading.Thread(target=store.save, args=({"x": array},)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files = [path for path in Path(store.root).rglob("*") if path.is_file()]
    assert len(files) == 1
    np.testing.assert_array_equal(store.load(files[0].name)["x"], array)


def test_names_of_a_group_share_their_objects_after_loading(store: ValueStore) -> None:
    one: list[int] = [1]
    saved = store.save({"a": one, "b": one, "c": 3}, [("a", "b"), ("c",)])
    a, b, c = saved.outputs
    assert a.digest == b.digest != c.digest
    loaded = store.load(a.digest)
    assert loaded["a"] is loaded["b"]
    assert saved.sharing == ()  # it was known


def test_undeclared_sharing_is_detected_and_preserved(store: ValueStore) -> None:
    part = [1]
    saved = store.save({"whole": {"part": part}, "part": part, "other": [1]})
    assert [(pair.one, pair.other, pair.type) for pair in saved.sharing] == [("whole", "part", "list")]
    whole, part_, other = saved.outputs
    assert whole.digest == part_.digest != other.digest
    loaded = store.load(whole.digest)
    assert loaded["whole"]["part"] is loaded["part"]


def test_a_view_shares_memory_with_its_array(store: ValueStore) -> None:
    array = np.arange(1000.0)
    saved = store.save({"array": array, "view": array[10:20], "copy": array[10:20].copy()})
    assert [(pair.one, pair.other) for pair in saved.sharing] == [("array", "view")]


@pytest.mark.parametrize(
    "make", [lambda a: a[10:20], lambda a: a[::-3], lambda a: a.reshape(10, 100).T[3], lambda a: a[5]]
)
def test_a_view_is_loaded_as_a_view(store: ValueStore, make) -> None:
    array = np.arange(1000.0)
    view = make(array)
    loaded = store.load(only_digest(store, view=view, array=array, pair=(array, view)))
    np.testing.assert_array_equal(loaded["view"], view)
    if isinstance(view, np.ndarray):
        loaded["array"][:] = -1
        assert (loaded["view"] == -1).all()
        assert loaded["pair"][1] is loaded["view"]


def test_a_view_without_its_array_is_stored_as_an_array(store: ValueStore) -> None:
    output = store.save({"head": np.zeros(1_000_000)[:100]}).outputs[0]
    assert output.bytes < 5_000


@pytest.mark.parametrize(
    "values",
    [
        {"a": "text" * 1000, "b": ["text" * 1000]},
        {"a": (1, (2, 3)), "b": {"x": (1, (2, 3))}},
        {"a": int, "b": [int, len, os]},
    ],
)
def test_immutable_objects_do_not_count_as_shared(store: ValueStore, values: dict[str, object]) -> None:
    assert store.save(values).sharing == ()


def test_columns_of_a_frame_do_not_count_as_shared(store: ValueStore) -> None:
    frame = pd.DataFrame(np.random.default_rng(0).random((1000, 4)), columns=list("abcd"))
    saved = store.save({"frame": frame, "X": frame[["a", "b"]], "y": frame["d"], "renamed": frame.rename(columns=str)})
    assert saved.sharing == ()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["array", "frame"])
def test_a_large_value_is_loaded_without_a_copy(store: ValueStore, elsewhere, kind: str) -> None:
    array = np.zeros(100 * MB // 8).reshape(-1, 8)
    digest = only_digest(store, x=array if kind == "array" else pd.DataFrame(array))
    said = elsewhere(f"""
        import re, numpy, pandas, psutil
        from pathlib import Path
        from nbdag.values import ValueStore
        memory = lambda: int(re.search(r"Anonymous: *(\\d+)", Path("/proc/self/smaps_rollup").read_text())[1]) // 1024
        before = memory()
        x = ValueStore({store.root!r}).load({digest!r})["x"]
        total = float(numpy.asarray(x).sum())  # reads every page
        mapped = any({digest!r} in line for line in open("/proc/self/maps"))
        data = x if isinstance(x, numpy.ndarray) else x.to_numpy()
        print(total, memory() - before < 20, mapped, data.nbytes)
    """)
    assert said == f"0.0 True True {100 * MB}"


def test_an_array_is_aligned_to_64_bytes_in_the_file(store: ValueStore) -> None:
    loaded = store.load(only_digest(store, a=np.ones(1000), b=np.ones(1001, dtype="u1"), c=np.ones(999)))
    assert [array.ctypes.data % 64 for array in loaded.values()] == [0, 0, 0]


def test_a_change_of_a_loaded_value_does_not_change_the_file(any_store: ValueStore) -> None:
    digest = only_digest(any_store, x=np.zeros(1000), frame=pd.DataFrame({"a": np.zeros(1000)}))
    mine, yours = any_store.load(digest), any_store.load(digest)
    mine["x"][:] = 1
    mine["frame"].loc[:, "a"] = 1.0
    mine["frame"].iloc[0, 0] = 5.0
    assert yours["x"].sum() == 0
    assert yours["frame"]["a"].sum() == 0
    again = any_store.load(digest)
    assert again["x"].sum() == again["frame"]["a"].sum() == 0


def test_a_read_only_array_stays_read_only(store: ValueStore) -> None:
    array = np.zeros(1000)
    array.flags.writeable = False
    assert not store.load(only_digest(store, x=array))["x"].flags.writeable


def test_a_loaded_value_outlives_its_file(store: ValueStore) -> None:
    digest = only_digest(store, x=np.arange(100_000))
    loaded = store.load(digest)
    for path in Path(store.root).rglob(digest):
        path.unlink()
    assert loaded["x"].sum() == 99_999 * 50_000


def test_an_unstorable_value_is_reported_with_its_reader(store: ValueStore) -> None:
    with sqlite3.connect(":memory:") as connection, pytest.raises(UnstorableError) as caught:
        store.save({"db": connection}, readers={"db": "report"})
    connection.close()
    error = caught.value
    assert (error.name, error.type, error.reader) == ("db", "sqlite3.Connection", "report")
    assert str(error).startswith("'db', which task report needs, is a sqlite3.Connection and cannot be stored (")
    assert str(error).endswith("create it in a %%setup cell, or create and use it within one task")


class Stubborn:
    def __reduce__(self) -> str:
        raise RuntimeError("not\nme")


@pytest.mark.parametrize("value", [Stubborn(), [threading.Lock()], (n for n in range(3)), lambda: threading.Lock()])
def test_an_unstorable_value_is_reported_in_one_sentence(store: ValueStore, value: object) -> None:
    nested: object = value if not callable(value) else {"lock": value()}
    with pytest.raises(UnstorableError) as caught:
        store.save({"x": nested})
    assert "\n" not in str(caught.value)


def test_a_value_nested_too_deeply_is_reported_in_one_sentence(store: ValueStore) -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UnstorableError):
        store.save({"deep": deep})


def test_a_missing_value_is_reported(any_store: ValueStore) -> None:
    with pytest.raises(LostValueError, match="clear the task that wrote it"):
        any_store.load("0" * 32)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "0" * 31, "Z" * 32])
def test_only_a_digest_becomes_a_path(any_store: ValueStore, digest: str) -> None:
    with pytest.raises(ValueError, match="not a digest"):
        any_store.load(digest)


@pytest.mark.parametrize("left", [0, 5, 40, -1])
def test_a_damaged_value_is_reported_and_written_again(store: ValueStore, left: int) -> None:
    digest = only_digest(store, x=np.arange(10_000))
    (path,) = Path(store.root).rglob(digest)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(LostValueError):
        store.load(digest)
    assert only_digest(store, x=np.arange(10_000)) == digest
    assert store.load(digest)["x"].sum() == 9_999 * 5_000


def flip(path: Path, at: int) -> None:
    """Damage one byte of a file, and leave its size."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("at", [60, 200, -1])
def test_a_value_that_differs_from_its_digest_is_reported_and_healed(store: ValueStore, at: int) -> None:
    array = np.arange(10_000)
    digest = only_digest(store, x=array)
    (path,) = Path(store.root).rglob(digest)
    flip(path, at)
    with pytest.raises(LostValueError, match="is damaged"):
        store.load(digest)
    assert store.damaged([digest, "0" * 32]) == [digest, "0" * 32]
    assert only_digest(store, x=array) == digest
    np.testing.assert_array_equal(store.load(digest)["x"], array)


def test_reading_a_damaged_value_at_a_url_deletes_nothing(tmp_path: Path) -> None:
    store, array = ValueStore(f"memory://{tmp_path}/values"), np.arange(1000)
    digest = only_digest(store, x=array)
    stored, name = files_at(store.root), f"{digest[:2]}/{digest}"
    damaged = stored.read(name)[:-1] + b"?"
    stored.write(name, damaged)
    assert store.damaged([digest]) == [digest]
    assert stored.read(name) == damaged
    assert only_digest(store, x=array) == digest
    np.testing.assert_array_equal(store.load(digest)["x"], array)


def test_a_value_is_compared_with_its_digest_once_per_process(
    store: ValueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = only_digest(store, x=np.arange(10_000))
    calls: list[str] = []
    original = files._verify
    monkeypatch.setattr(files, "_verify", lambda content, *rest: (calls.append("read"), original(content, *rest)))
    (path,) = Path(store.root).rglob(digest)
    os.utime(path, (1, 1))  # as another process would see it
    for _ in range(3):
        store.load(digest)
    assert calls == ["read"]


def test_the_digest_covers_the_sizes_of_the_parts() -> None:
    assert files.digest_of({}, [b"ab", b"c"]) != files.digest_of({}, [b"a", b"bc"])


def test_a_value_of_the_first_format_is_still_read(store: ValueStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_MAGIC", files._MAGIC_1)
    monkeypatch.setattr(
        files, "digest_of", lambda about, parts: files._digest(json.dumps(about, sort_keys=True), parts)
    )
    digest = only_digest(store, x=[1, 2])
    monkeypatch.undo()
    assert ValueStore(store.root).load(digest) == {"x": [1, 2]}


def test_a_value_of_100_mb_is_checked_and_loaded_within_a_fifth_of_a_second(store: ValueStore, elsewhere) -> None:
    digest = only_digest(store, x=np.zeros(100 * MB // 8))
    said = elsewhere(f"""
        import time, numpy
        from nbdag.values import ValueStore
        store = ValueStore({store.root!r})
        began = time.process_time()
        store.load({digest!r})
        print(time.process_time() - began < 0.2)
    """)
    assert said == "True"


def test_a_value_that_refers_to_another_needs_it(store: ValueStore, notebook) -> None:
    book = notebook("class Node: pass\nstart = Node()")
    origins = Origins()
    first = book.save("start")
    names = store.load(first, namespace=book.names, origins=origins)
    saved = store.save({"graph": {names["start"]: 1}}, namespace=book.names, origins=origins)
    second = saved.outputs[0].digest
    assert store.needed([second]) == store.in_use([second]) == {first, second}
    again = Origins()
    graph = store.load(second, namespace=book.names, origins=again)["graph"]
    start = store.load(first, namespace=book.names, origins=again)["start"]
    assert graph[start] == 1
    (path,) = Path(store.root).rglob(first)
    path.unlink()
    assert not store.touch_if_stored(second)
    with pytest.raises(LostValueError):
        store.load(second, namespace=book.names)


def test_a_folder_that_cannot_be_created_is_reported_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreWriteError) as caught:
        ValueStore(str(tmp_path / "file" / "values")).save({"x": 1})
    assert str(caught.value) == (
        f"a value cannot be written to {tmp_path}/file/values (not a directory): free some space there, or make it writable"
    )


def test_a_failed_write_leaves_no_file(store: ValueStore) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # as on a disk that fills up: some bytes, then an error
    try:
        with pytest.raises(StoreWriteError, match="file too large"):
            store.save({"x": np.arange(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [path for path in Path(store.root).rglob("*") if path.is_file()]


def test_a_value_file_contains_a_plain_pickle(store: ValueStore) -> None:
    (path,) = (Path(store.root).rglob(only_digest(store, x=[1, 2])),)
    assert pickle.dumps({"x": [1, 2]}, 5)[2:] in next(path).read_bytes()


def test_large_frames_keep_their_types(store: ValueStore) -> None:
    frame = pd.DataFrame(
        {
            "when": pd.date_range("2026-01-01", periods=100, tz="Europe/Paris"),
            "kind": pd.Categorical(["a", "b"] * 50),
            "maybe": pd.array([1, None] * 50, dtype="Int64"),
            "o": [{"k": n} for n in range(100)],
        }
    )
    pd.testing.assert_frame_equal(store.load(only_digest(store, f=frame))["f"], frame)
