"""The kernel of a task: a manager that has it forked where it can, and a client that loses no time over it.

Subclasses of jupyter_client's own, for whatever takes a kernel manager class: nbclient, papermill, a script.

    manager = TaskKernelManager(kernel_name="python3", modules=["pandas"])
    manager = TaskKernelManager(kernel_name="python3", warm=False)
"""

from __future__ import annotations

import asyncio
import copy
import sys
import uuid
from queue import Empty

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from traitlets import Bool, List, Type, Unicode, default

from ..forkserver import server_registry


class TaskKernelClient(AsyncKernelClient):
    """A client whose `wait_for_ready` ends when the kernel is ready.

    jupyter_client's listens for 0.2 s whether more messages come, to leave none of before behind, and for a client that
    was late for the first ones, 0.2 s more. The kernel itself says when it has nothing more to say: it is `idle`.
    """

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Wait until the kernel answers on all channels; RuntimeError when it has died, or has not within `timeout`."""
        try:
            async with asyncio.timeout(timeout):
                while not await self._answers():
                    if not await self.is_alive():
                        raise RuntimeError("Kernel died before replying to kernel_info")
        except TimeoutError:
            raise RuntimeError(f"Kernel didn't respond in {timeout:g} seconds") from None

    async def _answers(self) -> bool:
        """Ask who it is; whether the answer came, and on iopub all that belongs to it."""
        request = self.kernel_info()
        try:
            reply = await self.get_shell_msg(timeout=1)
            while reply["parent_header"].get("msg_id") != request:
                reply = await self.get_shell_msg(timeout=1)
            self._handle_kernel_info_reply(reply)
            while True:
                # A subscription that came too late for this answer is in time for the next one.
                said = await self.get_iopub_msg(timeout=0.2)
                if said["parent_header"].get("msg_id") == request and said["content"].get("execution_state") == "idle":
                    return True
        except Empty:
            return False


class TaskKernelManager(AsyncKernelManager):
    """Starts a kernel: forked where that is possible and `warm`, else an ordinary one. Over ipc, not TCP."""

    warm = Bool(True, help="Fork the kernel from a server that has its imports done.").tag(config=True)
    modules = List(Unicode(), help="Modules to import ahead (see nbdag.kernels.forkserver.preload).").tag(config=True)
    client_factory = Type(klass=AsyncKernelClient, default_value=TaskKernelClient)

    _warm_spec: tuple[KernelSpec, KernelSpec] | None = None  # what Jupyter has, and ours made from it

    @default("transport")
    def _default_transport(self) -> str:
        return "tcp" if sys.platform == "win32" else "ipc"

    @default("connection_file")
    def _default_connection_file(self) -> str:
        # An ordinary kernel's sockets stand beside this file, and the folder is nobody else's. The path of a socket
        # must be short, which Jupyter's own folder does not see to.
        try:
            return str(server_registry.runtime_dir() / f"kernel-{uuid.uuid4().hex[:12]}.json")
        except (server_registry.NoServerError, OSError):
            return ""

    @property
    def kernel_spec(self) -> KernelSpec | None:
        """The specification, with our provisioner in it where the kernel is to be warm."""
        spec = super().kernel_spec
        if spec is None or not self.warm or "kernel_provisioner" in spec.metadata:
            return spec
        if self._warm_spec is None or self._warm_spec[0] is not spec:  # it is asked for again and again
            ours = {"provisioner_name": "nbdag-fork", "config": {"modules": list(self.modules)}}
            warm = copy.copy(spec)
            warm.metadata = {**spec.metadata, "kernel_provisioner": ours}
            self._warm_spec = spec, warm
        return self._warm_spec[1]

    @property
    def is_forked(self) -> bool:
        """Whether the running kernel came from a fork server."""
        return bool(getattr(self.provisioner, "is_forked", False))
