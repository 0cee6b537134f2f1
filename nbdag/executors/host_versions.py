"""The versions of Python, nbdag and packages that must be the same on every host.

Tasks of one run exchange pickled values, so a host with another version may fail to load them, or compute something
else. Only the packages that the notebook imports are compared.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version

MISSING = ""  # version of a package that is not installed


def versions(imports: Iterable[str] = ()) -> dict[str, str]:
    """Return the versions of this process: Python, nbdag, and the packages of these modules.

    Modules that belong to no installed package, such as those of the standard library, are left out.
    """
    found = {"Python": platform.python_version(), "nbdag": version("nbdag")}
    for module in sorted({re.split("[.:]", each)[0] for each in imports}):
        for package in sorted(set(_packages().get(module, ()))):
            if package not in ("nbdag", "pip"):
                found[package] = version(package)
    return found


def differences(expected: Mapping[str, str]) -> str:
    """Return how this process differs from the expected versions, such as "pandas 2.2.0 instead of 3.1.0"; "" if it
    does not.
    """
    return describe(
        versions() | {name: _version(name) for name in expected if name not in ("Python", "nbdag")}, expected
    )


def describe(seen: Mapping[str, str], expected: Mapping[str, str]) -> str:
    """Return how some versions differ from the expected versions; "" if they do not."""
    said = []
    for name, wanted in expected.items():
        found = seen.get(name, MISSING)
        if found == MISSING:
            said.append(f"no {name} (expected {wanted})")
        elif found != wanted:
            said.append(f"{name} {found} instead of {wanted}")
    return " and ".join(said)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return MISSING


@cache
def _packages() -> Mapping[str, list[str]]:
    return packages_distributions()
