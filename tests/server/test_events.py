"""The stream of changes: what is sent, to whom, and that nothing is missed."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from patience import LONG, until

from nbdag import runs
from nbdag.home import Home
from nbdag.runs import Change
from nbdag.server.events import EventHub, message

from .conftest import Client, write_notebook


class Stream:
    """A stream that is being read: its events so far, each as (id, kind, data)."""

    def __init__(self, client: Client, last: str = "") -> None:
        headers = {**client.headers, **({"Last-Event-ID": last} if last else {})}
        request = urllib.request.Request(f"{client.url}nbdag/api/events", headers=headers)
        self.response = urllib.request.urlopen(request, timeout=LONG)
        self.lines = iter(self.response)

    def event(self) -> tuple[str, str, Any]:
        """Return the next event; comments, which keep the connection alive, are skipped."""
        fields: dict[str, str] = {}
        for line in self.lines:
            text = line.decode().rstrip("\n")
            if not text and "id" in fields:
                data = fields.get("data", "")
                return fields["id"], fields.get("event", ""), json.loads(data) if data else None
            name, _, value = text.partition(": ")
            fields[name] = value
        raise AssertionError("the stream has ended")


@contextmanager
def stream(client: Client, last: str = "") -> Iterator[Stream]:
    found = Stream(client, last)
    try:
        yield found
    finally:
        found.response.close()


@pytest.fixture
def client(serve: Callable[..., Client], tmp_path: Path) -> Client:
    path = write_notebook(tmp_path, "%dag churn", "%%task a\nx = 1")
    runs.deploy(path, home=Home(tmp_path / ".nbdag"))
    return serve(tmp_path)


def test_a_change_by_another_process_is_sent(client: Client) -> None:
    with stream(client) as first:
        assert first.response.headers["Content-Type"] == "text/event-stream"
        assert first.event()[1:] == ("", None)  # the id of the present
        run = runs.trigger("churn", home=client.home)
        _, kind, data = first.event()
        assert (kind, data) == ("run", {"kind": "run", "dag": "churn", "run": run.id, "state": "queued"})


def test_a_stream_begins_immediately_with_the_latest_id(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbdag.server.events._ALIVE", LONG)  # no sign of life sends what was not flushed
    with stream(client) as first:
        assert first.event()[1:] == ("", None)


def test_a_stream_continues_after_the_last_event_and_misses_nothing(client: Client) -> None:
    with stream(client) as first:
        last, *_ = first.event()
    made = [runs.trigger("churn", home=client.home).id for _ in range(3)]  # while nobody listens
    with stream(client, last) as again:
        assert again.event()[:2] == (last, "")
        events = [again.event() for _ in made]
    assert sorted(data["run"] for _, _, data in events) == sorted(made)
    with stream(client, events[0][0]) as third:
        assert [third.event()[2] for _ in range(3)][1:] == [data for _, _, data in events[1:]]


@pytest.mark.parametrize("last", ["deadbeef-1", "x", "-", "\u00b2", f"{'9' * 5000}", "../../etc"])
def test_an_id_of_another_server_asks_for_everything(client: Client, last: str) -> None:
    with stream(client, last.encode().decode("latin-1")) as found:
        assert found.event()[1:] == ("all", {"kind": "all"})


def test_a_stream_needs_the_token(client: Client) -> None:
    answer = client.without_token().get("events")
    assert (answer.status, b"data" in answer.body) == (403, False)


def test_fifty_streams_share_one_thread(client: Client) -> None:
    opened = [Stream(client) for _ in range(50)]
    try:
        for each in opened:
            each.event()
        watching = [each.name for each in threading.enumerate() if each.name == "nbdag-events"]
        run = runs.trigger("churn", home=client.home)
        assert {each.event()[2]["run"] for each in opened} == {run.id}
        assert [each.name for each in threading.enumerate() if each.name == "nbdag-events"] == watching
    finally:
        for each in opened:
            each.response.close()


def test_events_that_were_forgotten_are_replaced_by_all(tmp_path: Path) -> None:
    hub = EventHub(lambda: Home(tmp_path), kept=2)
    hub.publish([Change(kind="dag", dag=name) for name in "abcd"])
    assert hub.after(1) is None
    assert hub.after(2) == [message(Change(kind="dag", dag=name), hub.id(at)) for name, at in (("c", 3), ("d", 4))]
    assert [hub.number(hub.id(at)) for at in (1, 2, 4, 5)] == [None, 2, 4, None]


def test_the_metrics_count_runs_and_tasks(client: Client) -> None:
    runs.trigger("churn", home=client.home)

    def numbers() -> dict[str, str]:
        text = client.request("GET", "metrics").body.decode()
        return dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("nbdag_"))

    found = until(lambda: (now := numbers()).get('nbdag_runs{state="queued"}') == "1.0" and now, "the thread has read")
    assert found['nbdag_tasks{state="none"}'] == "1.0"
    assert found['nbdag_scheduling_delay_seconds_count{dag="churn"}'] == "0.0"
    assert found["nbdag_schedulers"] == "0.0"
    assert client.without_token().request("GET", "metrics").status == 403


@pytest.mark.usefixtures("in_process")
def test_a_badge_shows_how_the_last_run_ended(client: Client, tmp_path: Path) -> None:
    assert "no run yet" in client.get("dags/churn/badge.svg").body.decode()
    runs.run(tmp_path / "churn.ipynb", home=client.home)
    answer = client.get("dags/churn/badge.svg")
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert "churn: passing" in answer.body.decode()
    write_notebook(tmp_path, "%dag churn", "%%task a\n1 / 0")
    runs.run(tmp_path / "churn.ipynb", home=client.home)
    assert "churn: failing" in client.get("dags/churn/badge.svg").body.decode()
    assert client.get("dags/unknown/badge.svg").status == 404
