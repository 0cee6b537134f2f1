"""Real forked kernels, over Jupyter's own protocol and with real libraries."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import KernelManager
from patience import LONG, until
from patience import is_gone as gone

from nbdag.kernels.forkserver import server_registry
from nbdag.kernels.forkserver.client import Server
from nbdag.kernels.jupyter.connection import TARGET, arguments
from nbdag.kernels.jupyter.manager import TaskKernelManager
from nbdag.kernels.jupyter.provisioner import ForkProvisioner, kernel_server_spec

sys.path.insert(0, str(Path(__file__).parent))
from live import QUIET, Kernel, kernel, run


@pytest.fixture(autouse=True)
def _no_failed_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbdag.kernels.jupyter.provisioner._failed_servers", set())


def test_jupyter_finds_the_provisioner_by_its_name():
    from jupyter_client.provisioning.factory import KernelProvisionerFactory

    assert KernelProvisionerFactory().get_provisioner_entries()["nbdag-fork"].endswith(":ForkProvisioner")


def test_a_kernel_is_forked_and_runs_cells():
    async def live() -> None:
        async with kernel() as forked:
            assert forked.manager.is_forked
            assert await forked.run("x = 1; print(x + 1)") == "2\n"
            assert await forked.run("print(x)") == "1\n"
            kinds = await forked.messages("1 / 0")
            assert [content["ename"] for kind, content in kinds if kind == "error"] == ["ZeroDivisionError"]

    run(live)


def test_a_forked_kernel_equals_an_ordinary_one(tmp_path):
    code = """
        import asyncio, json, os, signal, sys, threading
        print(json.dumps({
            "name": __name__,
            "main": sys.modules["__main__"].__dict__ is globals(),
            "path": [path for path in sys.path if "__editable__" not in path],
            "cwd": os.getcwd(),
            "program": sys.argv[0],
            "options": sys.argv[3:],
            "leads": os.getsid(0) == os.getpgrp() == os.getpid(),
            "threads": sorted(thread.name for thread in threading.enumerate() if "Thread-" not in thread.name),
            "stdin": os.readlink("/proc/self/fd/0") == "/dev/null",
            "backend": os.environ.get("MPLBACKEND"),
            "loop": type(asyncio.get_running_loop()).__name__,
            "shell": type(get_ipython()).__name__,
            "names": sorted(name for name in globals() if not name.startswith("_")),
            "extensions": sorted(get_ipython().extension_manager.loaded),
            "env": {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"},
            "terminal": (sys.stdout.isatty(), sys.__stdout__.isatty(), sys.__stdout__.encoding),
            "session": globals().get("__session__"),
        }))
    """

    async def live(warm: bool, spares: int) -> Any:
        env = {**os.environ, "WINDOWID": "7", "JPY_SESSION_NAME": "book.ipynb"}
        server = Server.connect(kernel_server_spec())
        with server.hold() as hold:
            hold.set_spares(spares, TARGET, arguments(QUIET))
            until(lambda: (seen := server.status(LONG)) and seen.spares == spares)
            async with kernel(warm=warm, cwd=str(tmp_path), env=env) as each:
                assert each.manager.is_forked is warm
                return json.loads(await each.run(code))

    forked, spare, ordinary = (run(lambda how=how: live(*how)) for how in ((True, 0), (True, 1), (False, 0)))
    assert forked.pop("stdin") and spare.pop("stdin")
    ordinary.pop("stdin")  # a pipe without a writer
    assert forked == ordinary
    assert spare == ordinary
    # So a run within a notebook shares the servers of a run in a terminal.
    assert kernel_server_spec(env=ordinary["env"]) == kernel_server_spec()


@pytest.mark.parametrize("spare", [False, True], ids=["forked now", "spare"])
def test_a_kernel_uses_its_owners_directory_environment_and_streams(tmp_path, spare):
    async def live() -> None:
        env = {**os.environ, "WINDOWID": "mine"}
        server = Server.connect(kernel_server_spec())
        with server.hold() as hold, (tmp_path / "raw").open("w") as raw:
            if spare:
                hold.set_spares(1, TARGET, arguments(QUIET))
                until(lambda: (seen := server.status(LONG)) and seen.spares)
            async with kernel(cwd=str(tmp_path), env=env, stdout=raw, stderr=raw) as forked:
                assert await forked.run("import os; print(os.getcwd(), os.environ['WINDOWID'])") == f"{tmp_path} mine\n"
                # What a subprocess writes is shown in the notebook, and goes where the kernel's owner wants it too.
                said = "print(end=os.popen('echo said').read(), flush=True); _ = os.system('echo raw')"
                assert await forked.lines(said, 2) == ["raw", "said"]
        assert (tmp_path / "raw").read_text() == "raw\n"

    run(live)


def test_each_kernel_imports_local_modules_itself(tmp_path):
    async def live(value: int) -> str:
        (tmp_path / "mine.py").write_text(f"value = {value}  {'#' * value}")
        async with kernel("json", cwd=str(tmp_path)) as forked:
            return await forked.run("import mine; print(mine.value)")

    assert [run(lambda value=value: live(value)) for value in (1, 2)] == ["1\n", "2\n"]


def test_interrupts_reach_a_running_cell(tmp_path):
    """A file says that the cell has begun, and not its output: an interrupt within `print(flush=True)` may end as a
    RuntimeError in any kernel, as the lock of `threading.Event.wait` is not held everywhere in its `with` block."""
    begun = tmp_path / "begun"

    async def live() -> None:
        async with kernel() as forked:
            # A kernel that stops on an error aborts what comes right behind it.
            code = f"import time\nopen({str(begun)!r}, 'w').close()\ntime.sleep(600)"
            request = forked.client.execute(code, stop_on_error=False)
            await asyncio.to_thread(until, begun.exists)
            await forked.manager.interrupt_kernel()
            reply = await forked.client.get_shell_msg(timeout=LONG)
            assert reply["parent_header"]["msg_id"] == request
            assert reply["content"]["ename"] == "KeyboardInterrupt"
            assert await forked.run("print('still here')") == "still here\n"

    run(live)


@pytest.mark.parametrize(
    ("code", "ended"), [("import os; os._exit(5)", 5), ("import os; os.kill(os.getpid(), 11)", -11)]
)
def test_the_exit_code_of_a_kernel_is_reported(code, ended):
    async def live() -> None:
        async with kernel() as forked:
            forked.client.execute(code)
            while await forked.manager.is_alive():
                await asyncio.sleep(0.01)
            assert await forked.manager.provisioner.poll() == ended

    run(live)


@pytest.mark.parametrize("now", [False, True], ids=["asked", "killed"])
def test_shutdown_ends_a_kernel_with_its_children_and_sockets(now):
    async def live() -> None:
        manager = TaskKernelManager(kernel_name="python3")
        await manager.start_kernel(extra_arguments=QUIET)
        client = manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=LONG)
        forked = Kernel(manager, client)
        pid, folder = forked.pid, Path(manager.ip).parent
        assert folder.stat().st_mode & 0o777 == 0o700
        child = int(await forked.run("import subprocess; print(subprocess.Popen(['sleep', '600']).pid)"))
        client.stop_channels()
        await manager.shutdown_kernel(now=now)
        assert not manager.has_kernel
        until(lambda: gone(pid) and gone(child) and not folder.exists())

    run(live)


def test_only_a_busy_kernel_is_interrupted_at_shutdown(tmp_path, capfd):
    async def live() -> None:
        async with kernel():
            pass
        async with kernel(cwd=str(tmp_path)) as forked:
            forked.client.execute("""if True:
                import time
                try:
                    open("begun", "w").close()
                    time.sleep(600)
                except KeyboardInterrupt:
                    open("interrupted", "w").close()
                    raise
            """)
            await asyncio.to_thread(until, (tmp_path / "begun").exists)

    run(live)
    assert (tmp_path / "interrupted").exists()
    assert "KeyboardInterrupt" not in capfd.readouterr().err


def test_a_kernel_runs_exit_handlers_and_writes_open_files(tmp_path):
    async def live() -> None:
        async with kernel(cwd=str(tmp_path)) as forked:
            await forked.run("""
                import atexit
                atexit.register(lambda: open("atexit", "w").write("ran"))
                file = open("file", "w")
                _ = file.write("kept")
            """)

    run(live)
    assert (tmp_path / "atexit").read_text() == "ran"
    assert (tmp_path / "file").read_text() == "kept"


def test_a_restarted_kernel_is_a_new_forked_process():
    async def live() -> None:
        async with kernel() as forked:
            before, ports = forked.pid, forked.manager.ports
            forked.client.stop_channels()
            await forked.manager.restart_kernel(now=True)
            assert forked.pid != before and forked.manager.is_forked
            assert forked.manager.ports != ports, "Jupyter Server connects to a new address only if the ports differ"
            forked.client = forked.manager.client()
            forked.client.start_channels()
            await forked.client.wait_for_ready(timeout=LONG)
            assert await forked.run("print('again')") == "again\n"

    run(live)


def test_output_of_parallel_kernels_does_not_mix(tmp_path):
    async def live() -> None:
        async def one(n: int) -> list[str]:
            async with kernel() as forked:
                await forked.run(f"n = {n}")
                # One after the other: two that write at once may share a line.
                return await forked.lines("import os; print(n, flush=True); _ = os.system(f'echo {n}')", 2)

        said = await asyncio.gather(*(one(n) for n in range(4)))
        assert said == [[str(n), str(n)] for n in range(4)]

    run(live)


def test_kernels_draw_different_random_numbers():
    code = """
        import random, secrets, tempfile, uuid
        import numpy
        print(random.random(), numpy.random.random(), uuid.uuid4(), secrets.token_hex(), tempfile.mktemp())
    """

    async def live() -> list[str]:
        async with kernel("numpy", "random") as forked:
            return (await forked.run(code)).split()

    one, other = run(live), run(live)
    assert not set(one) & set(other)


def test_children_of_a_kernel_show_what_they_print():
    async def live() -> list[str]:
        async with kernel() as forked:
            said = """
                import multiprocessing, sys
                child = multiprocessing.get_context("fork").Process(target=lambda: print("from below", flush=True))
                child.start()
                child.join()
            """
            return await forked.lines(said, 2)

    assert run(live) == ["below", "from"]


def test_a_kernel_dies_when_its_owner_is_killed(tmp_path):
    code = """
        import asyncio, sys
        from nbdag.kernels.jupyter.manager import TaskKernelManager
        async def live():
            manager = TaskKernelManager(kernel_name="python3")
            await manager.start_kernel()
            assert manager.is_forked
            print(manager.provisioner.pid, flush=True)
            await asyncio.sleep(600)
        asyncio.run(live())
    """
    owner = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner:
        pid = int(owner.stdout.readline())
        assert not gone(pid)
        owner.send_signal(signal.SIGKILL)
    until(lambda: gone(pid))


@pytest.mark.slow
def test_without_a_fork_server_kernels_are_ordinary_and_one_warning_is_logged(monkeypatch, caplog, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NBDAG_RUNTIME_DIR", str(tmp_path / "file/below"))  # impossible to create

    async def live() -> bool:
        async with kernel("colorsys") as each:  # used by no other test, as a failed server is reported once
            assert await each.run("print(1)") == "1\n"
            return each.manager.is_forked

    with caplog.at_level(logging.WARNING):
        assert [run(live), run(live)] == [False, False]
    (said,) = [r.getMessage() for r in caplog.records if "fork" in r.getMessage()]
    assert said.startswith("no fork server: ") and said.endswith(
        "; ordinary kernels are used instead, which start more slowly"
    )


@pytest.mark.parametrize(
    "argv",
    [
        ["/usr/bin/python3", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        ["python", "-m", "xeus_python", "-f", "{connection_file}"],
        ["python", "-O", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        ["R", "--slave", "-e", "IRkernel::main()", "--args", "{connection_file}"],
    ],
)
def test_other_kinds_of_kernels_are_launched_as_jupyter_does(argv, tmp_path):
    provisioner = ForkProvisioner(kernel_spec=KernelSpec(argv=argv), kernel_id="k", parent=TaskKernelManager())
    asyncio.run(provisioner.pre_launch(env={}))
    assert provisioner._launch is None


def test_any_manager_can_use_the_provisioner_through_a_specification(tmp_path, monkeypatch):
    folder = tmp_path / "kernels" / "warm"
    folder.mkdir(parents=True)
    stanza = {"kernel_provisioner": {"provisioner_name": "nbdag-fork", "config": {"modules": ["json"]}}}
    argv = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (folder / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "w", "language": "python", "metadata": stanza})
    )
    specs = KernelSpecManager(kernel_dirs=[str(folder.parent)])
    manager = KernelManager(kernel_name="warm", kernel_spec_manager=specs)
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=LONG)
        assert manager.provisioner.is_forked
        assert (
            client.execute_interactive("1 + 1", timeout=LONG, output_hook=lambda _: None)["content"]["status"] == "ok"
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that no other test uses."""
    monkeypatch.setattr(
        "nbdag.kernels.forkserver.server_spec._nbdag_version", lambda: 0
    )  # nbdag may be edited during the test
    server = Server.connect(kernel_server_spec(["this_names_a_server"]))
    with server.hold():
        yield server
    server.stop()


def test_many_kernels_leave_no_resources_behind(alone, tmp_path):
    times = int(os.environ.get("NBDAG_TEST_KERNELS", "8"))

    def state() -> tuple[int, int, int]:
        process = psutil.Process(alone.status(LONG).pid)
        return (
            process.num_fds(),
            len(process.children()),
            len(list(server_registry.files(alone.spec.key).folder.iterdir())),
        )

    async def live() -> None:
        async with kernel("this_names_a_server") as forked:
            assert forked.manager.is_forked
            await forked.run("x = 1")

    run(live)
    settled = until(lambda: state() if state()[1:] == (0, 0) else None)
    files = set(server_registry.runtime_dir().iterdir())
    ours, memory = psutil.Process().num_fds(), psutil.Process(alone.status(LONG).pid).memory_info().rss
    for _ in range(times):
        run(live)
    until(lambda: state() == settled)
    assert set(server_registry.runtime_dir().iterdir()) == files
    assert psutil.Process().num_fds() <= ours + 2
    assert psutil.Process(alone.status(LONG).pid).memory_info().rss < memory + 4_000_000
