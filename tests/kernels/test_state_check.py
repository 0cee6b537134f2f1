"""The comparison of state without a name, without a kernel."""

from __future__ import annotations

import importlib
import logging
import os
import posix
import random
import sys
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from nbdag.core.analysis.hidden_state import KINDS
from nbdag.kernels.runtime import file_watch, state_probes
from nbdag.kernels.runtime.file_watch import FileWatch
from nbdag.kernels.runtime.messages import KernelRequest
from nbdag.kernels.runtime.module_state import changed_attributes, clock_times, state_of
from nbdag.kernels.runtime.state_check import StateCheck
from nbdag.kernels.runtime.state_probes import PROBES, Probe, Twister


def nothing() -> None: ...


def notes(
    observers: dict[str, str],
    cell: Callable[[], object],
    setup: Callable[[], object] = nothing,
    **more: object,
) -> list[tuple[str, str]]:
    """Return the report on a task `t` whose state these later tasks can observe."""
    request = KernelRequest(task="t", values="", context={}, state_observers=observers, **more)  # type: ignore[arg-type]
    check = StateCheck(request)
    check.begin()
    setup()
    check.before_cell()
    cell()
    return [(note.code, note.message) for note in check.notes()]


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), list(sys.path)
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    sys.path[:] = states[2]


def test_the_watch_of_files_is_no_change_of_os_stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "stat", posix.stat)
    monkeypatch.setattr(file_watch, "_installed", False)
    monkeypatch.setattr(sys, "addaudithook", lambda hook: None)
    watch = file_watch.FileWatch(str(tmp_path), str(tmp_path / "home"))

    def cell() -> None:
        watch.start()
        watch.stop()

    assert notes({"os.stat": "b"}, cell) == []
    assert os.stat is not posix.stat


def drawn(count: int) -> None:
    random.getrandbits(32 * count)


@pytest.mark.parametrize("count", [1, 623, 624, 625, 10_000, 1_000_000])
def test_draws_continue_a_state_and_a_seed_does_not(count: int) -> None:
    generator = random.Random(4)
    before = Twister(generator.getstate()[1][:-1], generator.getstate()[1][-1])
    generator.getrandbits(32 * count)
    after = Twister(generator.getstate()[1][:-1], generator.getstate()[1][-1])
    assert after.continues(before)
    other = random.Random(5).getstate()[1]
    assert not Twister(other[:-1], other[-1]).continues(before)


def test_draws_of_numpy_continue_a_state() -> None:
    read = next(probe for probe in PROBES if probe.key == "numpy/generator").read
    before = read(np)
    np.random.normal(size=5000)
    assert read(np).continues(before)
    np.random.seed(1)
    assert not read(np).continues(before)


GENERATORS = [
    (lambda: random.seed(1), nothing, {}, "seeded the global generator of random only in its kernel, and b draws"),
    (lambda: drawn(5), lambda: random.seed(1), {}, "drew from the global generator of random, which setup seeds"),
    (lambda: drawn(5), nothing, {"seeded_before": {"random/generator": "s"}}, "which task s seeded only in its kernel"),
]
NO_NEWS = [
    (lambda: drawn(5), nothing, {}),  # without a seed
    (lambda: drawn(5), lambda: drawn(9), {}),
    (nothing, lambda: random.seed(1), {}),
    (lambda: random.seed(1), nothing, {"state_changed": ["random/generator"]}),  # `check` reports it
]


@pytest.mark.parametrize(("cell", "setup", "more", "said"), GENERATORS)
def test_seeds_and_draws_that_differ_are_reported(
    cell: Callable[[], None], setup: Callable[[], None], more: dict[str, object], said: str
) -> None:
    ((code, message),) = notes({"random/generator": "b"}, cell, setup, **more)
    assert code == "NB441"
    assert said in message


@pytest.mark.parametrize(("cell", "setup", "more"), NO_NEWS)
def test_draws_that_nobody_can_repeat_are_not_reported(
    cell: Callable[[], None], setup: Callable[[], None], more: dict[str, object]
) -> None:
    assert notes({"random/generator": "b"}, cell, setup, **more) == []


def test_a_task_whose_state_nobody_observes_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_: object) -> object:
        raise AssertionError("read although no later task observes it")

    monkeypatch.setattr(state_probes, "PROBES", tuple(Probe(each.key, each.module, read) for each in PROBES))
    original = importlib.machinery.SourceFileLoader.exec_module
    assert notes({}, lambda: random.seed(1)) == []
    assert importlib.machinery.SourceFileLoader.exec_module is original


def test_only_state_that_a_later_task_observes_is_reported() -> None:
    def cell() -> None:
        random.seed(1)
        sys.path.append("/opt/mine")

    assert [code for code, _ in notes({"sys/path": "b"}, cell)] == ["NB440"]


def test_the_import_of_a_library_is_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import sets its state again in later tasks, but changes that the cell makes before it still count."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "sets_level.py").write_text("import logging\nlogging.getLogger('sets_level').setLevel(10)\n")
    monkeypatch.syspath_prepend(str(folder))
    observers = {"logging/settings": "b"}
    assert notes(observers, lambda: importlib.import_module("sets_level")) == []
    del sys.modules["sets_level"]

    def cell() -> None:
        logging.getLogger("of.the.user").setLevel(10)
        importlib.import_module("sets_level")

    try:
        ((_, message),) = notes(observers, cell)
    finally:
        logging.getLogger("of.the.user").setLevel(0)
    assert "(of.the.user)" in message


def test_attributes_of_a_module_of_the_user_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of_the_user.py").write_text("STATE = []\nN = 0\nTABLE = {'a': [1]}\n_cache = {}\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def cell() -> None:
        module = importlib.import_module("of_the_user")  # in the cell itself, as a task may
        module.STATE.append(1)
        module.TABLE["a"].append(2)
        module._cache[1] = 1

    ((code, message),) = notes({"of_the_user": "b"}, cell)
    assert code == "NB442"
    assert "of_the_user.STATE, of_the_user.TABLE" in message
    assert ".N" not in message and "_cache" not in message


MODULE = """
import contextvars, functools, threading
_seen, _config, _cache, _units = [], {'rate': 1}, {}, {}
_model, _level, _ready = None, None, False
_local = threading.local()
VARIABLE = contextvars.ContextVar('VARIABLE', default=None)

class Settings:
    def __init__(self):
        self.parts = {'a': {'b': [1]}}
settings = Settings()

def tick():
    tick.calls += 1
tick.calls = 0

def collect(value, found=[]):
    found.append(value)

def counter():
    n = 0
    def count():
        nonlocal n
        n += 1
        return n
    return count
count = counter()

def memoized(function):
    results = {}
    def call(n):
        if n not in results:
            results[n] = function(n)
        return results[n]
    return call

@memoized
def square(n):
    return n * n

def model():
    global _model, _ready
    if _model is None:
        _model, _ready = {'w': 3}, True
        _units['w'] = 1
    return _model

def set_level(level):
    global _level
    _level = level

def level():
    return _level
"""


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("m._seen.append(1)", "m._seen"),
        ("m._config.update(rate=2)", "m._config"),
        ("m._local.user = 'me'", "m._local"),
        ("m.VARIABLE.set('x')", "m.VARIABLE"),
        ("m.settings.parts['a']['b'].append(2)", "m.settings"),
        ("m.tick()", "m.tick"),
        ("m.collect(1)", "m.collect"),
        ("m.count()", "m.count"),
        ("m.set_level('debug')", "m._level"),
        ("m.square(3); m.model(); m._cache.update(a=1)", ""),  # caches, which each task fills with the same results
    ],
)
def test_state_that_a_module_hides_is_compared_but_caches_are_not(
    code: str, changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hiding.py").write_text(MODULE)
    (tmp_path / "using.py").write_text("import hiding\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("hiding", "using"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    # The later task uses the module only through another one.
    said = notes(
        {"using": "b"}, lambda: exec(code, {"m": sys.modules["hiding"]}), lambda: importlib.import_module("using")
    )
    assert [message.split()[3].replace("hiding", "m") for _, message in said] == ([changed] if changed else [])


FIRST_USE = """
import functools, random
_client = _plain = _rng = _chance = None
class Client:
    def __init__(self, url="u"):
        self.url, self.retries = url, 3
        self.calls = 0
        self.log = []
        self._pages = {}
        self.session = None
        self.connect()
    def connect(self):
        self.session, self.retries = object(), 5
    def call(self):
        self.calls += 1
        self._pages["x"] = 1
    def note(self, text): self.log.append(text)
    def page(self): return self._pages.setdefault("y", 2)
def client():
    global _client
    if _client is None:
        _client = Client()
    return _client
def rng(seeded=True):
    global _rng, _chance
    if seeded:
        _rng = _rng or random.Random(0)
        return _rng
    if _chance is None:
        _chance = random.Random()
    return _chance
@functools.lru_cache
def shared():
    return Client()
class Single:
    _instance = None
    def __init__(self): self.count: int = 0
    def add(self): self.count = self.count + 1
    @classmethod
    def get(cls):
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance
"""


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("m.client().call()", "m._client.calls"),
        ("m.client().note('x')", "m._client.log"),
        ("m.shared().call()", "m.shared().calls"),
        ("m.Single.get().add()", "m.Single._instance.count"),
        ("m.client(); m.client().page(); m.shared(); m.Single.get(); m.rng(False).random()", ""),
    ],
)
def test_an_object_that_a_module_creates_on_first_use_is_compared_with_a_new_one(
    code: str, changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.py").write_text(FIRST_USE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "m", raising=False)
    said = notes({"m": "b"}, lambda: exec(code, {"m": sys.modules["m"]}), lambda: importlib.import_module("m"))
    assert [message.split()[3] for _, message in said] == ([changed] if changed else [])


# `pair` is read last, when the registries have nearly used up the number of objects that are compared.
LARGE = """
_first, _second, _third = ({n: [] for n in range(495)} for _ in range(3))
pair = [1]
"""
LAZY = """
class Lazy:
    value = None
    @property
    def __class__(self):
        if self.value is None:
            raise RuntimeError('not configured')
        return type(self.value)
settings, _private, count = Lazy(), [Lazy()], 0
"""
TIMED = "_started = _rate = 0.5"


@pytest.mark.parametrize(
    ("source", "code", "changed"),
    [
        (LARGE, "m._first.update((n, []) for n in range(600, 640))", ""),
        (LARGE, "m._first.update((n, []) for n in range(600, 640)); m.pair = [2]", "m.pair"),
        (LAZY, "m.settings.value = 1", ""),
        (LAZY, "m.count = 1", "m.count"),
        (TIMED, "import time; m._started = time.monotonic()", ""),
        (TIMED, "import time; m._rate = time.monotonic() - 60", "m._rate"),  # a number that is near to a time
    ],
)
def test_limits_lazy_objects_and_times_cause_no_false_report(
    source: str, code: str, changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "m.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "m", raising=False)
    said = notes({"m": "b"}, lambda: exec(code, {"m": sys.modules["m"]}), lambda: importlib.import_module("m"))
    assert [message.split()[3] for _, message in said] == ([changed] if changed else [])


KINDS_OF_OBJECTS = """
import collections, contextvars, itertools, random, threading, types
import numpy as np
class Box:
    shared = [1]
    def __init__(self): self.parts = {'a': [1]}
    def grow(self, found=[]): found.append(1)
    @staticmethod
    def add(found={}): found['k'] = 1
def act(*, found=[]): pass
def outer():
    kept = [1]
    return lambda: kept
inner = outer()
table, nested, names, queue = {'k': 1}, ({'a': (1, [2])}, 3), {1, 2}, collections.deque([[1]])
long, wide, ordered = list(range(2000)), dict.fromkeys(range(2000)), collections.OrderedDict(a=[1])
box, local, variable = Box(), threading.local(), contextvars.ContextVar('variable')
numbers, chance, generator, array = itertools.count(), random.Random(1), np.random.default_rng(1), np.zeros(3)
drawn = [numbers, chance, generator]
"""


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ("pass", set()),
        ("table['k'] = True", {"table"}),
        ("table['other'] = table.pop('k')", {"table"}),
        ("nested[0]['a'][1].append(1)", {"nested"}),
        ("names.add(3)", {"names"}),
        ("queue[0][0] = 2", {"queue"}),
        ("long.append(1)", {"long"}),
        ("wide['x'] = 1", {"wide"}),
        ("ordered['a'].append(1)", {"ordered"}),
        ("box.parts['a'].append(1)", {"box"}),
        ("box.other = 1", {"box"}),
        ("Box.shared.append(1)", {"Box.shared"}),
        ("Box.count = 1", {"Box.count"}),
        ("Box.grow = lambda self: 1", {"Box.grow"}),
        ("box.grow()", {"Box.grow"}),
        ("act.__kwdefaults__['found'].append(1)", {"act"}),
        ("inner().append(1)", {"inner"}),
        ("inner.calls = 1", {"inner"}),
        ("local.user = 1", {"local"}),
        ("variable.set(1)", {"variable"}),
        ("next(numbers)", {"numbers", "drawn"}),
        ("chance.random()", {"chance", "drawn"}),
        ("generator.random()", {"generator", "drawn"}),
        ("array[0] = 1", {"array"}),
        ("new = 1", {"new"}),
        ("del table", {"table"}),
    ],
)
def test_a_change_of_each_kind_of_object_is_found(
    change: str, changed: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("kinds")
    module.__file__ = str(tmp_path / "kinds.py")
    monkeypatch.setitem(sys.modules, "kinds", module)  # the classes count as classes of the user
    exec(KINDS_OF_OBJECTS, vars(module))
    before, since = state_of(module), clock_times()
    exec(change, vars(module))
    assert before.is_current(module) == (not changed)  # nothing is compared if all objects are unchanged
    assert set(changed_attributes(before, module, since)) == changed


@pytest.mark.parametrize(
    ("key", "change", "undo"),
    [
        ("sys/streams", "import sys, io; sys.stderr = io.StringIO()", "sys.stderr = sys.__stderr__"),
        ("builtins/names", "import builtins; builtins.answer = 42", "del builtins.answer"),
        ("sys/modules", "import sys, types; sys.modules['made'] = types.ModuleType('made')", "del sys.modules['made']"),
        (
            "time/zone",
            "import os, time; os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()",
            "del os.environ['TZ']; time.tzset()",
        ),
        ("matplotlib/figures", "import matplotlib.pyplot as plt; plt.figure()", "plt.close('all')"),
    ],
)
def test_each_of_these_changes_is_reported(key: str, change: str, undo: str) -> None:
    names: dict[str, object] = {}
    importlib.import_module("matplotlib.pyplot").switch_backend("agg")
    try:
        ((code, message),) = notes({key: "b"}, lambda: exec(change, names))
    finally:
        exec(undo, names)
    assert code == "NB440"
    assert "b runs without that change" in message


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("t = threading.Thread(target=wait); t.start()", "thread wait"),
        ("t = threading.Timer(60, wait); t.start(); undo.append(t.cancel)", "timer wait"),
        ("t = pool.submit(wait); begun.wait(60)", "thread wait"),
        (  # The process has its name once it answers.
            "t = subprocess.Popen(['cat', '-u'], stdin=-1, stdout=-1); undo += [t.kill, t.communicate]\n"
            "t.stdin.write(b'a\\n'); t.stdin.flush(); t.stdout.readline()",
            "process cat -u",
        ),
        ("t = mock.patch('textwrap.dedent'); t.start(); undo.append(t.stop)", "textwrap.dedent"),
        (
            "textwrap.dedent = wait; undo.append(lambda: setattr(textwrap, 'dedent', dedent))",
            "replaced textwrap.dedent",
        ),
        # What ends with the cell, and what a library keeps for its own use.
        ("t = threading.Thread(target=len, args=('',)); t.start(); t.join()", ""),
        ("pool.submit(abs, 1).result()", ""),
        ("subprocess.run(['true'])", ""),
        ("with mock.patch('textwrap.dedent'): textwrap.dedent('')", ""),
    ],
)
def test_what_a_task_leaves_running_or_patched_is_reported(code: str, names: str) -> None:
    undo: list[Callable[[], object]] = []
    event = threading.Event()
    pool = ThreadPoolExecutor(1)
    used: dict[str, Any] = {
        "__name__": "__main__",
        "event": event,
        "begun": threading.Event(),
        "pool": pool,
        "undo": undo,
    }
    exec("import subprocess, textwrap, threading\nfrom textwrap import dedent\nfrom unittest import mock", used)
    exec("def wait():\n    begun.set()\n    event.wait(60)", used)
    files = FileWatch("/nonexistent", "/nonexistent")  # it sees the programs that the cell starts

    def cell() -> None:
        files.start()
        exec(code, used)

    try:
        observers = {"python/running": "b", "mock/patches": "b", "textwrap.dedent": "b"}
        said = [message for _, message in notes(observers, cell, lambda: pool.submit(int).result())]
    finally:
        files.stop()
        event.set()
        for each in undo:
            each()
        pool.shutdown()
    assert len(said) == bool(names)
    assert all(names in message and "b " in message for message in said)


def test_a_package_adds_a_probe_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    library = types.SimpleNamespace(settings={"mode": "fast", "depth": 1})
    probe = Probe("mylib/settings", "mylib", lambda mylib: dict(mylib.settings), title="the settings of mylib")
    point = types.SimpleNamespace(name="mylib", value="mylib_nbdag:PROBES", load=lambda: [probe])
    monkeypatch.setitem(sys.modules, "mylib", library)  # type: ignore[arg-type]
    monkeypatch.setattr(state_probes, "search", lambda: (point,))
    monkeypatch.setattr(state_probes, "_load", lambda point: tuple(point.load()))
    ((code, message),) = notes({"mylib": "b"}, lambda: library.settings.update(mode="slow"))
    assert code == "NB440"
    assert "the settings of mylib (mode)" in message
    assert notes({"other": "b"}, lambda: library.settings.update(mode="third")) == []


def test_a_probe_that_fails_fails_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_probes, "PROBES", (Probe("sys/path", "", lambda _: 1 // 0),))
    assert notes({"sys/path": "b"}, lambda: sys.path.append("/opt/mine")) == []


def test_each_probe_has_a_kind() -> None:
    kinds = {kind.key for kind in KINDS}
    assert {probe.key for probe in PROBES} <= kinds
    assert kinds - {probe.key for probe in PROBES} == {"tensorflow/generator", "python/exit"}  # neither can be read


def test_settings_of_ipython_are_read_without_creating_formatters(monkeypatch: pytest.MonkeyPatch) -> None:
    shell: Any = InteractiveShell()
    monkeypatch.setattr(state_probes, "get_ipython", lambda: shell)
    read = next(probe for probe in PROBES if probe.key == "ipython/settings").read
    before = read(None)
    assert not shell.display_formatter.trait_has_value("formatters")
    assert shell.display_formatter.formatters
    assert read(None) == before
    shell.display_formatter.formatters["text/plain"].float_precision = 3
    assert read(None) != before
