"""The extension of Jupyter Server: its routes, its threads, and the HTML of the page."""

from __future__ import annotations

import html
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import AuthenticatedFileHandler, JupyterHandler
from jupyter_server.extension.application import ExtensionApp
from jupyter_server.utils import url_path_join
from tornado import web

from .. import home as homes
from ..frontend.notebooks import rehearsal
from ..home import Home
from ..packages import BUNDLE
from . import events, openapi, prometheus  # noqa: F401  # the import of openapi declares an operation
from .handlers import ROUTES
from .handlers.base import RESOURCE, SETTING, Server, UnknownPathHandler

_THREADS = 8  # maximum number of operations of the API at the same time
# Outputs of tasks are shown in frames without scripts. The frames inherit this policy, which allows inline styles
# because tables in outputs have them.
_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'"
)
_HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Pipelines</title>
<link rel="stylesheet" href="{static}page.css{version}">
<script type="module" src="{static}page.js{version}"></script>
</head>
<body data-base-url="{base_url}" data-xsrf="{xsrf}">
<noscript>This page needs JavaScript.</noscript>
</body>
</html>
"""


class PageHandler(JupyterHandler):
    """Answers every path of the page with the same HTML. It contains the server's URL and a token, but no data."""

    auth_resource = RESOURCE

    @property
    def content_security_policy(self) -> str:
        """Return Jupyter's Content-Security-Policy with the rules of the page added."""
        return f"{super().content_security_policy}; {_POLICY}"

    @web.authenticated
    @authorized
    def get(self, path: str = "") -> None:
        """Send the HTML of the page."""
        text = _HTML.format(
            static=html.escape(url_path_join(self.base_url, "nbdag/static/")),
            version=f"?v={_version()}",
            base_url=html.escape(self.base_url),
            xsrf=html.escape(self.xsrf_token.decode()),
        )
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-store")  # because the HTML contains a token of this session
        self.finish(text)


class StaticHandler(AuthenticatedFileHandler):
    """Answers with the page's scripts and styles."""

    auth_resource = RESOURCE

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        """Return the path of the requested file. Raise `HTTPError` if no file can have this path."""
        if "\0" in path:
            raise web.HTTPError(404)
        return str(super().get_absolute_path(root, path))

    def set_extra_headers(self, path: str) -> None:
        """Let browsers cache a file if its URL contains a version (`?v=`)."""
        if self.get_query_argument("v", None):
            self.set_header("Cache-Control", "private, max-age=31536000, immutable")


class NbdagApp(ExtensionApp):
    """The extension, which Jupyter Server loads."""

    name = "nbdag"
    extension_url = "/nbdag/"
    load_other_extensions = False  # if `nbdag ui` starts the server, no other extension is loaded

    @classmethod
    def get_extension_package(cls) -> str:
        """Return the package that Jupyter Server imports."""
        return "nbdag.server"

    def initialize_settings(self) -> None:
        """Share the home and the threads with the handlers."""
        self.threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="nbdag-api")
        self.settings[events.SETTING] = self.events = events.EventHub(self._home)
        self.metrics = prometheus.register(self._home)
        self.settings[SETTING] = Server(home=self._home, root=self._root, threads=self.threads)

    def initialize_handlers(self) -> None:
        """Add the routes."""
        routes: list[tuple[Any, ...]] = [(f"/nbdag/api/{path}", handler) for path, handler in ROUTES.handlers()]
        self.handlers.extend(
            [
                *routes,
                ("/nbdag/api/events", events.EventsHandler),
                ("/nbdag/api(?:/.*)?", UnknownPathHandler),
                ("/nbdag/static/(.*)", StaticHandler, {"path": str(BUNDLE)}),
                ("/nbdag", web.RedirectHandler, {"url": url_path_join(self._base_url(), "nbdag/")}),
                ("/nbdag/(.*)", PageHandler),
            ]
        )

    async def stop_extension(self) -> None:
        """End the threads and the streams of events."""
        self.events.close()
        prometheus.unregister(self.metrics)
        rehearsal.stop()  # otherwise, at exit, the interpreter would wait for the threads of rehearsals
        self.threads.shutdown(wait=False, cancel_futures=True)

    def _home(self) -> Home:
        """Return the home (the folder with nbdag's state) of the root directory."""
        return homes.find(self._root())

    def _root(self) -> Path:
        """Return the root directory of the server."""
        assert self.serverapp is not None
        return Path(self.serverapp.root_dir)

    def _base_url(self) -> str:
        assert self.serverapp is not None
        return str(self.serverapp.base_url)


def _version() -> int:
    """Return a number that changes whenever the page's files change."""
    times = [path.stat().st_mtime_ns for path in (BUNDLE / "page.js", BUNDLE / "page.css") if path.exists()]
    return max(times, default=0)
