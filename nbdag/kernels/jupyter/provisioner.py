"""A kernel provisioner through which Jupyter launches forked kernels.

A kernel specification names the provisioner (`kernel_provisioner: nbdag-fork`, with the `modules` to preload); for a
task, `manager` adds that entry. The provisioner forks Python kernels of this interpreter from a fork server. It
launches any other kernel as an ordinary process, as Jupyter does. If no fork server is available, it reports this once
and launches an ordinary process too. Sockets, messages, interrupts and shutdown follow Jupyter's protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import List, Unicode

from ...processes.identity import with_hash_seed
from ..forkserver.client import Child, ForkServerError, Server
from ..forkserver.server_registry import idle_time
from .connection import TARGET, connection_info, kernel_server_spec
from .connection import arguments as fork_arguments

_failed_servers: set[str] = set()  # keys of servers that failed; a failed server is not tried or reported again


class ForkProvisioner(LocalProvisioner):
    """Launches a kernel by forking it, or as an ordinary process if a fork is impossible."""

    modules = List(Unicode(), help="Modules that the fork server imports once for all kernels.").tag(config=True)

    python = Unicode(help="Python of the kernel's environment; by default this Python.").tag(config=True)

    _child: Child | None = None
    _launch: dict[str, Any] | None = None  # arguments of `pre_launch`; None if the kernel will not be forked

    @property
    def has_process(self) -> bool:
        """Whether the kernel has a process."""
        return self._child is not None or super().has_process

    @property
    def is_forked(self) -> bool:
        """Whether the kernel came from a fork server."""
        return self._child is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Prepare the launch of a forked or of an ordinary kernel."""
        self._launch = None
        arguments = _ipykernel_arguments(self.kernel_spec.argv, kwargs.get("extra_arguments") or [], self.python)
        encrypted = str(getattr(self.parent, "transport_encryption", "disabled")) != "disabled"
        if arguments is None or encrypted or not _streams_are_files(kwargs):
            return await super().pre_launch(**kwargs)
        self._launch = dict(kwargs)
        kwargs.pop("extra_arguments", None)
        kwargs.pop("transport_encryption", None)
        # LocalProvisioner's method would write a connection file, but a forked kernel chooses its own address.
        return await KernelProvisionerBase.pre_launch(self, cmd=arguments, **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel and wait until it is ready for clients, or launch an ordinary kernel."""
        if self._launch is None:
            return await self._start(cmd, **kwargs)
        launch, self._launch = self._launch, None
        try:
            return await self._fork(cmd, **kwargs)
        except _FailedBeforeError:
            pass
        except (ForkServerError, TimeoutError) as error:
            self.log.warning("%s", error)
        kwargs = await super().pre_launch(**launch)
        return await self._start(kwargs.pop("cmd"), **kwargs)

    async def _start(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start an ordinary kernel."""
        return await super().launch_kernel(cmd, **{**kwargs, "env": with_hash_seed(kwargs["env"])})

    async def _fork(self, arguments: list[str], **kwargs: Any) -> KernelConnectionInfo:
        env = kwargs["env"]
        cwd = os.fspath(kwargs.get("cwd") or Path.cwd())
        spec = kernel_server_spec(self.modules, env, self.python)
        if spec.key in _failed_servers:
            raise _FailedBeforeError(spec.key)
        try:
            with contextlib.ExitStack() as opened:
                stdio = _streams(kwargs, opened)
                # The fork runs in a thread, because the first kernel waits for the server's imports, which would block
                # the event loop.
                child = await asyncio.to_thread(
                    Server(spec, idle_time()).fork,
                    TARGET,
                    arguments=fork_arguments(arguments),
                    cwd=cwd,
                    env=env,
                    stdio=stdio,
                )
        except ForkServerError:
            _failed_servers.add(spec.key)
            raise
        try:
            if not await child.async_wait_ready():
                raise ForkServerError(f"a forked kernel ended with exit code {child.poll()} before it was ready")
        except BaseException:
            child.close()
            raise
        self._child = child
        self.pid = self.pgid = child.pid
        self.cwd = cwd
        self.connection_info = cast("KernelConnectionInfo", connection_info(child.folder, child.secret))
        return self.connection_info

    async def poll(self) -> int | None:
        """Return the exit code, or None while the kernel is running."""
        return self._child.poll() if self._child is not None else await super().poll()

    async def wait(self) -> int | None:
        """Wait until the kernel has ended, then release its resources; return its exit code."""
        if self._child is None:
            return await super().wait()
        code = await self._child.async_wait()
        self._child.close()
        self._child = None
        return code

    async def send_signal(self, signum: int) -> None:
        """Send a signal to the kernel's process group."""
        if self._child is None:
            await super().send_signal(signum)
        elif signum != signal.SIGINT or not getattr(self.parent, "shutting_down", False):
            self._child.signal(signum)
        # A manager interrupts the kernel before a shutdown. That SIGINT is not sent: an idle kernel would print it.

    async def kill(self, restart: bool = False) -> None:
        """Kill the kernel's process group."""
        if self._child is None:
            await super().kill(restart=restart)
        else:
            self._child.kill()
            await self._ends_within(1.0)

    async def terminate(self, restart: bool = False) -> None:
        """Send SIGTERM to the kernel's process group."""
        await self.send_signal(signal.SIGTERM)

    async def shutdown_requested(self, restart: bool = False) -> None:
        """Wait until the kernel has shut down on request.

        Without this, the manager would poll the kernel only every 0.1 s.
        """
        if self._child is not None and not await self._ends_within(1.5):
            # Interrupt a kernel that is still running a cell; an idle kernel has already ended.
            self._child.signal(signal.SIGINT)
            await self._ends_within(self.get_shutdown_wait_time() / 2)

    async def cleanup(self, restart: bool = False) -> None:
        """Release all resources of the kernel."""
        if self._child is not None:
            self._child.close()
            self._child = None
        await super().cleanup(restart=restart)

    async def _ends_within(self, seconds: float) -> bool:
        assert self._child is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._child.async_wait()
        return self._child.poll() is not None


class _FailedBeforeError(Exception):
    """The server failed earlier in this process, and that failure was reported."""


def _ipykernel_arguments(argv: list[str], extra: list[str], python: str) -> list[str] | None:
    """Return the arguments of an ipykernel without the connection file, or None if the kernel is not the ipykernel of
    this interpreter or of `python`.
    """
    if len(argv) < 2 or not (argv[0] == python if python else _is_this_python(argv[0])):
        return None
    rest = argv[2:] if argv[1] == "-Xfrozen_modules=off" else argv[1:]
    match rest:
        case ["-m", "ipykernel_launcher" | "ipykernel", "-f", "{connection_file}", *more]:
            return [*more, *extra]
    return None


def _is_this_python(name: str) -> bool:
    version = sys.version_info
    if name in {"python", f"python{version[0]}", f"python{version[0]}.{version[1]}"}:
        return True  # jupyter_client replaces these names by the path of its own interpreter
    here, there = Path(sys.executable), Path(name)
    # The paths are compared, not the files: the interpreters of several virtual environments may be links to one file.
    return there.parent.is_dir() and there.parent.samefile(here.parent) and there.is_file() and there.samefile(here)


def _streams_are_files(kwargs: Mapping[str, Any]) -> bool:
    """Return whether the streams are files. A forked kernel supports no pipes, since those require a `Popen` object."""
    return not any(kwargs.get(name) in (subprocess.PIPE, subprocess.STDOUT) for name in ("stdin", "stdout", "stderr"))


def _streams(kwargs: Mapping[str, Any], opened: contextlib.ExitStack) -> tuple[int, int, int]:
    """Return descriptors for the kernel's standard streams.

    By default, the input is empty and the child shares the output streams of this process.
    """
    null = os.open(os.devnull, os.O_RDWR)
    opened.callback(os.close, null)
    found = []
    for name, default in (("stdin", null), ("stdout", 1), ("stderr", 2)):
        given: int | IO[Any] | None = kwargs.get(name)
        fd = default if given is None else null if given == subprocess.DEVNULL else given
        fd = fd if isinstance(fd, int) else fd.fileno()
        try:
            os.fstat(fd)
        except OSError:  # this process has no such stream
            fd = null
        found.append(fd)
    return found[0], found[1], found[2]
