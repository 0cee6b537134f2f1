"""Probes that read hidden state, such as settings of libraries and states of random generators.

    from nbdag.kernels.runtime.state_probes import Probe

    PROBES = [Probe("mylib/settings", "mylib", lambda mylib: dict(mylib.settings), title="the settings of mylib",
                    advice="call mylib.configure in %%setup")]

    [project.entry-points."nbdag.probes"]
    mylib = "mylib_nbdag:PROBES"

A probe reads one kind of state before and after the cell. It is used only if its module is imported and a later task
can observe the state. `core.analysis.hidden_state` defines which code observes a built-in kind of state, and the kind's
title and advice. The name of an entry point is the name of a module: every task that uses the module observes the
states of these probes.
"""

from __future__ import annotations

import builtins
import decimal
import functools
import gc
import locale
import logging
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from IPython.core.getipython import get_ipython

from ...core.analysis.hidden_state import BY_KEY, IN_SETUP
from . import background

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "nbdag.probes"
_WORDS = 624  # number of words (32 bits) in one block
_LARGEST_SEARCH = 20_000  # maximum number of blocks to search, which take 50 MB and about 50 ms
# Maximum number of blocks to search if no word of the block was drawn, which is usual after a seed and rare otherwise.
_SEARCH_AT_START = 1_000


@dataclass(frozen=True, slots=True)
class Probe:
    """A function that reads one kind of hidden state."""

    key: str  # key of a kind in `hidden_state`, or a new key such as "mylib/settings"
    module: str  # the state is read only if this module is imported; "" for state of Python or IPython
    # Takes the module and returns the state. States are compared with ==; if they are mappings, messages name the keys
    # that differ.
    read: Callable[[Any], Any]
    title: str = ""  # name of a new kind of state in messages
    advice: str = IN_SETUP  # advice for a new kind of state, as the end of a message
    only_new: bool = False  # for a state that is a mapping: whether removed keys are no change

    def title_and_advice(self) -> tuple[str, str]:
        """Return the name of the state for messages, and the advice."""
        kind = BY_KEY.get(self.key)
        return (kind.title, kind.advice) if kind is not None else (self.title, self.advice)


def _decimal(_: object) -> dict[str, Any]:
    context = decimal.getcontext()
    names = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")
    traps = sorted(trap.__name__ for trap, trapped in context.traps.items() if trapped)
    return {**{name: getattr(context, name) for name in names}, "traps": traps}


def _warnings(_: object) -> dict[str, Any]:
    return {
        "filters": tuple(warnings.filters),
        "showwarning": warnings.showwarning,
        "formatwarning": warnings.formatwarning,
    }


def _logging(_: object) -> dict[str, Any]:
    found: dict[str, Any] = {"disable": logging.root.manager.disable, "root": _logger(logging.root)}
    for name, logger in logging.root.manager.loggerDict.items():
        state = _logger(logger) if isinstance(logger, logging.Logger) else _UNUSED
        if state != _UNUSED:
            found[name] = state
    return found


def _logger(logger: logging.Logger) -> tuple[Any, ...]:
    handlers = tuple(logger.handlers)
    if logger is logging.root and len(handlers) == 1 and _is_implicit(handlers[0]):
        handlers = ()
    # New loggers are ignored, because a library creates its logger on first use, and does so again in each task.
    of_handlers = tuple((each.level, each.formatter, tuple(each.filters)) for each in handlers)
    return logger.level, logger.propagate, logger.disabled, tuple(logger.filters), handlers, of_handlers


_UNUSED = (logging.NOTSET, True, False, (), (), ())


def _is_implicit(handler: logging.Handler) -> bool:
    """Return whether Python added a handler implicitly, for instance on a call of `logging.warning()`."""
    if type(handler) is not logging.StreamHandler or handler.stream is not sys.stderr or handler.level:
        return False
    return getattr(handler.formatter, "_fmt", None) == logging.BASIC_FORMAT


def _limits(_: object) -> dict[str, Any]:
    return {"recursion": sys.getrecursionlimit(), "switch interval": sys.getswitchinterval()}


def _builtins(_: object) -> dict[str, _Object]:
    """Return the builtins by name. Private names, and `input`, which the kernel sets for each cell, are omitted."""
    return {name: _Object(value) for name, value in vars(builtins).items() if name != "input" and name[0] != "_"}


def _hooks(_: object) -> dict[str, Any]:
    # IPython restores `sys.excepthook` after each cell.
    hooks = {
        "sys.unraisablehook": sys.unraisablehook,
        "sys.breakpointhook": sys.breakpointhook,
        "threading.excepthook": threading.excepthook,
        "sys.settrace": sys.gettrace(),
        "sys.setprofile": sys.getprofile(),
        "builtins.__import__": builtins.__import__,
    }
    finders = [*sys.meta_path, *sys.path_hooks]
    own = [_Object(each) for each in finders if _is_of_notebook(each)]  # libraries add finders when they are used
    return {**{name: _Object(hook) for name, hook in hooks.items()}, "sys.meta_path": own}


class _Object:
    """An object that equals only itself."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Object) and self.value is other.value

    __hash__ = None  # type: ignore[assignment]


def _handlers(_: object) -> dict[str, Any]:
    return {each.name: signal.getsignal(each) for each in signal.Signals}


class _Modules:
    """The modules of `sys.modules`. Instances are equal if they differ only in imported modules and in submodules."""

    def __init__(self) -> None:
        self._modules = sys.modules.copy()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Modules):
            return False
        one, two = self._modules, other._modules
        return not any(
            one.get(name) is not module and _is_made(name, module) for name, module in two.items()
        ) and not any(name not in two and _is_made(name, module) for name, module in one.items())

    __hash__ = None  # type: ignore[assignment]


def _is_made(name: str, module: object) -> bool:
    """Return whether code created a module without an import. Submodules never count, because libraries create some."""
    return "." not in name and not name.startswith("__") and getattr(module, "__spec__", None) is None


def _patches(mock: Any) -> dict[str, object]:
    active = list(mock._patch._active_patches)
    return {f"{getattr(each.target, '__name__', each.target)}.{each.attribute}": _Object(each) for each in active}


def _umask(_: object) -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _directory(_: object) -> str:
    try:
        return os.getcwd()  # noqa: PTH109 (faster than pathlib, and called around each task)
    except OSError:
        return ""


# Prefixes of variables that are ignored, because libraries set these variables on use, also in later tasks.
_OF_LIBRARIES = (
    "POLARS_",
    "KMP_",
    "MPLBACKEND",
    "COLUMNS",
    "LINES",
    "JOBLIB_",
    "LOKY_",
    "JPY_",
    "TF_CPP_",
    "TOKENIZERS_",
)


def _environment(_: object) -> dict[str, str]:
    raw = os.environ._data  # type: ignore[attr-defined]
    return _without_libraries(frozenset(raw.items()))


@functools.lru_cache(maxsize=2)
def _without_libraries(variables: frozenset[tuple[bytes, bytes]]) -> dict[str, str]:
    found = {os.fsdecode(name): os.fsdecode(value) for name, value in variables}
    return {name: value for name, value in found.items() if not name.startswith(_OF_LIBRARIES)}


def _ipython_settings(_: object) -> dict[str, Any]:
    shell: Any = get_ipython()
    if shell is None:
        return {}
    formatters, plain = _formatters(shell)
    found = {
        "precision": (plain["float_precision"], plain["float_format"]),
        "pprint": plain["pprint"],
        "xmode": getattr(shell.InteractiveTB, "mode", ""),
        "ast_node_interactivity": shell.ast_node_interactivity,
        "ast_transformers": [_Object(each) for each in shell.ast_transformers],
        "input_transformers": [_Object(each) for each in shell.input_transformers_cleanup],
        "input_transformers_post": [_Object(each) for each in shell.input_transformers_post],
    }
    # Libraries register printers and callbacks when they are used, also in later tasks.
    for kind, formatter in formatters.items():
        own = [cls for cls, printer in formatter.type_printers.items() if _is_of_notebook(printer)]
        if own:
            found[f"formatter of {kind}"] = frozenset(own)
    for event, callbacks in shell.events.callbacks.items():
        if own_callbacks := [each for each in callbacks if _is_of_notebook(each)]:
            found[f"callbacks of {event}"] = frozenset(own_callbacks)
    inline = sys.modules.get("matplotlib_inline.config")
    if inline is not None and inline.InlineBackend.initialized():
        found["figure_formats"] = frozenset(inline.InlineBackend.instance().figure_formats)
    return found


def _formatters(shell: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the formatters of outputs by media type, and the settings of the formatter for plain text.

    The shell creates the formatters when it first shows a value, which takes milliseconds. Until then, their settings
    are the defaults of their class, or those of a configuration file.
    """
    from IPython.core.formatters import PlainTextFormatter

    names = ("float_precision", "float_format", "pprint")
    display = shell.display_formatter
    if not display.trait_has_value("formatters") and not any("Formatter" in section for section in shell.config):
        return {}, {name: getattr(PlainTextFormatter, name).default_value for name in names}
    plain = display.formatters["text/plain"]
    return display.formatters, {name: getattr(plain, name) for name in names}


def _is_of_notebook(function: object) -> bool:
    return getattr(function, "__module__", None) == "__main__"


# Extensions of IPython that have no effect in a task.
_HARMLESS_EXTENSIONS = frozenset({"autoreload", "nbdag", "storemagic"})


def _ipython_extensions(_: object) -> dict[str, Any]:
    shell: Any = get_ipython()
    if shell is None:
        return {}
    return {
        "extensions": frozenset(shell.extension_manager.loaded) - _HARMLESS_EXTENSIONS,
        "aliases": dict(shell.alias_manager.aliases),
        "magics": {kind: frozenset(found) for kind, found in shell.magics_manager.magics.items()},
    }


def _pandas(pandas: Any) -> dict[str, Any]:
    from pandas._config import config  # the private module, because the public functions are 100 times slower

    return _flat(config._global_config)


def _flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _accessors(pandas: Any) -> dict[str, Any]:
    """Return the attributes of the classes of pandas that code may extend by accessors or by assignments."""
    return {cls.__name__: dict(vars(cls)) for cls in (pandas.DataFrame, pandas.Series, pandas.Index)}


def _numpy(numpy: Any) -> dict[str, Any]:
    return {**numpy.get_printoptions(), **numpy.geterr(), "errcall": numpy.geterrcall()}


# Settings of matplotlib that the first plot changes implicitly.
_OF_BACKEND = frozenset({"backend", "interactive", "toolbar", "webagg.port"})


def _matplotlib(matplotlib: Any) -> dict[str, Any]:
    return {name: value for name, value in dict.items(matplotlib.rcParams) if name not in _OF_BACKEND}


def _figures(pylab_helpers: Any) -> dict[str, int]:
    """Return the open figures by number, each with the number of its artists."""
    found = {}
    for number, manager in pylab_helpers.Gcf.figs.items():
        figure = manager.canvas.figure
        found[f"figure {number}"] = sum(len(each.get_children()) for each in figure.axes)
    return found


def _duckdb(duckdb: Any) -> tuple[Any, ...]:
    query = (
        "select 'table', table_name, estimated_size from duckdb_tables() "
        "union all select 'view', view_name, 0 from duckdb_views() where not internal"
    )
    return tuple(sorted(duckdb.default_connection().cursor().execute(query).fetchall()))


@dataclass(frozen=True, slots=True)
class Twister:
    """A state of the Mersenne Twister, the algorithm of `random` and of numpy's global generator.

    Each draw moves the generator to the next state of one long sequence; a seed sets a state elsewhere in the sequence.
    So two states show whether the generator was seeded between them.
    """

    key: tuple[int, ...]  # a block of words
    position: int  # number of random words that have been taken from the block
    rest: object = None  # a normally distributed number that the generator has computed in advance, if any

    def continues(self, before: Twister) -> bool:
        """Return whether the generator got from `before` to this state only by drawing numbers, without a new seed.

        If more than 12 million words were drawn, return False, because the search would take too long. If the last
        drawn word ends a block, this limit is 0.6 million words.
        """
        if self.key == before.key:
            return self.position >= before.position
        start, blocks = self._first_words(), 1
        generator = before._at_start()
        generator.getrandbits(32 * _WORDS)
        done = 0
        most = _LARGEST_SEARCH if self.position < _WORDS else _SEARCH_AT_START
        while done < most:
            stream = generator.getrandbits(32 * _WORDS * blocks).to_bytes(4 * _WORDS * blocks, "little")
            if any(stream.startswith(start, 4 * _WORDS * block) for block in range(blocks)):
                return True
            done += blocks
            blocks = min(2 * blocks, 2048, max(most - done, 1))
        return False

    def _first_words(self) -> bytes:
        return self._at_start().getrandbits(128).to_bytes(16, "little")

    def _at_start(self) -> random.Random:
        generator = random.Random()
        generator.setstate((3, (*self.key, 0), None))
        return generator


def _random(_: object) -> Twister:
    _, words, gauss = random.getstate()
    return Twister(words[:-1], words[-1], gauss)


def _numpy_random(numpy: Any) -> Any:
    state = numpy.random.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        return repr(state)
    key, position = state["state"]["key"], int(state["state"]["pos"])
    return Twister(tuple(key.tolist()), position, (state["has_gauss"], state["gauss"]))


class TorchState(bytes):
    """The state of torch's generator."""

    seed = 0

    def continues(self, before: TorchState) -> bool:
        """Return whether the generator got from `before` to this state only by drawing numbers, without a new seed."""
        return self.seed == before.seed


def _torch(torch: Any) -> TorchState:
    state = TorchState(torch.get_rng_state().numpy().tobytes())
    state.seed = torch.initial_seed()
    return state


PROBES: tuple[Probe, ...] = (
    Probe("random/generator", "", _random),
    Probe("numpy/generator", "numpy", _numpy_random),
    Probe("torch/generator", "torch", _torch),
    Probe("decimal/context", "", _decimal),
    Probe("warnings/filters", "", _warnings),
    Probe("logging/settings", "", _logging),
    Probe("sys/path", "", lambda _: tuple(sys.path)),
    Probe("sys/limits", "", _limits),
    Probe("sys/streams", "", lambda _: {"stdout": _Object(sys.stdout), "stderr": _Object(sys.stderr)}),
    Probe("sys/hooks", "", _hooks),
    Probe("builtins/names", "", _builtins),
    Probe("time/zone", "", lambda _: (time.tzname, time.timezone)),
    Probe("gc/settings", "", lambda _: (gc.isenabled(), gc.get_threshold(), gc.get_debug())),
    Probe("signal/handlers", "", _handlers),
    Probe("python/running", "", lambda _: background.running(), only_new=True),
    Probe("mock/patches", "unittest.mock", _patches, only_new=True),
    Probe("socket/timeout", "socket", lambda socket: socket.getdefaulttimeout()),
    Probe("sys/modules", "", lambda _: _Modules()),
    Probe("locale/locale", "", lambda _: locale.setlocale(locale.LC_ALL)),
    Probe("os/umask", "", _umask),
    Probe("os/environment", "", _environment),
    Probe("os/directory", "", _directory),
    Probe("ipython/settings", "", _ipython_settings),
    Probe("ipython/extensions", "", _ipython_extensions),
    Probe("pandas/accessors", "pandas", _accessors),
    Probe("pandas/settings", "pandas", _pandas),
    Probe("numpy/settings", "numpy", _numpy),
    Probe("matplotlib/settings", "matplotlib", _matplotlib),
    Probe("matplotlib/figures", "matplotlib._pylab_helpers", _figures),
    Probe("sklearn/settings", "sklearn", lambda sklearn: sklearn.get_config()),
    Probe("polars/settings", "polars", lambda polars: polars.Config.state()),
    Probe("duckdb/default", "duckdb", _duckdb),
)


@functools.cache
def search() -> tuple[EntryPoint, ...]:
    """Return the entry points of the packages that have probes, without importing the packages."""
    from importlib.metadata import entry_points

    return tuple(entry_points(group=GROUP))


def wanted_probes(keys: Collection[str]) -> Iterator[tuple[str, Probe]]:
    """Yield (key, probe) for each probe of these keys, which are kinds of state or modules."""
    for probe in PROBES:
        if probe.key in keys:
            yield probe.key, probe
    if any("/" not in key and key in sys.modules for key in keys):
        for point in search():
            if point.name in keys and point.name in sys.modules:
                for probe in _load(point):
                    yield point.name, probe


@functools.cache
def _load(point: EntryPoint) -> tuple[Probe, ...]:
    try:
        return tuple(point.load())
    except Exception:
        warnings.warn(f"the probes of {point.name} ({point.value}) cannot be loaded", stacklevel=2)
        return ()
