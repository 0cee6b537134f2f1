"""A real fork server and its children."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import patience
import psutil
import pytest
from patience import LONG, until
from patience import is_gone as gone

from nbdag.kernels.forkserver import framing, server_registry
from nbdag.kernels.forkserver.client import ForkServerError, Server
from nbdag.kernels.forkserver.server_spec import ServerSpec

sys.path.insert(0, str(Path(__file__).parent))
from live import run

HERE = str(Path(__file__).parent)
SUPPORT = str(Path(patience.__file__).parent)
T = {name: f"children:{name}" for name in ("describe", "exits", "leaves_a_child", "at_exit", "Prepared")}


def spec(*modules: str, **env: str) -> ServerSpec:
    path = os.pathsep.join([HERE, *filter(None, [env.pop("PYTHONPATH", "")])])
    return ServerSpec.of(modules, targets=T.values(), env={**os.environ, "PYTHONPATH": path, **env})


@pytest.fixture
def server() -> Server:
    """A server that the tests of this session share."""
    return Server.connect(spec())


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Starts servers that no other test uses."""
    made: list[Server] = []

    def make(*modules: str, idle: float | None = None, **env: str) -> Server:
        made.append(Server.connect(spec(*modules, OWN=str(time.time_ns()), **env), resident_for=idle))
        return made[-1]

    yield make
    for server in made:
        server.stop()


def described(server: Server, tmp_path: Path, **options: Any) -> dict[str, Any]:
    file = tmp_path / f"{time.time_ns()}.json"
    with server.fork(T["describe"], str(file).encode(), **options) as child:
        assert child.wait(LONG) == 0
    return dict(json.loads(file.read_text()))


def test_a_child_has_the_properties_of_its_request(server, tmp_path):
    (tmp_path / "here").mkdir()
    env = {**server.spec.env, "TERM": "mine", "NBDAG_X": "1"}
    seen = described(server, tmp_path, cwd=tmp_path / "here", env=env, argv=["prog", "a"])
    assert seen["cwd"] == str(tmp_path / "here")
    assert seen["argv"] == ["prog", "a"]
    assert {name: seen["env"].get(name) for name in env} == env
    assert not seen["env"].keys() - env.keys() - {"LC_CTYPE"}
    assert seen["umask"] == server_registry.umask()


def test_a_child_leads_its_session_and_group_and_has_python_signal_handlers(server, tmp_path):
    seen = described(server, tmp_path)
    assert seen["session"] == seen["group"] == seen["pid"]
    assert seen["sigint"] and seen["sigterm"] and seen["threads"] == 1


def test_a_child_inherits_no_descriptors_of_the_server_or_of_other_children(server, tmp_path):
    with server.fork(T["exits"], b"sleep 600"), server.hold():
        seen = described(server, tmp_path)
    assert not [name for name in seen["files"] if "socket" in name or "eventpoll" in name or "pidfd" in name]


def test_the_working_directory_of_the_starter_is_not_on_the_path(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "random.py").write_text("raise RuntimeError('the wrong module')")
    seen = described(own(), tmp_path)
    assert "" not in seen["path"] and str(tmp_path) not in seen["path"]


def test_siblings_draw_different_random_numbers(own, tmp_path):
    server = own("numpy")
    one, other = (described(server, tmp_path) for _ in range(2))
    assert one["random"] != other["random"]
    assert one["numpy"] != other["numpy"]


@pytest.mark.parametrize(
    ("how", "code"),
    [("return 0", 0), ("return 7", 7), ("exit 3", 3), ("raise x", 1), ("signal 9", -9), ("signal 11", -11)],
)
def test_the_exit_code_of_a_child_is_reported(server, how, code):
    with server.fork(T["exits"], how.encode(), stdio=(0, 1, 1)) as child:
        assert child.wait(LONG) == code
        assert child.poll() == code


def test_poll_and_wait_return_none_while_a_child_runs(server):
    with server.fork(T["exits"], b"sleep 600") as child:
        assert child.wait_ready(LONG)
        assert child.poll() is None
        assert child.wait(0.01) is None
        child.signal(signal.SIGTERM)
        assert child.wait(LONG) == -signal.SIGTERM


def test_sigint_raises_keyboard_interrupt(server, tmp_path):
    with (
        (tmp_path / "err").open("w") as err,
        server.fork(T["exits"], b"sleep 600", stdio=(0, 1, err.fileno())) as child,
    ):
        assert child.wait_ready(LONG)
        child.signal(signal.SIGINT)
        assert child.wait(LONG) == 1
    assert "KeyboardInterrupt" in (tmp_path / "err").read_text()


def test_an_event_loop_waits_without_polling(server):
    async def live() -> int:
        with server.fork(T["exits"], b"return 4") as child:
            assert await child.async_wait_ready(LONG)
            return await child.async_wait()

    assert run(live) == 4


def test_a_child_uses_the_streams_of_its_request(server, tmp_path):
    children = []
    for n in range(3):
        (tmp_path / f"in{n}").write_text(f"question {n}")
        handles = [
            os.open(tmp_path / f"in{n}", os.O_RDONLY),
            os.open(tmp_path / f"out{n}", os.O_WRONLY | os.O_CREAT),
            os.open(tmp_path / f"err{n}", os.O_WRONLY | os.O_CREAT),
        ]
        children.append(server.fork(T["exits"], f"speak answer {n}".encode(), stdio=tuple(handles)))
        framing.close(handles)
    for n, child in enumerate(children):
        with child:
            assert child.wait(LONG) == 0
        assert (tmp_path / f"out{n}").read_text() == f"answer {n}\n"
        assert (tmp_path / f"err{n}").read_text() == f"question {n}\n"


def test_exit_handlers_and_open_files_are_finished(server, tmp_path):
    with server.fork(T["at_exit"], str(tmp_path).encode()) as child:
        assert child.wait(LONG) == 0
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == dict.fromkeys(
        ["atexit", "held", "del"], "ran"
    )


@pytest.mark.parametrize("wait", ["0", "600"], ids=["when it ends", "when it is closed"])
def test_the_process_group_ends_with_its_child(server, tmp_path, wait):
    with server.fork(T["leaves_a_child"], f"{tmp_path / 'pid'} {wait}".encode()) as child:
        pid = int(until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
        if wait == "0":
            assert child.wait(LONG) == 0
            until(lambda: gone(pid))
    until(lambda: gone(pid) and gone(child.pid))


def test_a_childs_folder_is_private_and_removed_with_it(server, tmp_path):
    with server.fork(T["Prepared"], str(tmp_path / "seen").encode()) as child:
        assert child.wait(LONG) == 0
        assert child.folder.stat().st_mode & 0o777 == 0o700
        assert (child.folder / "mine").read_text() == child.secret
    until(lambda: not child.folder.exists())


@pytest.mark.slow
def test_children_die_when_their_owner_is_killed(server, tmp_path):
    code = f"""
        import os, sys, time
        sys.path[:0] = {[HERE, SUPPORT]!r}
        from test_forkserver import T, spec
        from nbdag.kernels.forkserver.client import Server
        child = Server.connect(spec()).fork(T["leaves_a_child"], b"{tmp_path / "pid"} 600")
        print(child.pid, flush=True)
        time.sleep(600)
    """
    owner = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner:
        pid = int(owner.stdout.readline())
        grandchild = int(until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
        owner.kill()
    until(lambda: gone(pid) and gone(grandchild))


def test_children_die_when_their_server_is_killed_and_the_owner_learns_it(own, tmp_path):
    server = own()
    with server.fork(T["leaves_a_child"], f"{tmp_path / 'pid'} 600".encode()) as child:
        grandchild = int(until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
        status = server.status(LONG)
        assert status is not None
        os.kill(status.pid, signal.SIGKILL)
        assert child.wait(LONG) == -signal.SIGKILL
        until(lambda: gone(child.pid) and gone(grandchild))


def test_a_new_server_replaces_a_killed_one_and_removes_its_files(own, tmp_path):
    server = own()
    described(server, tmp_path)
    old = server.status(LONG)
    os.kill(old.pid, signal.SIGKILL)
    until(lambda: gone(old.pid))
    files = server_registry.files(server.spec.key)
    stray = files.folder / "stray"
    stray.mkdir()
    assert files.socket.exists()
    described(server, tmp_path)
    assert server.status(LONG).pid != old.pid
    assert not stray.exists()


def test_a_spare_is_set_up_in_advance_and_serves_an_equal_request(server, tmp_path):
    with server.hold() as hold:
        hold.set_spares(1, T["Prepared"], b"a")
        until(lambda: server.status(LONG).spares == 1)
        seen = {}
        for arguments in (b"b", b"a"):
            file = tmp_path / arguments.decode()
            with server.fork(T["Prepared"], str(file).encode(), arguments=arguments, cwd=tmp_path) as child:
                assert child.wait(LONG) == 0
            seen[arguments] = json.loads(file.read_text())
        assert seen[b"a"]["prepared_in"] == "/" and seen[b"b"]["prepared_in"] == str(tmp_path)
        assert seen[b"a"]["ready_in"] == seen[b"b"]["ready_in"] == str(tmp_path)
        until(lambda: server.status(LONG).spares == 1)
    until(lambda: server.status(LONG).spares == 0)


def test_used_spares_are_replaced(server, tmp_path):
    """The last spare is replaced at once, the others once no request has come for a moment."""
    with server.hold() as hold:
        hold.set_spares(4, T["Prepared"], b"a")
        until(lambda: server.status(LONG).spares == 4)
        for n in range(6):
            with server.fork(T["Prepared"], str(tmp_path / f"{n}").encode(), arguments=b"a", cwd=tmp_path) as child:
                assert child.wait(LONG) == 0
        until(lambda: server.status(LONG).spares == 4)


def test_no_more_spares_are_forked_than_will_be_used(own, tmp_path):
    server = own(idle=LONG)
    with server.hold() as hold:
        hold.set_spares(4, T["Prepared"], b"a", needed=2)
        until(lambda: server.status(LONG).spares == 2)
        for n in (1, 0):
            with server.fork(T["Prepared"], str(tmp_path / f"{n}").encode(), arguments=b"a", cwd=tmp_path) as child:
                assert child.wait(LONG) == 0
            assert server.status(LONG).spares == n
        hold.set_spares(4, T["Prepared"], b"a", needed=1)
        until(lambda: server.status(LONG).spares == 1)


def test_equal_specifications_share_a_server(server):
    pids = {Server.connect(spec()).status(LONG).pid for _ in range(3)}
    assert pids == {server.status(LONG).pid}


def test_an_idle_server_ends_after_its_idle_time(own, tmp_path):
    server = own(idle=0.0)
    with server.hold():
        described(server, tmp_path)
        pid = server.status(LONG).pid
    until(lambda: gone(pid))
    assert not server_registry.files(server.spec.key).socket.exists()
    assert not server_registry.files(server.spec.key).folder.exists()


def test_running_servers_are_listed_and_stopped_with_their_children(own):
    server = own()
    with server.fork(T["exits"], b"sleep 600") as child:
        assert child.wait_ready(LONG)
        until(lambda: (seen := server.status(LONG)) and not seen.busy)
        listed = {status.key: status for status in server_registry.running()}[server.spec.key]
        assert (listed.busy, listed.children, listed.spares) == (False, 1, 0)
        assert listed.memory > 0
        assert server.stop()
        until(lambda: gone(listed.pid))
        assert child.wait(LONG) == -signal.SIGKILL
    assert server.status() is None
    assert not server.stop()


def test_the_server_idle_longest_is_stopped_for_a_new_one(own, monkeypatch):
    first, second = own(), own()
    for each in (first, second):
        until(lambda each=each: (seen := each.status(LONG)) and not seen.busy)
    monkeypatch.setenv("NBDAG_SERVERS", str(len(server_registry.running())))
    with second.hold():
        third = own()
        until(lambda: len(server_registry.running()) <= int(os.environ["NBDAG_SERVERS"]))
        assert second.status(LONG) is not None and third.status(LONG) is not None


def test_the_server_idle_longest_is_stopped_to_save_memory(own):
    for each in (own(), own()):
        until(lambda each=each: (seen := each.status(LONG)) and not seen.busy)
    found = server_registry.running()
    longest = min((each for each in found if each.idle_since), key=lambda each: each.idle_since)
    server_registry.evict_idle(100, sum(each.memory for each in found) - longest.memory // 2)
    until(lambda: gone(longest.pid))
    assert {each.pid for each in server_registry.running()} == {each.pid for each in found} - {longest.pid}


def test_the_runtime_folder_is_refused_unless_private(monkeypatch, tmp_path):
    assert server_registry.runtime_dir().stat().st_mode & 0o777 == 0o700
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(server_registry.runtime_dir())
    for name in ("open", "link"):
        monkeypatch.setenv("NBDAG_RUNTIME_DIR", str(tmp_path / name))
        with pytest.raises(ForkServerError, match="only you can enter"):
            Server.connect(spec())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_another_user_is_rejected(server):
    path = server_registry.files(server.spec.key).socket
    # The folder keeps other users out; this tests the server's own check of the peer.
    path.parent.chmod(0o755)
    path.chmod(0o777)
    try:
        if (pid := os.fork()) == 0:
            said = b"nothing heard"
            try:
                os.setresuid(65534, 65534, 65534)
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(str(path))
                    framing.send(sock, {"op": "status"})
                    said = sock.recv(1)
            except (BrokenPipeError, ConnectionResetError):
                said = b""
            finally:
                os._exit(0 if said == b"" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        path.parent.chmod(0o700)


def test_malformed_requests_are_ignored(server, tmp_path):
    for noise in (
        b"",
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x00\x00\x00\x02\x00\x00\x00\x00{}",
        b"\x00\x00\x00\x04\x00\x00\x00\x00null",
    ):
        with server_registry.connect(server.spec, LONG) as sock:
            sock.sendall(noise)
    assert described(server, tmp_path)["threads"] == 1


def test_an_unknown_target_is_rejected(server):
    with pytest.raises(ForkServerError, match="os:system"):
        server.fork("os:system", b"true")


def test_a_server_that_fails_to_start_names_its_log():
    broken = ServerSpec.of(targets=["no_such_module:thing"])
    with pytest.raises(ForkServerError, match=r"the server ended during its start .*\.log"):
        Server.connect(broken).fork("no_such_module:thing")


def test_a_missing_interpreter_is_reported_in_one_sentence():
    with pytest.raises(ForkServerError, match="ordinary kernels are used"):
        Server.connect(ServerSpec.of(targets=T.values(), python="/no/such/python", env={}))


def test_many_children_leave_no_resources_behind(own, tmp_path):
    server = own()
    times = int(os.environ.get("NBDAG_TEST_CHILDREN", "30"))

    def state() -> tuple[int, int, int]:
        process = psutil.Process(server.status(LONG).pid)
        return (
            process.num_fds(),
            len(process.children()),
            len(list(server_registry.files(server.spec.key).folder.iterdir())),
        )

    def live() -> None:
        with server.fork(T["Prepared"], str(tmp_path / "seen").encode()) as child:
            assert child.wait(LONG) == 0

    live()
    before, ours = until(lambda: state() if state()[1:] == (0, 0) else None), psutil.Process().num_fds()
    for _ in range(times):
        live()
    until(lambda: state() == before)
    assert psutil.Process().num_fds() <= ours  # resources of earlier tests may be released meanwhile


def test_a_child_whose_owner_disconnects_is_killed(own):
    server = own(idle=LONG)
    sock = server_registry.connect(server.spec, LONG)
    request = {"op": "fork", "target": T["exits"], "cwd": "/", "env": {}, "argv": None, "umask": 18, "arguments": 0}
    framing.send(sock, request, b"sleep 600", (0, 1, 2))
    frames = iter(lambda: framing.receive(sock).data, None)
    pid = next(data["pid"] for data in frames if "pid" in data)  # the child's own message may come first
    sock.close()
    until(lambda: gone(pid))
    until(lambda: (seen := server.status(LONG)) is not None and seen.children == 0)


@pytest.mark.slow
def test_a_server_that_ends_leaves_the_files_of_its_successor(own, tmp_path):
    server = own()
    for _ in range(6):
        first = server.status(LONG).pid
        with server.fork(T["Prepared"], b"") as child:  # the old server has something to do before it ends
            os.kill(first, signal.SIGTERM)
            until(lambda pid=first: pid not in {each.pid for each in server_registry.running()}, "the old server ends")
            assert described(server, tmp_path)["pid"]
        until(lambda pid=first: gone(pid), "the old server has ended")
        assert server.status(LONG).pid != first
        assert described(server, tmp_path)["pid"]
        assert child.closed


def test_a_silent_client_holds_nobody_up(own, tmp_path):
    server = own()
    described(server, tmp_path)
    path = os.fspath(server_registry.files(server.spec.key).socket)
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as slow:
        for sock in (silent, slow):
            sock.connect(path)
        slow.send(b"\0\0")  # the beginning of a frame
        assert described(server, tmp_path)["pid"]
        for sock in (silent, slow):  # nothing has been closed, so the server has not waited for its own limit
            with pytest.raises(BlockingIOError):
                sock.recv(1, socket.MSG_DONTWAIT)
