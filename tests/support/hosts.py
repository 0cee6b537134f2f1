"""Three hosts on one machine: network namespaces with Dask workers, which can be cut off, connected and killed.

Each host has an address, a name, its own processes and its own cache. It does not see the folders of the tests. The
Dask scheduler, S3 and PostgreSQL run on the machine itself, which has the address `Site.address`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import dask
import distributed
from patience import until

NAMES = ("ada", "bob", "cyd")
PORT = 8786
THREADS = 2  # attempts at once on each host
# After these times Dask treats a silent worker as lost, and a connection as broken; the defaults are 300 s and 30 s.
TIMEOUTS = {
    "distributed.scheduler.worker-ttl": "4s",
    "distributed.comm.timeouts.connect": "4s",
    "distributed.comm.timeouts.tcp": "12s",  # shorter times are rejected
}
_QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def missing() -> str:
    """Return what the hosts need and this machine lacks; "" if nothing is missing."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need Linux and root"
    programs = [each for each in ("ip", "unshare") if shutil.which(each) is None]
    if programs:
        return f"programs are missing: {', '.join(programs)}"
    name = f"nbdag-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    return "" if made.returncode == 0 else f"network namespaces cannot be created: {made.stderr.strip()}"


@dataclass(eq=False)
class Site:
    """A network of three hosts, and the Dask scheduler on this machine."""

    folder: Path  # for the caches of the hosts
    hidden: Path  # a folder of this machine that the hosts do not see
    number: int = field(default_factory=lambda: os.getpid() % 250)
    _hosts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _scheduler: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Return the address of this machine for the hosts."""
        return f"10.213.{self.number}.1"

    @property
    def dask(self) -> str:
        """Return the address of the Dask scheduler."""
        return f"tcp://{self.address}:{PORT}"

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Create the namespaces and addresses, and remove them at the end, with all processes of the hosts."""
        bridge = self._device("br")
        _ip("link", "add", bridge, "type", "bridge")
        try:
            _ip("address", "add", f"{self.address}/24", "dev", bridge)
            _ip("link", "set", bridge, "up")
            for number, name in enumerate(NAMES, 11):
                space = self._device(name)
                _ip("netns", "add", space)
                _ip("link", "add", space, "type", "veth", "peer", "name", "eth0", "netns", space)
                _ip("link", "set", space, "master", bridge, "up")
                _ip("-n", space, "address", "add", f"10.213.{self.number}.{number}/24", "dev", "eth0")
                _ip("-n", space, "link", "set", "eth0", "up")
                _ip("-n", space, "link", "set", "lo", "up")
            yield
        finally:
            self.stop()
            for name in (*map(self._device, NAMES),):
                subprocess.run(["ip", "netns", "delete", name], check=False, **_QUIET)
            subprocess.run(["ip", "link", "delete", bridge], check=False, **_QUIET)

    def start_scheduler(self) -> None:
        """Start the Dask scheduler."""
        words = ["distributed.cli.dask_scheduler", "--host", self.address, "--port", str(PORT), "--no-dashboard"]
        log = (self.folder / "scheduler.log").open("ab")
        with log:
            self._scheduler = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", *words], env=_environment(), stdout=log, stderr=log
            )

    def restart_scheduler(self) -> None:
        """Kill the Dask scheduler and start another one at the same address."""
        assert self._scheduler is not None
        self._scheduler.kill()
        self._scheduler.wait()
        self.start_scheduler()

    def start(self, name: str, **variables: str) -> None:
        """Start a host, where a Dask worker is started again whenever it ends."""
        own = self.folder / name
        (own / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
        worker = [sys.executable, "-W", "ignore", "-m", "distributed.cli.dask_worker", self.dask]
        worker += ["--nthreads", str(THREADS), "--no-nanny", "--no-dashboard", "--death-timeout", "20"]
        script = 'hostname "$1"; mount -t tmpfs none "$2"; shift 2; while true; do "$@"; sleep 0.2; done'
        words = ["ip", "netns", "exec", self._device(name), "unshare", "-m", "-u", "-p", "-f", "--mount-proc"]
        words += ["--kill-child", "sh", "-c", script, "sh", name, str(self.hidden), *worker]
        environment = _environment() | {"NBDAG_CACHE": f"{own}/cache", "NBDAG_RUNTIME_DIR": f"{own}/run", **variables}
        with (own / "log").open("ab") as log:
            self._hosts[name] = subprocess.Popen(words, env=environment, cwd=own, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        """Kill all processes of a host at once."""
        host = self._hosts.pop(name)
        host.kill()  # the kernel kills the processes of the host with their first process
        host.wait()

    def cut_off(self, name: str) -> None:
        """Let no packet to the host and from it through."""
        _ip("link", "set", self._device(name), "down")

    def connect(self, name: str) -> None:
        """End `cut_off`."""
        _ip("link", "set", self._device(name), "up")

    def wait_for(self, *names: str) -> None:
        """Wait until exactly these hosts have a worker at the Dask scheduler."""
        wanted = {f"10.213.{self.number}.{11 + NAMES.index(name)}" for name in names}
        with dask.config.set(TIMEOUTS):
            client = until(self._client, "the Dask scheduler")
            with client:
                until(
                    lambda: (
                        {each["host"] for each in client.scheduler_info(n_workers=-1)["workers"].values()} == wanted
                    ),
                    "the workers",
                )

    def stop(self) -> None:
        """Kill all hosts and the Dask scheduler."""
        for name in list(self._hosts):
            self.kill(name)
        if self._scheduler is not None:
            self._scheduler.kill()
            self._scheduler.wait()
            self._scheduler = None

    def _client(self) -> distributed.Client | None:
        try:
            return distributed.Client(self.dask, set_as_default=False, timeout=2)
        except OSError:
            return None

    def _device(self, name: str) -> str:
        return f"nbdag{self.number}{name}"  # at most 15 characters


@contextlib.contextmanager
def site(hidden: Path) -> Iterator[Site]:
    """Yield the network with a Dask scheduler and no host yet."""
    with tempfile.TemporaryDirectory(prefix="nbdag-hosts-", ignore_cleanup_errors=True) as folder:
        made = Site(Path(folder), hidden)
        with made.network():
            made.start_scheduler()
            yield made


def _environment() -> Mapping[str, str]:
    variables = {f"DASK_{name.upper().replace('.', '__').replace('-', '_')}": value for name, value in TIMEOUTS.items()}
    return dict(os.environ) | variables


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
