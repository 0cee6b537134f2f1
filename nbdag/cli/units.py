"""Service definitions that keep a command of nbdag running: a unit for systemd, a property list for launchd.

The service runs nbdag with the current Python interpreter, folder, home and database. A database URL that contains a
password is omitted; a comment in the definition then names the file that must contain the URL.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import home, page_urls

KINDS = ("systemd", "launchd")


def unit(kind: str, command: str, *arguments: str, what: str, notes: Sequence[str] = ()) -> str:
    """Return the text of a service definition that runs `nbdag COMMAND` with these arguments.

    `what` describes the service in a few words; `notes` become comments in a unit of systemd.
    """
    words = [sys.executable, "-m", "nbdag", command, *arguments]
    name = f"nbdag-{command}"
    return _systemd(words, name, what, notes) if kind == "systemd" else _launchd(words, name)


def _environment() -> dict[str, str]:
    here = home.find()
    variables = {"NBDAG_HOME": str(here.root), "PATH": os.environ.get("PATH", os.defpath)}
    if here.url is not None and not _has_password():
        variables["NBDAG_DB_URL"] = here.url
    if here.storage is not None:
        variables[home.STORAGE] = here.storage
    if address := os.environ.get(page_urls.VARIABLE):
        variables[page_urls.VARIABLE] = address
    return variables


def _has_password() -> bool:
    url = home.find().url
    return url is not None and home.without_secrets(url) != url


def _systemd(command: list[str], name: str, what: str, notes: Sequence[str]) -> str:
    def quoted(word: str) -> str:
        escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
        return f'"{escaped}"'

    lines = [
        f"# systemctl --user edit --full --force {name}.service   (and paste this text)",
        f"# systemctl --user enable --now {name} && loginctl enable-linger",
        *(f"# {note}" for note in notes),
        "[Unit]",
        f"Description={what}",
        "",
        "[Service]",
        f"WorkingDirectory={str(Path.cwd()).replace('%', '%%')}",
        *(f"Environment={quoted(f'{name}={value}')}" for name, value in _environment().items()),
        *(["# create this file with mode 0600 and the line NBDAG_DB_URL=…, since the URL contains a password",
           "EnvironmentFile=%h/.config/nbdag.env"] if _has_password() else []),
        # systemd expands $NAME in ExecStart and in no other setting used here
        "ExecStart=" + " ".join(quoted(word).replace("$", "$$") for word in command),
        "# signal only this process, which waits for its tasks to end",
        "KillMode=mixed",
        "TimeoutStopSec=300",
        "Restart=always",
        "RestartSec=5",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _launchd(command: list[str], name: str) -> str:
    import plistlib

    label = name.replace("nbdag-", "org.nbdag.")
    logs = Path(f"~/Library/Logs/{name}.log").expanduser()
    properties = {
        "Label": label,
        "ProgramArguments": command,
        "WorkingDirectory": str(Path.cwd()),
        "EnvironmentVariables": _environment(),
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 5,
        "ExitTimeOut": 300,
        "StandardOutPath": str(logs),
        "StandardErrorPath": str(logs),
    }
    text = plistlib.dumps(properties, sort_keys=False).decode()
    comment = f"<!-- save as ~/Library/LaunchAgents/{label}.plist, then `launchctl load` that file -->"
    return text.replace("<plist ", f"{comment}\n<plist ", 1)
