"""The kernel manager of a task, which forks the kernel if possible, and a client without needless waiting.

Both are subclasses of jupyter_client's classes. So nbclient, papermill, scripts and any other code that accepts a
kernel manager class can use them.

    manager = TaskKernelManager(kernel_name="python3", modules=["pandas"])
    manager = TaskKernelManager(kernel_name="python3", warm=False)
"""

from __future__ import annotations

import asyncio
import copy
import sys
import uuid
from queue import Empty
from typing import Any

import zmq.asyncio
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from traitlets import Bool, List, Type, Unicode, default

from ...processes.identity import with_hash_seed
from ..forkserver import server_registry
from .connection import environment_variables


class TaskKernelClient(AsyncKernelClient):
    """A client whose `wait_for_ready` returns as soon as the kernel is ready.

    jupyter_client waits 0.2 s for late messages of an earlier request, and another 0.2 s because the client may have
    missed the first messages. This client instead waits until the kernel publishes the state `idle`.
    """

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Wait until the kernel replies on all channels; raise RuntimeError if the kernel dies or `timeout` seconds
        pass.
        """
        try:
            async with asyncio.timeout(timeout):
                while not await self._answers():
                    if not await self.is_alive():
                        raise RuntimeError("Kernel died before replying to kernel_info")
        except TimeoutError:
            raise RuntimeError(f"Kernel didn't respond in {timeout:g} seconds") from None

    async def _answers(self) -> bool:
        """Request the kernel's info; return whether the reply and all iopub messages about the request have arrived."""
        request = self.kernel_info()
        try:
            reply = await self.get_shell_msg(timeout=1)
            while reply["parent_header"].get("msg_id") != request:
                reply = await self.get_shell_msg(timeout=1)
            self._handle_kernel_info_reply(reply)
            while True:
                # The subscription may have been too late for the messages of this request, but it is in time for the
                # next request.
                message = await self.get_iopub_msg(timeout=0.2)
                if (
                    message["parent_header"].get("msg_id") == request
                    and message["content"].get("execution_state") == "idle"
                ):
                    return True
        except Empty:
            return False


class TaskKernelManager(AsyncKernelManager):
    """Starts a kernel over ipc instead of TCP.

    If `warm` is set and forking is possible, the kernel is forked. Otherwise, it is an ordinary kernel.
    """

    warm = Bool(True, help="Fork the kernel from a server that has preloaded the imports.").tag(config=True)
    modules = List(Unicode(), help="Modules to preload (see nbdag.kernels.forkserver.preload).").tag(config=True)
    python = Unicode(help="Python that starts the kernel instead of that of the specification.").tag(config=True)
    client_factory = Type(klass=AsyncKernelClient, default_value=TaskKernelClient)

    # Jupyter's kernel specification, and nbdag's modified copy of it for a forked kernel.
    _warm_spec: tuple[KernelSpec, KernelSpec] | None = None

    @default("context")
    def _default_context(self) -> zmq.asyncio.Context:
        context = zmq.asyncio.Context()
        context.setsockopt(zmq.RCVHWM, 0)  # 0: no limit, because ZeroMQ drops messages beyond a limit
        self._created_context = True
        return context

    @default("transport")
    def _default_transport(self) -> str:
        return "tcp" if sys.platform == "win32" else "ipc"

    @default("connection_file")
    def _default_connection_file(self) -> str:
        # An ordinary kernel's sockets are beside this file, in a folder that only the owner can enter. Jupyter's own
        # folder is not used, because its path may be too long for a socket.
        try:
            return str(server_registry.runtime_dir() / f"kernel-{uuid.uuid4().hex[:12]}.json")
        except (server_registry.NoServerError, OSError):
            return ""

    @property
    def kernel_spec(self) -> KernelSpec | None:
        """The kernel's specification; if `warm` is set, the specification names nbdag's provisioner."""
        spec = super().kernel_spec
        if spec is None or ((not self.warm or "kernel_provisioner" in spec.metadata) and not self.python):
            return spec
        # Cached, because Jupyter reads this property many times.
        if self._warm_spec is None or self._warm_spec[0] is not spec:
            config = {"modules": list(self.modules), "python": self.python}
            provisioner = {"provisioner_name": "nbdag-fork", "config": config}
            chosen = _with_python(spec, self.python) if self.python else copy.copy(spec)
            if self.warm:
                chosen.metadata = {**spec.metadata, "kernel_provisioner": provisioner}
            self._warm_spec = spec, chosen
        return self._warm_spec[1]

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
        if not self.warm:  # the provisioner of forked kernels sets the seed itself
            options["env"] = with_hash_seed(options["env"])
        await super()._async_launch_kernel(kernel_cmd, **options)

    @property
    def is_forked(self) -> bool:
        """Whether the running kernel came from a fork server."""
        return bool(getattr(self.provisioner, "is_forked", False))


def _with_python(spec: KernelSpec, python: str) -> KernelSpec:
    """Return the specification of a kernel that runs in the environment of this Python."""
    chosen = copy.copy(spec)
    chosen.argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    given = {name: value.replace("$", "$$") for name, value in environment_variables(python).items()}
    chosen.env = {**spec.env, **given}
    return chosen
