"""The masking of a kernel's messages, with a session that only records what it sends; kernels have their own tests."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from patience import LONG

from nbdag.core.model.secret_masking import SecretValues
from nbdag.secrets import kernel_output_masking
from nbdag.secrets.kernel_output_masking import _OutputMask


class Session:
    """Records messages as (kind, cell, content)."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Any]] = []

    def send(self, stream: Any, msg_or_type: Any, content: Any = None, parent: Any = None, ident: Any = None) -> None:
        if isinstance(msg_or_type, dict):
            kind, content, parent = (
                msg_or_type["header"]["msg_type"],
                msg_or_type["content"],
                msg_or_type["parent_header"],
            )
        else:
            kind = msg_or_type
        self.sent.append((kind, parent["msg_id"], content))


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    values = SecretValues()
    values.add("hunter2secret")
    monkeypatch.setattr(kernel_output_masking, "known", values)
    monkeypatch.delenv("NBDAG_LOOKUPS", raising=False)
    made = Session()
    _OutputMask(made)
    return made


def write(session: Session, text: str, cell: str = "1", name: str = "stdout") -> None:
    message = {"header": {"msg_type": "stream"}, "parent_header": {"msg_id": cell}}
    session.send(None, {**message, "content": {"name": name, "text": text}})


def end(session: Session, cell: str = "1") -> None:
    session.send(None, "status", {"execution_state": "idle"}, {"msg_id": cell})


def texts(session: Session) -> list[tuple[str, str]]:
    return [(content["name"], content["text"]) for kind, _, content in session.sent if kind == "stream"]


def test_pieces_are_joined_within_a_stream_of_a_cell(session: Session) -> None:
    for piece in ("it is hun", "ter2", "secret, and hunter"):
        write(session, piece)
    assert texts(session) == [("stdout", "it is "), ("stdout", "***, and ")]
    end(session)
    assert texts(session)[2:] == [("stdout", "hunter")]
    assert [kind for kind, *_ in session.sent][-1] == "status"  # after all text of its cell


def test_another_cell_or_stream_neither_completes_nor_releases_a_piece(session: Session) -> None:
    write(session, "hunter2")
    write(session, "secret", name="stderr")
    write(session, "secret", cell="2")
    end(session, cell="2")
    assert texts(session) == [("stderr", "secret"), ("stdout", "secret")]
    write(session, "secret")
    assert texts(session)[2:] == [("stdout", "***")]


def test_a_display_comes_after_the_text_before_it(session: Session) -> None:
    write(session, "hunter")
    session.send(None, "display_data", {"data": {"text/plain": "a hunter2secret"}, "metadata": {}}, {"msg_id": "1"})
    assert [kind for kind, *_ in session.sent] == ["stream", "display_data"]
    assert session.sent[1][2]["data"] == {"text/plain": "a ***"}


def test_text_after_the_end_of_its_cell_is_not_held_back(session: Session) -> None:
    end(session)
    write(session, "hunter")
    write(session, "hunter2secret")
    assert texts(session) == [("stdout", "hunter"), ("stdout", "***")]


def test_a_send_may_wait_for_another_thread_that_sends(monkeypatch: pytest.MonkeyPatch, session: Session) -> None:
    arrived = threading.Event()
    slow = Session()

    def send(stream: Any, kind: Any, *args: Any, **more: Any) -> None:
        if kind == "display_data":
            assert arrived.wait(LONG)
        else:
            arrived.set()

    monkeypatch.setattr(slow, "send", send)
    _OutputMask(slow)
    data = {"data": {"text/plain": "x"}, "metadata": {}}
    waiting = threading.Thread(target=slow.send, args=(None, "display_data", data, {"msg_id": "1"}))
    waiting.start()
    write(slow, "text")
    waiting.join(LONG)
    assert not waiting.is_alive()
