"""The specification of a fork server. Requests share a server if their specifications have the same key.

A forked child inherits the state that its server had after the imports. So the key covers everything that
can affect an import or a process: the interpreter, the modules, the installed packages, nbdag's own code,
the environment, and the attributes that a process inherits (limits, priority, processors, control group).

All environment variables are part of the key, except variables known to be transient. The opposite, a list of the
variables that libraries read during their import, could never be complete.
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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ...processes.marks import MARK_LIMIT

# Environment variables of shells, terminals, Jupyter, Airflow, pytest and nbdag. They may change between any
# two runs. A module whose import reads such a variable is not preloaded (`import_watch`).
TRANSIENT = re.compile(
    r"""_|PWD|OLDPWD|SHLVL|TERM|TERM_.*|COLORTERM|WINDOWID|STY|TMUX.*|PS1|PROMPT.*|HIST.*
    |SSH_(CLIENT|CONNECTION|TTY|AUTH_SOCK|AGENT_PID)|GPG_.*|DBUS_.*|XDG_(SESSION|SEAT|VTNR|ACTIVATION).*
    |VTE_.*|KONSOLE_.*|GNOME_TERMINAL.*|ITERM_.*|WT_.*|VSCODE_.*|INVOCATION_ID|JOURNAL_STREAM|LS_COLORS|LESS.*
    |JPY_.*|JUPYTERHUB_.*|PAPERMILL_.*|NBDAG_.*|AIRFLOW_(CONN|VAR|CTX)_.*|__?AIRFLOW_.*|PYTEST_.*
    |CI_JOB_.*|GITHUB_(STEP|ACTION|RUN|ENV|OUTPUT|PATH|STATE).*
    |MAKELEVEL|MAKEFLAGS|DIRENV_.*""",
    re.VERBOSE,
)
# Environment variables that every kernel sets. They are not part of the key, so that runs from a terminal, from a
# notebook and from a program share servers. Key: variable. Value: None if a kernel replaces every value, so that all
# values are ignored; otherwise the only value that is ignored, because a kernel keeps every other value.
_SET_BY_KERNELS: Mapping[str, str | None] = {
    **dict.fromkeys(("CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "PAGER", "GIT_PAGER")),
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYDEVD_USE_FRAME_EVAL": "NO",
}
# Environment variables that the import of scikit-learn sets. Runs that a notebook starts inherit them from its kernel.
# They are ignored for a server that imports scikit-learn or nothing. For other servers they are part of the key,
# because libraries such as torch may read them.
_SET_BY_SKLEARN = {"KMP_DUPLICATE_LIB_OK": "True", "KMP_INIT_AT_FORK": "FALSE"}


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """The modules, the interpreter and the environment of a fork server."""

    modules: tuple[str, ...] = ()  # modules to preload if possible: `a.b`, or `a:b` for `from a import b`
    targets: tuple[str, ...] = ()  # targets that may be forked, as `module:name`; their modules must be importable
    # The environment variables of the server on which an import may depend.
    env: Mapping[str, str] = field(default_factory=dict)
    python: str = sys.executable
    key: str = ""  # digest of 16 hex digits: requests with equal keys share a server

    @classmethod
    def of(
        cls,
        modules: Iterable[str] = (),
        *,
        targets: Iterable[str],
        env: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> ServerSpec:
        """Return the specification for the current state of this machine and process."""
        chosen = tuple(dict.fromkeys(modules))
        wanted = tuple(sorted(set(targets)))
        counts = relevant_env(os.environ if env is None else env, chosen)
        parts = [
            python,
            sys.version,
            chosen,
            wanted,
            sorted(counts.items()),
            installed_packages(),
            _nbdag_version(),
            _limits(),
        ]
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
        return cls(chosen, wanted, counts, python, key)


def relevant_env(env: Mapping[str, str], modules: Sequence[str] = ()) -> dict[str, str]:
    """Return the variables on which the import of these modules may depend."""
    replaced = dict(_SET_BY_KERNELS)
    if not modules or any(re.match(r"sklearn\b", each) for each in modules):
        replaced |= _SET_BY_SKLEARN
    return {
        name: value
        for name, value in env.items()
        if not (TRANSIENT.fullmatch(name) or (name in replaced and replaced[name] in (None, value)))
    }


def site_dirs() -> tuple[Path, ...]:
    """Return the folders in which packages are installed."""
    found = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    if site.ENABLE_USER_SITE:
        found.append(site.getusersitepackages())
    return tuple(dict.fromkeys(Path(path) for path in found if Path(path).is_dir()))


def installed_packages() -> list[tuple[str, int]]:
    """Return the site folders with their modification times, which change when a package is installed, upgraded or
    removed.
    """
    state = []
    for folder in site_dirs():
        state.append((str(folder), folder.stat().st_mtime_ns))
        state.extend((str(path), path.stat().st_mtime_ns) for path in sorted(folder.glob("*.pth")))
    return state


@cache
def _nbdag_version() -> int:
    """Return the modification time of nbdag's files, read once per process.

    It is part of the key, because a server must run the same code as its client.
    """
    package = Path(__file__).parents[2]
    return max(path.stat().st_mtime_ns for path in package.rglob("*.py"))


def _limits() -> list[object]:
    names = sorted(name for name in dir(resource) if name.startswith("RLIMIT_") and name != MARK_LIMIT)
    limits: list[object] = [(name, resource.getrlimit(getattr(resource, name))) for name in names]
    limits += [os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0)), sorted(os.getgroups())]
    with contextlib.suppress(OSError):
        limits.append(Path("/proc/self/cgroup").read_text())
    return limits
