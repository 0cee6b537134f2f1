"""The Python environment of a pipeline with `%dag --requires "pandas==3.1" …`, or with a lock file.

`locked` resolves the requirements to exact versions, which are recorded in the pinned notebook. `ensure` returns the
Python of the environment with these packages. On each host, uv makes an environment once for each set of packages, in
the user's cache. `prune` deletes environments that have not been used for a month.

An environment also has the packages that nbdag needs, and a link to the nbdag that is installed here. So every kernel
runs the same nbdag.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from .errors import NbdagError, error
from .home import without_secrets
from .storage.host_cache import cache_folder
from .writing import make_private_folder, only_one, write_atomically

KEPT = 30 * 86_400.0  # seconds from the last use of an environment until `prune` may delete it
_MARKER = "nbdag.json"  # a complete environment has this file; the file's time is the last use
# Packages by which kernels access a storage. An environment gets the ones that are installed here.
_DRIVERS = ("s3fs", "gcsfs", "adlfs", "paramiko")
Say = Callable[[str], object]


@error
class RequirementsError(NbdagError):
    """A requirement or a lock file of %dag --requires cannot be used."""

    exit_code = 2
    what: str
    why: str
    template = "%dag --requires {what}: {why}"


@error
class UvMissingError(NbdagError):
    """uv, which makes environments, is not installed."""

    template = (
        "the environment of %dag --requires is made by uv, which is not installed on this host; install it: "
        "python -m pip install uv"
    )


@error
class EnvironmentFolderError(NbdagError):
    """The folder of the environments cannot be written."""

    folder: Path
    why: str
    template = "the environment of %dag --requires cannot be kept in {folder}: {why}; set NBDAG_CACHE to another folder"


@error
class UvError(NbdagError):
    """uv could not resolve or install the requirements."""

    doing: str
    reason: str
    template = "uv could not {doing} of %dag --requires: {reason}"


def locked(requires: Iterable[str], folder: Path, say: Say | None = None) -> str:
    """Return the exact versions of all packages of an environment, one in each line.

    The result is stored, so that later runs with the same requirements use the same environment. Raises
    `RequirementsError`, `UvMissingError` or `UvError`.
    """
    lines = [line for each in requires for line in _lines(each, folder)]
    wanted = "\n".join([*lines, *_of_nbdag(), ""])
    path = _root() / "locks" / f"{_digest(wanted)}.txt"
    with contextlib.suppress(OSError):
        found = path.read_text(encoding="utf-8")
        os.utime(path)
        return found
    (say or _to_stderr)(f"resolving the packages of --requires: {' '.join(requires)}")
    command = ["pip", "compile", "-", "--quiet", "--no-header", "--no-annotate", "--python", sys.executable]
    found = _uv(command, "resolve the packages", text=wanted)
    with _writable():
        make_private_folder(path.parent)
        write_atomically(path, found.encode())
    return found


def ensure(packages: str, say: Say | None = None) -> Path:
    """Return the Python of the environment with these packages. Make the environment first if this host lacks it.

    `say` receives the lines of the progress (default: standard error). Raises `UvMissingError` or `UvError`.
    """
    place = _root() / _digest(packages)
    if _touched(place):
        return _python(place)
    with _writable():
        make_private_folder(place.parent)
    with _writable(), only_one(place.with_suffix(".lock")):
        if not _touched(place):  # otherwise another process has made it meanwhile
            _make(place, packages, say or _to_stderr)
            prune()
    return _python(place)


def python_of(packages: str) -> Path:
    """Return the Python of the environment with these packages, which `ensure` has made."""
    return _python(_root() / _digest(packages))


def site_dirs_of(packages: str) -> tuple[Path, ...]:
    """Return the folders of the installed packages of an environment; () if it has not been made yet."""
    place = _root() / _digest(packages)
    patterns = ("Lib/site-packages",) if os.name == "nt" else ("lib/python*/site-packages",)
    return tuple(sorted(path for pattern in patterns for path in place.glob(pattern)))


def prune(*, dry_run: bool = False) -> int:
    """Delete the environments that have not been used for a month; return their number."""
    oldest, count = time.time() - KEPT, 0
    for path in (*_root().glob("*/"), *_root().glob("locks/*.txt")):
        if path.name == "locks":
            continue
        with contextlib.suppress(OSError):
            used = path / _MARKER if path.is_dir() and (path / _MARKER).exists() else path
            if used.stat().st_mtime < oldest:
                count += path.is_dir()
                if not dry_run:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return count


def unlike_here(requires: Iterable[str]) -> str:
    """Return a sentence about the packages of --requires that this Python lacks or has in another version.

    Return "" if there are no such packages. Lock files are not compared.
    """
    from packaging.requirements import Requirement

    differs = []
    for each in requires:
        if is_file_name(each):
            continue
        wanted = Requirement(each)
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        try:
            here = version(wanted.name)
        except PackageNotFoundError:
            differs.append(f"no {wanted.name}")
        else:
            if not wanted.specifier.contains(here, prereleases=True):
                differs.append(f"{wanted.name} {here}")
    if not differs:
        return ""
    return (
        f"this kernel has {', '.join(differs)}, but headless runs use {' '.join(requires)}; install the same packages "
        "here to get the same results"
    )


def _make(place: Path, packages: str, say: Say) -> None:
    count = len(packages.split("\n")) - 1
    say(f"making the environment of --requires with uv: {count} packages, kept in {place}")
    shutil.rmtree(place, ignore_errors=True)
    _uv(["venv", "--quiet", "--python", sys.executable, str(place)], "make the environment")
    listed = place / "requirements.txt"
    listed.write_text(packages, encoding="utf-8")
    install = ["pip", "install", "--no-deps", "--python", str(_python(place)), "-r", str(listed)]
    _uv(install, "install the packages", say=say)
    _link_nbdag(packages)
    write_atomically(place / _MARKER, json.dumps({"python": sys.version, "nbdag": version("nbdag")}).encode())
    say("the environment is complete")


def _link_nbdag(packages: str) -> None:
    site = site_dirs_of(packages)[0]
    try:
        (site / "nbdag").symlink_to(Path(__file__).parent, target_is_directory=True)
    except OSError:  # Windows without the right to make links
        shutil.copytree(Path(__file__).parent, site / "nbdag")
    about = site / f"nbdag-{version('nbdag')}.dist-info"
    about.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        text = distribution("nbdag").read_text(name)
        if text is not None:
            (about / name).write_text(text, encoding="utf-8")


def _uv(arguments: list[str], doing: str, *, text: str | None = None, say: Say | None = None) -> str:
    """Run uv and return its output; `say` receives the lines that uv prints about its progress."""
    try:
        process = subprocess.Popen(
            [_uv_path(), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if say is None else subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "NO_COLOR": "1"},
        )
    except OSError as failure:
        raise UvError(doing, (failure.strerror or str(failure)).lower()) from failure
    with process:
        try:
            output, errors = _output(process, text, say)
        except BaseException:  # interrupted
            process.kill()
            raise
    code = process.returncode
    if code:
        raise UvError(doing, _reason(errors) or f"it ended with exit code {code}")
    return output


def _output(process: subprocess.Popen[str], text: str | None, say: Say | None) -> tuple[str, str]:
    """Return the output and the error messages of uv."""
    if say is None:
        return process.communicate(text)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.strip() and not line.startswith((" +", "error", "  ")):
            say(f"uv: {without_secrets(line.strip())}")
    return "", "".join(lines)


def _reason(output: str) -> str:
    """Return the cause in the error messages of uv as one line."""
    lines = [line.strip(" \t×╰─▶│├") for line in output.splitlines()]
    at = next((n for n, line in enumerate(lines) if line.startswith(("error", "No solution", "Failed"))), 0)
    lines = lines[at:]
    lines = [line for line in lines[: lines.index("") if "" in lines else None] if line]
    causes = [line.partition(":")[2].strip() for line in lines if line.startswith("cause:")]
    said = causes or [line.removeprefix("error:").strip() for line in lines]
    return without_secrets(" ".join(said))[:500].rstrip(".")


def _lines(each: str, folder: Path) -> list[str]:
    """Return the requirements in a word of --requires: the word itself, or the lines of the lock file that it names."""
    if not is_file_name(each):
        return [each]
    path = folder / each
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RequirementsError(each, f"no such file in {folder}; correct the path") from None
    except (OSError, UnicodeDecodeError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else "it is not UTF-8 text"
        raise RequirementsError(each, f"the file cannot be read ({(reason or '').lower()})") from failure
    if path.name == "uv.lock":
        export = ["export", "--frozen", "--quiet", "--no-emit-project", "--no-hashes", "--no-header"]
        content = _uv([*export, "--no-annotate", "--directory", str(path.parent)], "read the lock file")
    elif path.suffix == ".toml":
        content = _of_pylock(each, content)
    found = []
    for line in content.replace("\\\n", " ").splitlines():
        line = line.partition(" #")[0].partition("--hash=")[0].strip()
        if line.startswith(("-", ".", "/", "file:")) or " @ file:" in line:
            why = f"the line {line.partition(' ')[0]!r} names a file or an option; write the packages with versions"
            raise RequirementsError(each, f"{why}, and set options such as an index in uv's own settings on each host")
        if line and not line.startswith("#"):
            found.append(line)
    if not found:
        raise RequirementsError(each, "the file names no package")
    return found


def _of_pylock(name: str, content: str) -> str:
    try:
        packages = tomllib.loads(content)["packages"]
        lines = [
            f"{each['name']}=={each['version']}" + (f" ; {each['marker']}" if "marker" in each else "")
            for each in packages
        ]
    except (tomllib.TOMLDecodeError, KeyError, TypeError):
        why = "the file is not a lock file (pylock.toml) with a version of each package"
        raise RequirementsError(name, why) from None
    return "\n".join(lines)


def is_file_name(word: str) -> bool:
    """Return whether a word of --requires is the name of a file."""
    return word.endswith((".txt", ".lock", ".in", ".toml"))


def _of_nbdag() -> list[str]:
    """Return the requirements of nbdag itself, and the drivers of storages that are installed here."""
    own = [line for line in distribution("nbdag").requires or () if "extra ==" not in line]
    for name in _DRIVERS:
        with contextlib.suppress(PackageNotFoundError):
            own.append(f"{name}>={version(name)}")
    return sorted(own)


def _digest(text: str) -> str:
    parts = [text, sys.implementation.name, platform.python_version(), platform.machine()]
    parts += [version("nbdag"), str(Path(__file__).parent)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def _touched(place: Path) -> bool:
    """Return whether an environment is complete, and record that it is used now.

    An environment is also incomplete if the Python from which it was made was removed, for example with a conda
    environment.
    """
    try:
        os.utime(place / _MARKER)
    except OSError:
        return False
    return _python(place).exists()


def _python(place: Path) -> Path:
    return place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _root() -> Path:
    return cache_folder() / "environments"


def _uv_path() -> str:
    beside = shutil.which("uv", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("uv")
    if found is None:
        raise UvMissingError
    return found


@contextlib.contextmanager
def _writable() -> Iterator[None]:
    """Raise `EnvironmentFolderError` if a file of the cache cannot be written."""
    try:
        yield
    except OSError as failure:
        raise EnvironmentFolderError(_root(), (failure.strerror or str(failure)).lower()) from failure


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
