"""The built-in rules of the registry of types: Python's own types, numpy, pandas, pyarrow and polars.

numpy pickles a view as a separate array, so a later change of the viewed array would not change the view. Therefore, a
view is stored as a view if the array that owns its memory is in the same pickle.
"""

from __future__ import annotations

import copy
import itertools
import linecache
import re
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from traceback import walk_tb
from typing import Any

from .type_rule import PickleState, Refusal, TypeRule


def _array_reduce(array: Any, state: PickleState) -> Any:
    """Return how to pickle an array as a view of another array in the pickle, or None if it is no such view."""
    if not _is_plain_array(array) or id(array) in state.unshared:
        return None
    owner = _owner(array)
    pickled = state.owners.get(id(owner))
    if pickled is None or pickled is array:
        # An array that uses all memory of its owner is recorded in place of the owner, because the pickle need not
        # contain the owner, which may itself be a view of a memory-mapped file.
        if array.nbytes == owner.nbytes:
            state.owners[id(owner)] = array
        return None
    if not pickled.flags.c_contiguous or array.dtype.hasobject:
        return None
    offset = array.__array_interface__["data"][0] - pickled.__array_interface__["data"][0]
    return view, (pickled, offset, array.shape, array.strides, array.dtype, bool(array.flags.writeable))


def view(owner: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: Any, writeable: bool) -> Any:
    """Return a new view of an array's memory."""
    made = type(owner)(shape, dtype, owner, offset, strides)
    if not writeable:
        made.flags.writeable = False
    return made


def _array_is_view(array: Any) -> bool:
    return _is_plain_array(array) and array.nbytes < _owner(array).nbytes


def _owner(array: Any) -> Any:
    while type(array.base) is type(array):
        array = array.base
    return array


def _is_plain_array(obj: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(obj) is getattr(numpy, "ndarray", None)


def _arrays_overlap(one: Any, other: Any) -> bool:
    numpy = sys.modules["numpy"]
    try:
        return bool(numpy.shares_memory(one, other, max_work=1000))
    except numpy.exceptions.TooHardError:
        return True


def _block_values(block: Any) -> Iterable[object]:
    return (block.values,)  # pandas copies the values of a block before changing them


def _frame_content(frame: Any) -> object:
    """Return the content of a data frame without the layout of its blocks. pandas may change the layout without
    changing the data.
    """
    columns = [frame.iloc[:, number].array for number in range(frame.shape[1])]
    return type(frame).__name__, frame.index, frame.columns, columns, frame.attrs


def _array_content(array: Any) -> object:
    """Return the content of an array of pandas without the cache that its properties fill when they are read."""
    parts = {name: value for name, value in vars(array).items() if name != "_cache"}
    return type(array).__name__, array._ndarray, array.dtype, parts


def _tee_content(tee: Any) -> object:
    """Return the next elements of an iterator that `itertools.tee` returned. It shares a buffer with other iterators.

    Reading a copy of such an iterator crashes Python 3.11, so the elements are taken from the parts of its pickle.
    """
    buffer, position = tee.__reduce__()[2]
    elements: list[object] = []
    following: Any = buffer
    while following is not None:
        source, values, following = following.__reduce__()[1]
        elements += values
    if type(source) not in _WITHOUT_EFFECTS:
        return buffer, position
    return [*elements[position:], *itertools.islice(copy.copy(source), _MOST_ELEMENTS)]


# Types of iterators that can be read ahead, because they call no code of the user.
_WITHOUT_EFFECTS = frozenset(map(type, (iter([]), iter(()), iter(range(0)), iter(""), itertools.count())))
_MOST_ELEMENTS = 1000


def _generator_content(generator: Any) -> object:
    frame = generator.gi_frame
    return (id(generator), frame.f_lasti, dict(frame.f_locals)) if frame else (id(generator),)


def _stream_reduce(stream: Any, state: PickleState) -> Any:
    """Return how to pickle a standard stream: by name, because each kernel has its own standard streams."""
    name = _standard_stream(stream)
    return None if name is None else (getattr, (sys, name))


def _standard_stream(stream: object) -> str | None:
    return next((name for name in ("stdout", "stderr", "stdin") if getattr(sys, name, None) is stream), None)


def _open_file(file: Any) -> Refusal | None:
    if _standard_stream(file) is not None:
        return None
    name = getattr(file, "name", None)
    which = f"the open file {name}" if isinstance(name, str) else "an open file"
    return Refusal(
        f"{which} belongs to the process that opened it; another task would only write to a copy in memory",
        "open it in each task that uses it",
    )


def _in_memory(file: object) -> None:
    """Refuse nothing (None), because a file in memory can be passed to another task with its content."""


def _temporary(value: Any) -> Refusal:
    name = getattr(value, "name", None)
    what = f"{name} is deleted" if isinstance(name, str) else "it is deleted"
    return Refusal(
        f"{what} when the task that created it ends",
        "use a file or folder that is not deleted automatically, such as one of tempfile.mkdtemp(), and delete "
        "it in the last task",
    )


def _live_view(view: Any) -> Refusal:
    copy = "bytes(…)" if isinstance(view, memoryview) else "list(…)"
    return Refusal(
        "it is a view of another object, and another task would not see later changes of that object",
        f"pass {copy} of it",
    )


def _frame_attributes(frame: Any) -> Refusal | None:
    known = set(getattr(frame, "_metadata", ()))
    lost = [name for name in vars(frame) if not name.startswith("_") and name not in known]
    if not lost:
        return None
    return Refusal(
        f"pandas does not store its attribute {lost[0]}",
        f"keep {lost[0]} in a separate variable, or in the attrs of the {type(frame).__name__}",
    )


def _masked_attributes(array: Any) -> Refusal | None:
    lost = [name for name in vars(array) if not name.startswith("_")]
    if not lost:
        return None
    return Refusal(f"numpy does not store its attribute {lost[0]}", f"keep {lost[0]} in a separate variable")


def _exception_reduce(error: Any, state: PickleState) -> Any:
    """Return how to pickle an exception with its cause, its context and its traceback, or None if all three are
    missing.

    Python's own pickle of an exception contains only its arguments and attributes.
    """
    if error.__cause__ is None and error.__context__ is None and error.__traceback__ is None:
        return None
    function, args, *rest = error.__reduce_ex__(5)
    chain = (error.__cause__, error.__context__, error.__suppress_context__)
    trace = _trace_of(error.__traceback__)
    return function, args, (rest[0] if rest else None, chain, trace), None, None, _restore_exception


def _restore_exception(error: Any, state: Any) -> None:
    own, (error.__cause__, error.__context__, error.__suppress_context__), *trace = state
    if own is not None:
        error.__setstate__(own)
    if trace and trace[0]:
        error.__traceback__ = _traceback(*trace[0])


def _trace_of(traceback: types.TracebackType | None) -> tuple[Any, dict[str, dict[int, str]]] | None:
    """Return a traceback as plain data, and the source lines of places outside of files, such as cells."""
    import tblib

    frames = [frame for frame, _ in walk_tb(traceback)]
    if not frames or len(frames) > _MOST_FRAMES:
        return None
    lines: dict[str, dict[int, str]] = {}
    places = tblib.Traceback(traceback).to_dict()
    place: Any = places
    while place is not None:
        code = place["tb_frame"]["f_code"]
        name, number = code["co_filename"], place["tb_lineno"]
        text = linecache.getline(name, number)
        # The name of a cell's file contains the pid of its kernel.
        code["co_filename"] = name = _CELL_FILE.sub("ipykernel_0/", name)
        if text and not Path(name).exists():
            lines.setdefault(name, {})[number] = text
        place["tb_frame"]["f_globals"].pop("__file__", None)
        place = place["tb_next"]
    return places, lines


def _traceback(places: Any, lines: dict[str, dict[int, str]]) -> types.TracebackType | None:
    import tblib

    for name, texts in lines.items():
        known = dict(enumerate(linecache.getlines(name), 1))
        page = [texts.get(number, known.get(number, "\n")) for number in range(1, max(*texts, *known, 1) + 1)]
        linecache.cache[name] = (sum(map(len, page)), None, page, name)
    return tblib.Traceback.from_dict(places).as_traceback()  # type: ignore[no-any-return]


_MOST_FRAMES = 200  # maximum number of frames of a traceback that is stored
_CELL_FILE = re.compile(r"ipykernel_\d+/")


def _connection_content(connection: Any) -> object:
    """Return how often a connection has changed rows and tables of a database in memory.

    Changes of a database in a file are ignored, because all tasks share the file.
    """
    try:
        if any(file for _, _, file in connection.execute("PRAGMA database_list")):
            return id(connection)
        return id(connection), connection.total_changes, *connection.execute("PRAGMA schema_version").fetchone()
    except Exception:  # the connection is closed, or belongs to another thread
        return id(connection)


def _duckdb_content(connection: Any) -> object:
    """Return the tables, with their sizes, of a duckdb connection whose database is in memory."""
    try:
        cursor = connection.cursor()  # a query on the connection itself would replace its last result
        if any(path for _, path in cursor.execute("select database_name, path from duckdb_databases()").fetchall()):
            return id(connection)
        query = "select table_name, estimated_size, column_count from duckdb_tables() where not internal"
        views = "select view_name, 0, column_count from duckdb_views() where not internal"
        return id(connection), sorted(cursor.execute(f"{query} union all {views}").fetchall())
    except Exception:  # the connection is closed, or a transaction has failed
        return id(connection)


def _engine_content(engine: Any) -> object:
    """Return how often rows and tables have changed in the in-memory database of an SQLAlchemy engine."""
    if engine.dialect.name != "sqlite" or engine.url.database not in (None, "", ":memory:"):
        return id(engine)
    try:
        with engine.connect() as connection:
            return id(engine), _connection_content(connection.connection.dbapi_connection)
    except Exception:
        return id(engine)


def _queue_content(queue: Any) -> object:
    return id(queue), list(queue.queue)


def _event_content(event: Any) -> object:
    return id(event), event.is_set()


def _variable_content(variable: Any) -> object:
    return id(variable), variable.get(None)


def _local_content(local: Any) -> object:
    return id(local), dict(vars(local))


def _weak_content(container: Any) -> object:
    """Return the identities of the objects in a weak container, such as `WeakSet`: it does not keep them alive."""
    keys = container.keys() if hasattr(container, "keys") else container
    return id(container), sorted(id(each) for each in keys)


def _sentinel_reduce(obj: Any, state: PickleState) -> Any:
    """Return how to pickle a sentinel of an imported module, such as `MISSING = object()`. The pickle contains the
    names of the module and of the sentinel.
    """
    if type(obj) is not object:
        return None
    for module_name, module in list(sys.modules.items()):
        if module_name == "__main__" or not isinstance(module, types.ModuleType):
            continue
        for name, value in list(vars(module).items()):
            if value is obj:
                return getattr, (module, name)
    return None


def _cached_property_reduce(obj: Any, state: PickleState) -> Any:
    """Return how to pickle a cached property without its lock, which Python 3.11 adds."""
    return type(obj), (obj.func,), {name: value for name, value in vars(obj).items() if name not in ("func", "lock")}


_WEAK = ("_weakrefset:WeakSet", "weakref:WeakValueDictionary", "weakref:WeakKeyDictionary")
_VIEWS = ("dict_keys", "dict_values", "dict_items", "memoryview")
_SAFE = (
    "builtins:str", "builtins:bytes", "builtins:int", "builtins:float", "builtins:complex", "builtins:NoneType",
    "builtins:module",
)  # fmt: skip
_IMMUTABLE = (
    "builtins:tuple", "builtins:frozenset", "builtins:type", "builtins:range", "builtins:slice", "builtins:ellipsis",
    "builtins:function", "builtins:builtin_function_or_method", "builtins:code", "builtins:mappingproxy",
    "numbers:Number", "datetime:date", "datetime:time", "datetime:timedelta", "datetime:tzinfo", "decimal:Decimal",
    "fractions:Fraction", "enum:Enum", "pathlib:PurePath", "re:Pattern", "uuid:UUID",
    "numpy:dtype", "numpy:generic", "numpy:ufunc",
    "pandas:Index", "pandas:Timestamp", "pandas:Timedelta", "pandas:Period", "pandas:Interval",
    # The next classes are listed twice, because versions of pandas define them in different modules.
    "pandas.api.extensions:ExtensionDtype", "pandas.core.dtypes.base:ExtensionDtype",
    "pandas.api.extensions:ExtensionArray", "pandas.core.arrays.base:ExtensionArray",
    "types:MethodType", "functools:partial", "functools:partialmethod", "operator:itemgetter", "operator:attrgetter",
    "operator:methodcaller", "ipaddress:_IPAddressBase", "logging:Logger", "string:Formatter", "ctypes:_CFuncPtr",
    "builtins:method", "builtins:wrapper_descriptor", "builtins:method_descriptor", "builtins:getset_descriptor",
    "builtins:member_descriptor", "builtins:property", "builtins:staticmethod", "builtins:classmethod",
    "pyarrow.lib:_Weakrefable", "polars:DataFrame", "polars:Series", "polars.datatypes:DataType",
)  # fmt: skip

BUILT_IN: tuple[TypeRule, ...] = (
    *(TypeRule(name, immutable=True, safe=True) for name in _SAFE),
    *(TypeRule(name, immutable=True) for name in _IMMUTABLE),
    TypeRule("builtins:object", reduce=_sentinel_reduce),
    TypeRule("functools:cached_property", immutable=True, reduce=_cached_property_reduce),
    TypeRule("_io:_IOBase", refused=_open_file, reduce=_stream_reduce),
    TypeRule("_io:BytesIO", refused=_in_memory),
    TypeRule("_io:StringIO", refused=_in_memory),
    TypeRule("tempfile:TemporaryDirectory", refused=_temporary),
    TypeRule("tempfile:_TemporaryFileWrapper", refused=_temporary),
    TypeRule("tempfile:SpooledTemporaryFile", refused=_open_file),
    *(TypeRule(f"builtins:{name}", refused=_live_view) for name in _VIEWS),
    TypeRule("sqlite3:Connection", fingerprint=_connection_content),
    TypeRule("_duckdb:DuckDBPyConnection", fingerprint=_duckdb_content),
    TypeRule("duckdb:DuckDBPyConnection", fingerprint=_duckdb_content),
    TypeRule("sqlalchemy.engine:Engine", fingerprint=_engine_content),
    TypeRule("queue:Queue", fingerprint=_queue_content),
    TypeRule("threading:Event", fingerprint=_event_content),
    TypeRule("_thread:_local", fingerprint=_local_content),
    TypeRule("_contextvars:ContextVar", fingerprint=_variable_content),
    *(TypeRule(name, fingerprint=_weak_content) for name in _WEAK),
    TypeRule("builtins:generator", fingerprint=_generator_content),
    TypeRule("builtins:BaseException", reduce=_exception_reduce),
    TypeRule("numpy.ma:MaskedArray", refused=_masked_attributes),
    TypeRule("numpy:ndarray", reduce=_array_reduce, overlap=_arrays_overlap, is_view=_array_is_view),
    TypeRule("itertools:_tee", fingerprint=_tee_content),
    TypeRule("pandas._libs.arrays:NDArrayBacked", fingerprint=_array_content),
    TypeRule("pandas:DataFrame", fingerprint=_frame_content, refused=_frame_attributes),
    TypeRule("pandas:Series", refused=_frame_attributes),
    TypeRule("pandas.core.internals.blocks:Block", unshared=_block_values),
)
