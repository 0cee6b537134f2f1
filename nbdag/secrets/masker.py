"""Mask the secret values that this process knows.

`core.model.secret_masking` finds a value in a text, in each form in which programs print values.
`core.model.secret_names` says which names make a value secret. `kernel_output_masking` masks what a kernel sends.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ..core.model.secret_masking import SecretValues
from ..core.model.secret_names import is_secret, without_passwords

known = SecretValues()
_PASSWORD = re.compile(r"://[^\s/?#:@]*:([^\s]*)@")  # the match ends at the last @, because a password may contain @


def hide(value: object) -> None:
    """Mask this value from now on, in everything that leaves this process's kernel."""
    known.add(value)


def hide_named(name: str, value: object) -> None:
    """Mask a value whose name is that of a secret; in any other value, mask passwords of URLs and secrets in JSON."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            hide_named(name if is_secret(name) else str(key), each)
    elif isinstance(value, list | tuple):
        for each in value:
            hide_named(name, each)
    elif is_secret(name):
        known.add(value)
    elif isinstance(value, str):
        for password in _PASSWORD.findall(value):
            known.add(password)
            known.add(unquote(password))
        if value.lstrip().startswith(("{", "[")):
            with contextlib.suppress(ValueError, RecursionError):
                hide_named("", json.loads(value))


def mask(text: str) -> str:
    """Return the text with `***` in place of the secret values that this process knows, and of passwords in URLs."""
    return known.mask(without_passwords(text))


def masked(data: Any) -> Any:
    """Return data (texts, lists, mappings); in every text, the secret values that this process knows are masked."""
    return known.masked(data)
