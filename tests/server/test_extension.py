"""The extension is there once nbdag is installed."""

from __future__ import annotations

from jupyter_server.extension.config import ExtensionConfigManager


def test_every_jupyter_server_of_the_environment_loads_the_extension() -> None:
    assert ExtensionConfigManager().get_jpserver_extensions()["nbdag.server"] is True
