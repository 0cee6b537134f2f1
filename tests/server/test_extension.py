"""The extension is there once nbdag is installed."""

from __future__ import annotations

from jupyter_core.paths import jupyter_config_path
from jupyter_server.extension.config import ExtensionConfigManager


def test_every_jupyter_server_of_the_environment_loads_the_extension() -> None:
    found = ExtensionConfigManager(read_config_path=jupyter_config_path())
    assert found.get_jpserver_extensions()["nbdag.server"] is True
