"""What a fork server is made of, and so when two requests may share one.

A forked child inherits whatever its server was when it imported. So the key of a server covers all that can make an
import, or a process, turn out differently: the interpreter, the modules, the installed packages, nbdag's own
code, the environment, and what a process inherits when it starts (limits, priority, processors, control group).

Of the environment, everything counts but variables that are known to be of the moment: no list of those that
libraries look at while they are imported could be complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import resource
import site
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

# Set by shells, terminals, sessions, Jupyter, pytest and nbdag itself for one moment; no import depends on them.
_OF_THE_MOMENT = re.compile(
    r"""_|PWD|OLDPWD|SHLVL|COLUMNS|LINES|TERM|TERM_.*|COLORTERM|WINDOWID|STY|TMUX.*|PS1|PROMPT.*|HIST.*
    |SSH_(CLIENT|CONNECTION|TTY|AUTH_SOCK|AGENT_PID)|GPG_.*|DBUS_.*|XDG_(SESSION|SEAT|VTNR|ACTIVATION).*
    |VTE_.*|KONSOLE_.*|GNOME_TERMINAL.*|ITERM_.*|WT_.*|VSCODE_.*|INVOCATION_ID|JOURNAL_STREAM|LS_COLORS|LESS.*
    |JPY_.*|JUPYTERHUB_.*|PAPERMILL_.*|NBDAG_.*|PYTEST_.*|CI_JOB_.*|GITHUB_(STEP|ACTION|RUN|ENV|OUTPUT|PATH|STATE).*
    |MAKELEVEL|MAKEFLAGS|DIRENV_.*""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a fork server imports, with which interpreter, in which environment."""

    modules: tuple[str, ...] = ()  # to import ahead, where that is possible: `a.b`, or `a:b` for `from a import b`
    targets: tuple[str, ...] = ()  # what may be forked, as `module:name`; their modules must be importable
    env: Mapping[str, str] = field(default_factory=dict)  # what the server starts with: only what counts
    python: str = sys.executable
    key: str = ""  # 16 hex digits; equal keys mean interchangeable children

    @classmethod
    def of(
        cls,
        modules: Iterable[str] = (),
        *,
        targets: Iterable[str],
        env: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> Recipe:
        """A recipe for here and now."""
        chosen = tuple(dict.fromkeys(modules))
        wanted = tuple(sorted(set(targets)))
        counts = lasting(os.environ if env is None else env)
        parts = [python, sys.version, chosen, wanted, sorted(counts.items()), packages_state(), _own_state(), _limits()]
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
        return cls(chosen, wanted, counts, python, key)


def lasting(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that an import may depend on."""
    return {name: value for name, value in env.items() if not _OF_THE_MOMENT.fullmatch(name)}


def site_dirs() -> tuple[Path, ...]:
    """Where packages are installed."""
    found = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    if site.ENABLE_USER_SITE:
        found.append(site.getusersitepackages())
    return tuple(dict.fromkeys(Path(path) for path in found if Path(path).is_dir()))


def packages_state() -> list[tuple[str, int]]:
    """What changes when a package is installed, upgraded or removed: pip replaces a folder or a file in these."""
    state = []
    for folder in site_dirs():
        state.append((str(folder), folder.stat().st_mtime_ns))
        state.extend((str(path), path.stat().st_mtime_ns) for path in sorted(folder.glob("*.pth")))
    return state


@cache
def _own_state() -> int:
    """When nbdag itself was last changed, as this process knows it: a server must not be of other code than we are."""
    package = Path(__file__).parents[1]
    return max(path.stat().st_mtime_ns for path in package.rglob("*.py"))


def _limits() -> list[object]:
    names = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))
    limits: list[object] = [(name, resource.getrlimit(getattr(resource, name))) for name in names]
    limits += [os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0)), sorted(os.getgroups())]
    with contextlib.suppress(OSError):
        limits.append(Path("/proc/self/cgroup").read_text())
    return limits
