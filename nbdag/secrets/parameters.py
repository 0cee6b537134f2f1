"""Secret parameters: a run records the name of the secret, never its value.

A parameter is secret because of its name (`password`, `api_key`), because the parameters cell says so
(`key: nbdag.Secret = ""`, or `key: Annotated[str, nbdag.Secret]`), or because its value is a URL with a password. The
value can be given in two ways:

    -p password secret:WAREHOUSE     by the name of a secret, which each process of the run looks up
    -p password hunter2              directly: the process that executes the run keeps the value, and its child
                                     processes get it in their environment under a new name, such as
                                     NBDAG_SECRET_PASSWORD_3F2A1B

A run records `{"$secret": "WAREHOUSE", "shown": "***"}`. So a value that was given directly is lost when its run has
ended; retries still get it. To clear or resume the run later, first set the variable with the new name. For a run that
another process executes (`trigger`, `backfill`), only the name of a secret is accepted.
"""

from __future__ import annotations

import json
import re
import secrets as tokens
from collections.abc import Collection, Mapping
from typing import Any

from ..core.model.secret_names import MASK, is_reference, is_secret, masked_value, reference
from ..errors import Fail, NbdagError, error
from .lookup import UnknownSecretError, secret
from .masker import hide, hide_named
from .sources import GIVEN, Kind, keys_of

_BY_NAME = "secret:"
_NAME = re.compile(r"[^\W\d][\w.-]{0,199}")


@error
class SecretParameterError(NbdagError):
    """A secret parameter must be given as the name of a secret, because another process executes the run."""

    exit_code = 2

    name: str
    template = (
        "parameter {name!r} is secret, so its value is not stored with the run; set {variable} where the scheduler "
        "runs, and pass the name: -p {name} secret:{upper}"
    )

    @property
    def upper(self) -> str:
        return self.name.upper()

    @property
    def variable(self) -> str:
        """The environment variable of this secret."""
        return keys_of(Kind.SECRET, self.name)[0]


@error
class SecretParameterGoneError(Fail):
    """The value of a secret parameter was given to a process that has ended."""

    name: str
    why: str
    template = "the value of the secret parameter {name!r} is not stored with the run: {why}"


def without_secrets(
    given: Mapping[str, Any], marked: Collection[str] = (), *, stays_here: bool = True
) -> dict[str, Any]:
    """Return parameters with references in place of secret values, and mask these values from now on.

    `marked` are the names that the parameters cell marks as secret. With `stays_here`, this process executes the run
    and keeps the values; otherwise, a secret value raises `SecretParameterError`.
    """
    return {name: _recorded(name, value, name in marked, stays_here) for name, value in given.items()}


def resolved(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters in which references are replaced by the values of their secrets.

    Raises `SecretParameterGoneError`.
    """
    return {name: _resolved(name, value) if is_reference(value) else value for name, value in parameters.items()}


def check_available(parameters: Mapping[str, Any]) -> None:
    """Raise `SecretParameterGoneError` if a secret to which the parameters refer is unknown here."""
    resolved({name: value for name, value in parameters.items() if is_reference(value)})


def _recorded(name: str, value: Any, marked: bool, stays_here: bool) -> Any:
    if is_reference(value) or value is None or value == "":
        return value
    shown = masked_value(name, value)
    # `is`, because NaN does not equal itself.
    if not marked and (shown is value or shown == (list(value) if isinstance(value, tuple) else value)):
        return value
    is_whole = marked or is_secret(name)
    if is_whole and isinstance(value, str) and value.startswith(_BY_NAME):
        by_name = value.removeprefix(_BY_NAME)
        if _NAME.fullmatch(by_name):
            if stays_here:
                secret(by_name)  # raises an error if the secret is unknown
            return reference(by_name)
    if not stays_here:
        raise SecretParameterError(name)
    text = value if isinstance(value, str) else json.dumps(value)
    hide_named("secret" if is_whole else name, value)
    hide(text)
    return reference(_keep(name, text), shown=MASK if is_whole else shown, json=not isinstance(value, str))


def _keep(parameter: str, text: str) -> str:
    """Keep a value for this process and its child processes. Return the name under which these processes look it up."""
    prefix = keys_of(Kind.SECRET, f"{parameter}_")[0]
    for variable, kept in GIVEN.items():
        if variable.startswith(prefix) and kept == text:
            return variable.removeprefix("NBDAG_SECRET_")
    variable = f"{prefix}{tokens.token_hex(3).upper()}"
    GIVEN[variable] = text
    return variable.removeprefix("NBDAG_SECRET_")


def _resolved(name: str, value: Mapping[str, Any]) -> Any:
    try:
        text = secret(value["$secret"])
    except UnknownSecretError as error:
        raise SecretParameterGoneError(name, str(error)) from None
    return json.loads(text) if value.get("json") else text
