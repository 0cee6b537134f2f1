"""Tests of input that no one means: every command answers it with one sentence and the right exit code.

Each command is called in this process with hostile values for each of its options and arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from nbdag.cli import main

WriteNotebook = Callable[..., Path]

HOSTILE = (
    "",
    " ",
    ",",
    "-",
    "--",
    "-1",
    "0",
    "1",
    "3.5",
    "1e309",
    "nan",
    "inf",
    "9223372036854775808",
    "-9223372036854775809",
    "1" * 5000,
    "99999999999999999999d",
    "latest",
    "train",
    "train[99999999999999999999]",
    "a" * 5000,
    "caf\udce9",
    "\ud800",
    "a\0b",
    "x\ny",
    "é漢字🙂",
    "../../etc/passwd",
    "~nosuchuser/x",
    "/dev/null",
    "/",
    "{}",
    "[" * 500,  # deeper than Python recurses
    "{a: " * 500,
    "a: &a [*a]",
    'a: "\\ud800"',
    "a: !!python/object:os.system x",
    "0001-01-01",
    "9999-12-31T23:59:59-12:00",
    "%s%n{0}",
    "*",
    "'\"`$(id)",
    "postgresql://u:p@h:port/d",
)
# These would execute for ever or leave a server behind with values that are accepted.
_ENDLESS = {
    "scheduler": ["--print-unit", "systemd"],
    "up": ["--print-unit", "systemd"],
    "ui": ["--version"],
    "run": ["--dry-run"],
    "backfill": ["--dry-run"],
}
_DATES = ["--from", "2026-01-01", "--to", "2026-01-02"]
_REQUIRED: dict[str, list[str]] = {
    "check": ["nb.ipynb"],
    "show": ["nb.ipynb"],
    "run": ["nb.ipynb"],
    "deploy": ["nb.ipynb"],
    "trigger": ["nb"],
    "next": ["nb"],
    "pause": ["nb"],
    "unpause": ["nb"],
    "remove": ["nb"],
    "backfill": ["nb", *_DATES],
    "logs": ["train"],
    "clear": ["latest", "--dry-run"],
    "mark": ["success", "latest", "train"],
    "why": ["latest", "train"],
    "cancel": ["latest"],
    "resume": ["no-such-run"],
    "pools set": ["p", "1"],
    "pools delete": ["p"],
    "db clean": ["--keep", "30d"],
}


def leaves(group: click.Group, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command with its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from leaves(command, (*prefix, name))
        elif command is not None:
            yield (*prefix, name), command


def calls(words: tuple[str, ...], command: click.Command, value: str) -> Iterator[list[str]]:
    """Yield the arguments that pass a value to each option, and in place of each argument."""
    name = " ".join(words)
    required = _REQUIRED.get(name, [])
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.is_flag:
            given = ["n", value] if parameter.nargs == 2 else [value]
            yield [*words, *required, *_ENDLESS.get(words[0], []), parameter.opts[-1], *given]
    positional = [each for each in command.params if isinstance(each, click.Argument)]
    for place in range(len(positional)):
        others = list(required)
        others[place : place + 1] = [value]
        yield [*words, *_ENDLESS.get(words[0], []), *others]
    if positional:
        yield [*words, *_ENDLESS.get(words[0], []), *required, value]


COMMANDS = [pytest.param(words, command, id=" ".join(words)) for words, command in leaves(main)]


@pytest.fixture
def here(tmp_path: Path, write_notebook: WriteNotebook, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with a deployed notebook and one run."""
    write_notebook(
        "%load_ext nbdag\n%dag nb --schedule @daily --start-date 2025-12-01",
        "%%params\nn = 1",
        "%%task train\nx = n",
    )
    monkeypatch.setenv("NBDAG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NBDAG_DEBUG", "0")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert call("deploy", "nb.ipynb") == 0
    assert call("trigger", "nb") == 0
    return tmp_path


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    return int(caught.value.code or 0)


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_a_hostile_value_is_answered_in_a_sentence(
    words: tuple[str, ...], command: click.Command, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    wrong = []
    for value in HOSTILE:
        for arguments in calls(words, command, value):
            code = call(*arguments)
            out, err = capsys.readouterr()
            shown = [ascii(each[:60]) for each in arguments]
            if "bug in nbdag" in err or "Traceback" in out + err or code not in (0, 1, 2, 130):
                wrong.append((shown, code, err[-300:]))
            elif code == 2 and not err.strip():
                wrong.append((shown, code, "says nothing"))
    assert not wrong, "\n".join(map(str, wrong))
