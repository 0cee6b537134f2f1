"""A live notebook masks secrets in whatever its kernel sends, so its file and its front end never get them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from kernel import Kernel, Reply

TOKEN = "tok-Zq7xW2pLm9vR4"
IN_FILE = "file-Kp3hJ8mN5bT6"


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("kernel")
    (folder / ".env").write_text(f"NBDAG_SECRET_IN_FILE={IN_FILE}\n")
    env = {
        **os.environ,
        "IPYTHONDIR": str(folder / "ipython"),
        "NBDAG_HOME": str(folder / ".nbdag"),
        "NBDAG_SECRET_TOKEN": TOKEN,
        "NBDAG_CONN_DB": f"postgres://me:{TOKEN[::-1]}@db/x",
    }
    kernel = Kernel(cwd=str(folder), env=env)
    try:
        # Without the magics, which later tests load.
        kernel.run("import nbdag, os, sys; t = nbdag.secret('token')")
        kernel.run("from nbdag.kernels.runtime.stream_flush import wait_for_streams")
        assert kernel.run("print(t)").stdout == "***\n"
        yield kernel
    finally:
        kernel.stop()


def shown(reply: Reply) -> str:
    """Everything that a front end gets for a cell."""
    text = json.dumps([reply.content, reply.outputs], default=str)
    assert TOKEN not in text and TOKEN[::-1] not in text and IN_FILE not in text
    assert "l4ter" not in text
    assert TOKEN[4:12] not in text
    return "\n".join((text, reply.stdout, reply.stderr, reply.traceback))


def test_a_lookup_without_the_magics_masks_too(kernel: Kernel) -> None:
    assert shown(kernel.run("t")).count("'***'") == 1


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("print(t, nbdag.secret('in_file'))", "*** ***\\n"),
        ("for c in t: print(c, end='', flush=True)", "***"),
        ("print('my ', t[:7], sep='', end='', flush=True); print(t[7:], 'end')", "my *** end"),
        ("print('no secret, though it begins so: tok', end='', flush=True)", "it begins so: tok"),
        ("print(t[:3], flush=True); print(t[:3], end='', file=sys.stderr, flush=True)", '"text": "tok"'),
        ("os.system('echo $NBDAG_SECRET_TOKEN'); wait_for_streams()", "***"),
        ("for c in t: os.write(1, c.encode())\nwait_for_streams()", "***"),
        ("{'a': [t]}", "{'a': ['***']}"),
        ("from IPython.display import HTML; HTML(f'<b>{t}</b>')", "<b>***</b>"),
        ("display(t, display_id='d'); _ = display(t * 2, display_id='d', update=True)", "'***'"),
        ("raise ValueError(f'no {t}')", "ValueError: no ***"),
        ("%%task a --check 't is None'\nx = t", "x"),
        ("%nbdag connections list", "postgres"),
        ("from comm import create_comm; create_comm('x', data={'v': [t]}).send({'v': t})", '"v": "***"'),
        ("import multiprocessing as m; p = m.get_context('fork').Process(target=print, args=(t,)); p.start(); p.join()", "***"),
        ("nbdag.secret(t + ' ')", "pass the name, not the value"),
        ("t??", "***"),
        ("!echo $NBDAG_SECRET_SET_LATER", "***"),
    ],
)  # fmt: skip
def test_a_cell_shows_no_secret(kernel: Kernel, code: str, expected: str) -> None:
    kernel.run("%load_ext nbdag\nos.environ['NBDAG_SECRET_SET_LATER'] = 'l4ter' * 3")
    assert expected in shown(kernel.run(code))


def test_the_order_of_outputs_is_kept(kernel: Kernel) -> None:
    code = "print('a tok', end='', flush=True); display(1); print('en', end='', flush=True); print(2, file=sys.stderr)"
    reply = kernel.run(code)
    assert [each["msg_type"] for each in reply.outputs][:2] == ["stream", "stream"]
    text = [each["content"].get("text", "|") for each in reply.outputs]
    assert "".join(text).replace("\n", "") in ("a tok|en2", "a tok|2en")


def test_ids_and_pictures_are_unchanged(kernel: Kernel) -> None:
    kernel.run("nbdag.secrets.hide('iVBORw0K')")  # the beginning of every picture
    code = "from IPython.display import Image; Image(data=b'\\x89PNG\\r\\n\\x1a\\n' + bytes(20), format='png')"
    (output,) = kernel.run(code).of("execute_result")
    assert output["data"]["image/png"].startswith("iVBORw0K")
