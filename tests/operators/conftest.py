"""Local servers of HTTP and SMTP that record what they receive."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest


@dataclass(frozen=True)
class Received:
    """A request, as the server got it."""

    method: str
    path: str  # still percent-encoded
    headers: dict[str, str]
    body: bytes


@dataclass
class WebServer:
    """A server whose next responses are given; without any it answers 200 and null."""

    url: str
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, named, body))


@pytest.fixture
def web() -> Iterator[WebServer]:
    """Yield a web server on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65_537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found.received.append(Received(self.command, self.path, dict(self.headers), content))
            status, headers, body = (
                found.answers.pop(0) if found.answers else (200, {"Content-Type": "application/json"}, b"null")
            )
            if status == 0:  # lose the connection
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body if self.command != "HEAD" else b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = WebServer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield found
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class MailServer:
    """A server of SMTP with one user, which refuses recipients whose address contains `nobody`."""

    port: int
    user: bytes = b"me@x.org"
    password: bytes = b"p/w%"
    received: list[tuple[list[str], EmailMessage]] = field(default_factory=list)  # recipients of the envelope, message


@pytest.fixture
def mail() -> Iterator[MailServer]:
    """Yield a mail server on a free port of this machine."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            self.logged_in, self.recipients = False, list[str]()
            self.reply("220 ready")
            while line := self.rfile.readline().decode().strip():
                verb, _, rest = line.partition(" ")
                if verb.upper() == "QUIT":
                    self.reply("221 bye")
                    return
                self.reply(self.answer(verb.upper(), rest))

        def answer(self, verb: str, rest: str) -> str:
            match verb:
                case "EHLO":
                    return "250-here\r\n250 AUTH PLAIN"
                case "AUTH":
                    given = base64.b64decode(rest.removeprefix("PLAIN ")).split(b"\0")
                    self.logged_in = given[-2:] == [found.user, found.password]
                    return "235 welcome" if self.logged_in else "535 wrong password"
                case "MAIL":
                    self.recipients = []
                    return "250 ok" if self.logged_in else "530 log in first"
                case "RCPT":
                    address = rest[rest.index("<") + 1 : rest.index(">")]
                    self.recipients.append(address)
                    return "550 unknown" if "nobody" in address else "250 ok"
                case "DATA":
                    self.reply("354 go on")
                    lines = []
                    while (line := self.rfile.readline()) != b".\r\n":
                        lines.append(line.removeprefix(b"."))
                    message = message_from_bytes(b"".join(lines), policy=policy.default)
                    assert isinstance(message, EmailMessage)
                    found.received.append((self.recipients, message))
                    return "250 sent"
            return "250 ok" if verb == "RSET" else "500 unknown"

        def reply(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        found = MailServer(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join()
