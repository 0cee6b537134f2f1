"""The process that loads one stored value and prints its MIME bundle as JSON; `preview` starts it.

Loading a value executes code of the user: it imports modules and rebuilds objects. So the server itself never loads a
value. The request is JSON on the standard input. Text that the user's code prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from ..errors import NbdagError
from ..home import Home
from ..runs import load


def main() -> None:
    """Answer the request."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answer:
        os.dup2(2, 1)
        json.dump(_answer(json.load(sys.stdin)), answer)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    home = Home(Path(request["home"]), request["url"], request["storage"])
    which = {"run": request["run"], "task": request["task"]}
    try:
        instances = [load(request["dag"], home=home, map_index=each, **which) for each in request["map_indexes"]]
    except NbdagError as error:
        return {"error": str(error)}
    except BaseException as error:  # the user's code may raise anything
        return {"error": f"{type(error).__name__}: {error}"}
    name = request["name"]
    if name not in instances[0]:
        return {"missing": sorted(instances[0])}
    values = [each[name] for each in instances]
    return {"bundle": _bundle(values if len(values) > 1 else values[0])}


def _bundle(value: object) -> dict[str, Any]:
    """Return the texts and images that a notebook shows for a value; the user's code may compute them."""
    from IPython.core.interactiveshell import InteractiveShell

    formatter = InteractiveShell.instance().display_formatter
    try:
        bundle = {} if formatter is None else formatter.format(value)[0]
    except BaseException:
        bundle = {}
    return {mime: data for mime, data in bundle.items() if isinstance(data, str)} or {"text/plain": repr(value)}


if __name__ == "__main__":
    main()
