"""Detect changes of hidden state that later tasks would see in the notebook, but do not see in their own kernels.

`state_probes` reads the state, and `module_state` selects the modules. Only state that a later task can observe is
read. Changes by setup are ignored, because setup runs for every task. Changes by the import of a library are ignored,
because later tasks import the library, too. So when the cell imports a library, the state is compared before the import
and read again after it. An import within such an import needs no comparison of its own.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...core.analysis.hidden_state import BY_KEY, is_library_function
from ...core.model.job import Note
from ...core.model.text import join_names
from ...values.libraries import is_library
from .messages import KernelRequest
from .module_state import ModuleState, changed_attributes, clock_times, imported_by, state_of, watch_imports
from .state_probes import Probe, TorchState, Twister, wanted_probes


@dataclass(slots=True)
class StateCheck:
    """The state to compare after the cell of one task."""

    request: KernelRequest
    _keys: frozenset[str] = frozenset()  # keys of kinds of state, and names of modules, that later tasks can observe
    # Key: key of a probe; value: (key in `_keys`, the probe).
    _probes: dict[str, tuple[str, Probe]] = field(default_factory=dict)
    _before: dict[str, Any] = field(default_factory=dict)  # key: key of a probe; value: state before the cell
    # Changes found so far. Key: key of a probe; value: (state before the first change, state after the latest).
    _found: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    _seeded_by_setup: set[str] = field(default_factory=set)
    # Key: module of the user; value: its state before the cell, or None during setup.
    _modules: dict[str, ModuleState | None] = field(default_factory=dict)
    # Changed attributes, such as ("config", "LIMIT").
    _changed_modules: dict[tuple[str, str], None] = field(default_factory=dict)
    # Key: dotted name of a library's function that later tasks use; value: the function before the cell.
    _functions: dict[str, object] = field(default_factory=dict)
    _replaced: dict[str, None] = field(default_factory=dict)  # functions in `_functions` that the cell has replaced
    _began: tuple[float, ...] = ()  # times of the clocks when the cell began
    _watching: bool = False
    _depth: int = 0  # nesting depth of imports of libraries
    _stop: Callable[[], None] | None = None

    def begin(self) -> None:
        """Start the check before setup, which may seed generators and import modules."""
        keys = (*self.request.state_observers, *self.request.seeded_before)
        self._keys = frozenset(key for key in keys if not is_library_function(key))
        if self._keys:
            self._before = dict(self._read(self._keys & _GENERATORS))
            self._stop = watch_imports(self)

    def before_cell(self) -> None:
        """Read the state before the cell."""
        if self._stop is None:
            return
        state = dict(self._read(self._keys))
        for key in _GENERATORS & self._before.keys() & state.keys():
            if state[key] != self._before[key] and not _continues(self._before[key], state[key]):
                self._seeded_by_setup.add(key)
        self._before = state
        for name in self._modules:
            self._modules[name] = state_of(sys.modules.get(name))
        self._began = clock_times()
        self._read_functions()
        self._watching = True

    def notes(self) -> Iterator[Note]:
        """Yield a note for each kind of state that the cell changed and a later task can observe."""
        if self._stop is None:
            return
        self._stop()
        self._compare()
        for key, (before, after) in self._found.items():
            if not _equal(before, after):  # the cell may have undone a change that was found before an import
                yield from self._note(key, before, after)
        yield from self._module_notes()
        yield from self._function_notes()

    # -- comparison

    def _read(self, keys: Collection[str]) -> Iterator[tuple[str, Any]]:
        for key, probe in wanted_probes(keys):
            module = sys.modules.get(probe.module) if probe.module else None
            if probe.module and module is None:
                continue
            try:
                state = probe.read(module)
            except Exception:  # the probe does not support this version of the library, so the state is not checked
                continue
            self._probes[probe.key] = key, probe
            yield probe.key, state

    def _compare(self) -> None:
        for key, after in self._read(self._keys):
            if key in self._before and self._probes[key][1].only_new:
                self._before[key] = {name: each for name, each in self._before[key].items() if name in after}
            if key in self._before and not _equal(self._before[key], after):
                first = self._found[key][0] if key in self._found else self._before[key]
                self._found[key] = (first, after)
        for name in self._modules:
            self._compare_module(name)
        for name, function in self._functions.items():
            now = _function_of(name)
            # Another probe reads the patches of unittest.mock.
            if now is not function and type(now).__module__ != "unittest.mock":
                self._replaced[name] = None

    def _compare_module(self, name: str) -> None:
        state = self._modules[name]
        for attribute in changed_attributes(state, sys.modules.get(name), self._began) if state is not None else ():
            self._changed_modules[name, attribute] = None

    def _read_functions(self) -> None:
        """Record the functions of imported libraries that later tasks use."""
        for name in filter(is_library_function, self.request.state_observers):
            function = _function_of(name)
            if function is not None:
                self._functions[name] = function

    # -- imports

    def enter_import(self, name: str, path: str) -> None:
        """Record that the import of a module begins."""
        if is_library(path):
            if self._watching and self._depth == 0:
                self._compare()
            self._depth += 1

    def leave_import(self, name: str, path: str) -> None:
        """Record that the import of a module has ended."""
        if not is_library(path):
            if any("/" not in key for key in self.request.state_observers):
                self._modules[name] = state_of(sys.modules.get(name)) if self._watching else None
            return
        self._depth -= 1
        if self._watching and self._depth == 0:
            self._before = dict(self._read(self._keys))
            self._read_functions()

    # -- notes

    def _note(self, key: str, before: Any, after: Any) -> Iterator[Note]:
        if key in _GENERATORS:
            yield from self._generator_note(key, before, after)
            return
        observed_as, probe = self._probes[key]
        title, advice = probe.title_and_advice()
        task, observer = self.request.task, self.request.state_observers[observed_as]
        names = _differing(before, after)
        if key in BY_KEY and BY_KEY[key].message:
            words = {"task": task, "names": join_names(names), "observer": observer, "advice": advice}
            yield Note(code="NB440", name=key, message=BY_KEY[key].message.format_map(words))
            return
        what = f"{title} ({join_names(names)})" if names else title
        yield Note(
            code="NB440",
            name=key,
            message=f"task {task} changed {what} only in its kernel, and {observer} runs without that change: {advice}",
        )

    def _generator_note(self, key: str, before: Any, after: Any) -> Iterator[Note]:
        request, kind = self.request, BY_KEY[key]
        observer, seeder = request.state_observers.get(key), request.seeded_before.get(key)
        drew = _continues(before, after)
        if seeder is not None and drew:
            message = (
                f"task {request.task} drew from {kind.title}, which task {seeder} seeded only in its kernel: "
                f"{kind.advice}"
            )
        elif observer is None or (key in request.state_changed and not drew):
            return  # no later task would see the change, or `nbdag check` has reported it already
        elif not drew:
            message = (
                f"task {request.task} seeded {kind.title} only in its kernel, and {observer} draws from it without "
                f"that seed: {kind.advice}"
            )
        elif key in self._seeded_by_setup:
            message = (
                f"task {request.task} drew from {kind.title}, which setup seeds, and {observer} draws the same numbers "
                f"again: {kind.advice}"
            )
        else:
            return
        yield Note(code="NB441", name=key, message=message)

    def _module_notes(self) -> Iterator[Note]:
        by_module: dict[str, list[str]] = {}
        for module, attribute in sorted(self._changed_modules):
            by_module.setdefault(module, []).append(f"{module}.{attribute}")
        # Key: module that a later task uses; value: changed attributes of that module and of modules that it imports.
        by_used: dict[str, list[str]] = {}
        for module, names in by_module.items():
            if used := self._used_through(module):
                by_used.setdefault(used, []).extend(names)
        for used, names in by_used.items():
            yield Note(
                code="NB442",
                name=used,
                message=(
                    f"task {self.request.task} changed {join_names(names)} only in its kernel, and "
                    f"{self.request.state_observers[used]} uses {used} without that change: change it in %%setup, "
                    "or pass the value on in a variable"
                ),
            )

    def _function_notes(self) -> Iterator[Note]:
        for name in self._replaced:
            yield Note(
                code="NB442",
                name=name.partition(".")[0],
                message=(
                    f"task {self.request.task} replaced {name} only in its kernel, and "
                    f"{self.request.state_observers[name]} uses the original: replace it in %%setup, or restore it at "
                    "the end of the task"
                ),
            )

    def _used_through(self, changed: str) -> str:
        """Return the module through which a later task uses a changed module, or "" if no later task uses it."""
        observed = self.request.state_observers
        if (root := changed.partition(".")[0]) in observed:
            return root
        for name in self._modules:
            if (root := name.partition(".")[0]) in observed:
                found = {name}
                waiting = [name]
                while waiting:
                    module = sys.modules.get(waiting.pop())
                    new = set(imported_by(module, self._modules)) - found if module is not None else set()
                    found |= new
                    waiting += new
                if changed in found:
                    return root
        return ""


_GENERATORS = frozenset(key for key, kind in BY_KEY.items() if kind.is_generator)
_MISSING = object()


def _function_of(dotted: str) -> object | None:
    """Return the function, method or class of this dotted name; None if it is not imported or names another object."""
    parts = dotted.split(".")
    found: Any = None
    for count in range(len(parts) - 1, 0, -1):
        if (found := sys.modules.get(".".join(parts[:count]))) is not None:
            break
    else:
        return None
    for part in parts[count:]:
        if not isinstance(found, types.ModuleType | type):
            return None
        found = vars(found).get(part)
    return found if isinstance(found, _CALLABLE) or type(found).__module__ == "unittest.mock" else None


_CALLABLE = (types.FunctionType, types.BuiltinFunctionType, type)


def _continues(before: Any, after: Any) -> bool:
    """Return whether a generator can get from one state to the other only by drawing numbers, without a new seed."""
    if isinstance(before, Twister) and isinstance(after, Twister):
        return after.continues(before)
    if isinstance(before, TorchState) and isinstance(after, TorchState):
        return after.continues(before)
    return True


def _differing(before: Any, after: Any) -> list[str]:
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return []
    names = dict.fromkeys((*before, *after))
    return [name for name in names if not _equal(before.get(name, _MISSING), after.get(name, _MISSING))]


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    try:
        return bool(one == other)
    except Exception:  # comparing arrays, for example, raises an exception
        return False
