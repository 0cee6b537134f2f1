"""Jupyter's way to a forked kernel: a kernel provisioner.

A kernel specification names it (`kernel_provisioner: nbdag-fork`, with `modules` to import ahead), or `manager`
does so for a task. It launches Python kernels of this interpreter from a fork server; any other kernel, and any
that no fork server can be had for, it launches as Jupyter does, and says so once. All else about a kernel, its
sockets, messages, interrupts and shutdown, is the protocol's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, cast

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import List, Unicode

from ..forkserver.client import Child, ForkServerError, Server
from ..forkserver.server_registry import idle_time
from ..forkserver.server_spec import Recipe
from .connection import TARGET, connection_info
from .connection import arguments as fork_arguments

_refused: set[str] = set()  # keys of servers that could not be had; once is enough to try, and to say


def kernel_recipe(modules: Iterable[str] = (), env: Mapping[str, str] | None = None) -> Recipe:
    """What kernels with these modules imported are forked from."""
    return Recipe.of(modules, targets=[TARGET], env=env)


class ForkProvisioner(LocalProvisioner):
    """Launches a kernel by forking it, and where that cannot be, as Jupyter does."""

    modules = List(Unicode(), help="Modules to import ahead, once for all kernels.").tag(config=True)

    _child: Child | None = None
    _launch: dict[str, Any] | None = None  # what `pre_launch` was given, while a fork is intended

    @property
    def has_process(self) -> bool:
        """Whether there is a kernel."""
        return self._child is not None or super().has_process

    @property
    def is_forked(self) -> bool:
        """Whether the kernel came from a fork server."""
        return self._child is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Get ready to launch, one way or the other."""
        self._launch = None
        arguments = _ipykernel_arguments(self.kernel_spec.argv, kwargs.get("extra_arguments") or [])
        encrypted = str(getattr(self.parent, "transport_encryption", "disabled")) != "disabled"
        if arguments is None or encrypted or not _plain_streams(kwargs):
            return await super().pre_launch(**kwargs)
        self._launch = dict(kwargs)
        kwargs.pop("extra_arguments", None)
        kwargs.pop("transport_encryption", None)
        # Not LocalProvisioner's, which writes a connection file: where the kernel listens is the child's to say.
        return await KernelProvisionerBase.pre_launch(self, cmd=arguments, **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel that is ready for clients, or launch an ordinary one."""
        if self._launch is None:
            return await super().launch_kernel(cmd, **kwargs)
        launch, self._launch = self._launch, None
        try:
            return await self._fork(cmd, **kwargs)
        except _RefusedBeforeError:
            pass
        except (ForkServerError, TimeoutError) as error:
            self.log.warning("%s", error)
        kwargs = await super().pre_launch(**launch)
        return await super().launch_kernel(kwargs.pop("cmd"), **kwargs)

    async def _fork(self, arguments: list[str], **kwargs: Any) -> KernelConnectionInfo:
        env = kwargs["env"]
        cwd = os.fspath(kwargs.get("cwd") or Path.cwd())
        recipe = kernel_recipe(self.modules, env)
        if recipe.key in _refused:
            raise _RefusedBeforeError(recipe.key)
        try:
            with contextlib.ExitStack() as opened:
                stdio = _streams(kwargs, opened)
                # In a thread: the first kernel waits for the server's imports, and the loop has other work.
                child = await asyncio.to_thread(
                    Server(recipe, idle_time()).fork,
                    TARGET,
                    arguments=fork_arguments(arguments),
                    cwd=cwd,
                    env=env,
                    stdio=stdio,
                )
        except ForkServerError:
            _refused.add(recipe.key)
            raise
        try:
            if not await child.until_ready():
                raise ForkServerError(f"a forked kernel ended with {child.poll()} before it was ready")
        except BaseException:
            child.close()
            raise
        self._child = child
        self.pid = self.pgid = child.pid
        self.cwd = cwd
        self.connection_info = cast("KernelConnectionInfo", connection_info(child.folder, child.secret))
        return self.connection_info

    async def poll(self) -> int | None:
        """The exit code, or None while the kernel runs."""
        return self._child.poll() if self._child is not None else await super().poll()

    async def wait(self) -> int | None:
        """Wait until the kernel has ended, and let go of it."""
        if self._child is None:
            return await super().wait()
        code = await self._child.until_gone()
        self._child.close()
        self._child = None
        return code

    async def send_signal(self, signum: int) -> None:
        """Signal the kernel's process group."""
        if self._child is None:
            await super().send_signal(signum)
        elif signum != signal.SIGINT or not getattr(self.parent, "shutting_down", False):
            self._child.signal(signum)
        # A manager interrupts a kernel before it asks it to shut down; one that is idle would call that an error.

    async def kill(self, restart: bool = False) -> None:
        """End the kernel's process group."""
        if self._child is None:
            await super().kill(restart=restart)
        else:
            self._child.kill()
            await self._soon_gone(1.0)

    async def terminate(self, restart: bool = False) -> None:
        """Ask the kernel's process group to end."""
        await self.send_signal(signal.SIGTERM)

    async def shutdown_requested(self, restart: bool = False) -> None:
        """Wait for the kernel to follow the request, so that the manager, which looks every 0.1 s, need not."""
        if self._child is not None and not await self._soon_gone(1.5):
            self._child.signal(signal.SIGINT)  # it must be running a cell: an idle one is gone by now
            await self._soon_gone(self.get_shutdown_wait_time() / 2)

    async def cleanup(self, restart: bool = False) -> None:
        """Let go of everything."""
        if self._child is not None:
            self._child.close()
            self._child = None
        await super().cleanup(restart=restart)

    async def _soon_gone(self, seconds: float) -> bool:
        assert self._child is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._child.until_gone()
        return self._child.poll() is not None


class _RefusedBeforeError(Exception):
    """It has been tried in this process, and said."""


def _ipykernel_arguments(argv: list[str], extra: list[str]) -> list[str] | None:
    """What an ipykernel of this interpreter is started with, its connection file left out; None for other kernels."""
    if len(argv) < 2 or not _is_this_python(argv[0]):
        return None
    rest = argv[2:] if argv[1] == "-Xfrozen_modules=off" else argv[1:]
    match rest:
        case ["-m", "ipykernel_launcher" | "ipykernel", "-f", "{connection_file}", *more]:
            return [*more, *extra]
    return None


def _is_this_python(name: str) -> bool:
    version = sys.version_info
    if name in {"python", f"python{version[0]}", f"python{version[0]}.{version[1]}"}:
        return True  # jupyter_client reads these as the interpreter that it runs in itself
    here, there = Path(sys.executable), Path(name)
    # Not `samefile` on the interpreters: those of all virtual environments are links to one.
    return there.parent.is_dir() and there.parent.samefile(here.parent) and there.is_file() and there.samefile(here)


def _plain_streams(kwargs: Mapping[str, Any]) -> bool:
    """Whether the streams are files: a pipe would need a Popen."""
    return not any(kwargs.get(name) in (subprocess.PIPE, subprocess.STDOUT) for name in ("stdin", "stdout", "stderr"))


def _streams(kwargs: Mapping[str, Any], opened: contextlib.ExitStack) -> tuple[int, int, int]:
    """Descriptors for the kernel's standard streams: input from nowhere, output to ours, unless told otherwise."""
    null = os.open(os.devnull, os.O_RDWR)
    opened.callback(os.close, null)
    found = []
    for name, default in (("stdin", null), ("stdout", 1), ("stderr", 2)):
        given: int | IO[Any] | None = kwargs.get(name)
        fd = default if given is None else null if given == subprocess.DEVNULL else given
        fd = fd if isinstance(fd, int) else fd.fileno()
        try:
            os.fstat(fd)
        except OSError:  # this process has none
            fd = null
        found.append(fd)
    return found[0], found[1], found[2]
