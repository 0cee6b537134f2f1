"""An S3 server: moto's, in a process of its own, behind a gateway that refuses requests when a test asks for it."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
import s3fs
from patience import until

from nbdag.storage.remote import files_at

SECRET = "the-key-that-nobody-may-see"
_ERROR = "<Error><Code>{}</Code><Message>{}</Message></Error>"


class Gateway(ThreadingHTTPServer):
    """Passes requests on to moto.

    The next `busy` requests, and all requests before `busy_until`, are answered by 503; all are answered by 403 while
    `forbidden`.
    """

    daemon_threads = True

    def __init__(self, moto: int, address: str) -> None:
        super().__init__((address, 0), _Handler)
        self.moto = moto
        self.busy = 0
        self.busy_until = 0.0  # value of time.monotonic()
        self.forbidden = False
        self.requests: list[str] = []  # each as METHOD /bucket/key
        self.lock = threading.Lock()

    def refusal(self) -> tuple[int, str] | None:
        with self.lock:
            if self.forbidden:
                return 403, _ERROR.format("AccessDenied", "Access Denied")
            if self.busy or time.monotonic() < self.busy_until:
                self.busy = max(0, self.busy - 1)
                return 503, _ERROR.format("ServiceUnavailable", "Please try again.")
        return None

    def gets(self, part: str) -> int:
        """Return how many requests have read an object whose key contains this text."""
        return sum(each.startswith("GET") and part in each.partition("?")[0] for each in self.requests)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway

    def _pass_on(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.server.requests.append(f"{self.command} {self.path}")
        if (refused := self.server.refusal()) is not None:
            self._answer(refused[0], [], refused[1].encode())
            return
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.server.moto)) as to:
            to.request(self.command, self.path, body, dict(self.headers))
            answer = to.getresponse()
            self._answer(answer.status, answer.getheaders(), answer.read())

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        given = {name.lower(): value for name, value in headers}
        length = given.get("content-length", "0") if self.command == "HEAD" else str(len(body))
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding", "server", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def s3_server(folder: Path, address: str = "127.0.0.1") -> Iterator[Gateway]:
    """Yield the gateway of a server with the bucket `data`; the environment has its address and credentials.

    The gateway listens at `address`.
    """
    code = (
        "import sys, threading, os\n"
        "from moto.server import ThreadedMotoServer\n"
        "server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)\n"
        "server.start()\n"
        "print(server.get_host_and_port()[1], flush=True)\n"
        "sys.stdin.read()\n"  # end with the process that has started this one
        "os._exit(0)\n"
    )
    with (
        (folder / "moto.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        ) as moto,
        pytest.MonkeyPatch.context() as patch,
    ):
        assert moto.stdout is not None
        port = int(until(moto.stdout.readline, "the S3 server"))
        gateway = Gateway(port, address)
        threading.Thread(target=gateway.serve_forever, daemon=True).start()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{address}:{gateway.server_address[1]}")
        patch.setenv("AWS_ACCESS_KEY_ID", "nbdag")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        # fsspec keeps its clients, which know the address of an earlier server in this process.
        s3fs.S3FileSystem.clear_instance_cache()
        files_at.cache_clear()
        try:
            client = boto3.client("s3")
            client.create_bucket(Bucket="data")
            client.close()
            yield gateway
        finally:
            gateway.shutdown()
            gateway.server_close()
            moto.kill()
