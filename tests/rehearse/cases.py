"""Small notebooks: each of `FAULTS` has one planted fault, those of `CLEAN` have none."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
from nbformat import v4


def png(*pixels: int, comment: bytes = b"") -> str:
    """Return a grey image of one row, in base64."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", len(pixels), 1, 8, 0, 0, 0, 0))
    text = chunk(b"tEXt", b"Comment\0" + comment) if comment else b""
    data = chunk(b"IDAT", zlib.compress(b"\0" + bytes(pixels)))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + head + text + data + chunk(b"IEND", b"")).decode()


SHOW_PNG = "from IPython.display import Image, display\nimport base64\n"


def show(image: str) -> str:
    """Return the code that displays an image."""
    return f"{SHOW_PNG}display(Image(data=base64.b64decode('{image}')))"


TABLE = "<table><thead><tr><th></th><th>price</th></tr></thead><tbody><tr><th>pear</th><td>{}</td></tr></tbody></table>"


def show_table(value: object) -> str:
    """Return the code that displays a table of one cell."""
    return f"from IPython.display import HTML, display\ndisplay(HTML('{TABLE.format(value)}'))"


def cell(
    source: str, printed: str = "", *, count: int | None = 0, result: str = "", html: str = "", image: str = ""
) -> Any:
    """Return a code cell with saved outputs; count 0 stands for its position."""
    outputs = []
    if printed:
        outputs.append(v4.new_output("stream", name="stdout", text=printed))
    if result:
        outputs.append(v4.new_output("execute_result", data={"text/plain": result}, execution_count=1))
    if html:
        outputs.append(v4.new_output("display_data", data={"text/html": html, "text/plain": "<HTML>"}))
    if image:
        outputs.append(v4.new_output("display_data", data={"image/png": image, "text/plain": "<Image>"}))
    return v4.new_code_cell(source, execution_count=count, outputs=outputs)


def notebook(cells: Sequence[Any]) -> Any:
    """Return a notebook of these cells; a text stands for a cell without outputs."""
    made = [cell(each) if isinstance(each, str) else each for each in cells]
    for number, each in enumerate(made, 1):
        if each.execution_count == 0:
            each.execution_count = number
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=made, metadata={"kernelspec": kernel})


def write(folder: Path, cells: Sequence[Any], files: Mapping[str, str] | None = None) -> Path:
    """Write a notebook, and beside it the pinned packages and other files; return the notebook's path."""
    (folder / "requirements.txt").write_text(f"numpy=={version('numpy')}\n")
    for name, text in (files or {}).items():
        (folder / name).write_text(text)
    made = notebook(cells)
    for each in made.cells:
        each.source = each.source.replace("{folder}", str(folder))
    path = folder / "churn.ipynb"
    nbformat.write(made, path)
    return path


@dataclass(frozen=True)
class Fault:
    """A notebook with one fault, and the finding about it."""

    cells: Sequence[Any]
    kind: str
    at: int | None  # number of the cell in the file, from 0
    line: int | None = None
    weight: str = "error"
    says: str = ""  # a part of the message or of the evidence
    files: Mapping[str, str] = field(default_factory=dict)  # key: name of a file beside the notebook; value: its text


FAULTS: dict[str, Fault] = {
    # outputs
    "a number differs from the saved one": Fault(
        [cell("total = 41.0 + 1\nprint('total', total)", "total 42.001\n")], "output", 0, says="42.001"
    ),
    "a table differs in one cell": Fault(
        [cell(show_table(1.26), html=TABLE.format(1.25))], "output", 0, says="row pear, column price"
    ),
    "an image shows something else": Fault(
        [cell(show(png(0, 255, 0)), image=png(0, 0, 0))], "output", 0, says="pixels differ"
    ),
    "the order of a set is printed": Fault(
        [cell("print(list({'ann', 'bob', 'cleo', 'dan', 'eve', 'finn'}))", "['ann']\n")], "output", 0, says="two runs"
    ),
    "each run appends to a file": Fault(
        [
            "with open('log.txt', 'a') as log:\n    log.write('run\\n')",
            cell("print(len(open('log.txt').readlines()))", "1\n"),
        ],
        "output",
        1,
        says="'1' became '2'",
    ),
    "a cell fails": Fault(["x = 1", "y = x / 0"], "failure", 1, 1, says="ZeroDivisionError"),
    "a file is missing": Fault(["rows = open('orders.csv').readlines()"], "failure", 0, 1, says="orders.csv"),
    # hidden state
    "cells ran out of order": Fault(
        [cell("x = 1", count=3), cell("x = 2", count=2), cell("print(x)", "1\n", count=4)],
        "order",
        1,
        says="cell 3 differs from its saved output",
    ),
    "a name is set below its use": Fault(
        [cell("print(rate * 2)", "4\n", count=2), cell("rate = 2", count=1)], "order", 0, 1, says="reads rate"
    ),
    "a deleted cell set a name": Fault(
        [cell("x = 1", count=1), cell("print(x + offset)", "3\n", count=3)], "name", 1, 1, says="offset"
    ),
    "a cell was added after the last run": Fault(
        [cell("x = 1"), cell("x = 3", count=None), cell("print(x)", "1\n", count=2)], "edit", 1, says="has not run"
    ),
    "a cell lost the line that printed": Fault(
        [cell("x = 5", "5\n")], "edit", 0, says="printed or displayed something"
    ),
    "a cell's result is now assigned": Fault([cell("y = 3", result="3")], "edit", 0, says="has a result"),
    "a text was edited after the last run": Fault(
        [cell("name = 'Ann'"), cell("print('hello', name)", "hello Bob\n")], "output", 1, says="was edited"
    ),
    # randomness
    "numpy draws without a seed": Fault(
        ["import numpy as np", "x = np.random.rand(3)", cell("print(x.sum())", "1.5\n")],
        "random",
        1,
        1,
        says="cell 3 differs between two runs",
    ),
    "random draws without a seed": Fault(
        ["import random", "\nx = random.random()"], "random", 1, 2, "warning", says="global generator of random"
    ),
    "a library draws from the global generator": Fault(
        [
            "import numpy as np\nimport draws",
            cell("print(round(draws.sample(), 9))", "0.5\n"),
        ],
        "random",
        1,
        says="numpy.random",
        files={"draws.py": "import numpy\n\ndef sample():\n    return float(numpy.random.normal())\n"},
    ),
    "a generator has no seed": Fault(
        ["import numpy as np\nrng = np.random.default_rng()"], "random", 0, 2, "warning", says="has no seed"
    ),
    "an id is new each time": Fault(
        ["import uuid", cell("print(uuid.uuid4())", "6d1a\n")], "random", 1, 1, says="uuid.uuid4"
    ),
    # the clock
    "the current time is printed": Fault(
        [cell("from datetime import datetime\nprint(datetime.now())", "2026\n")], "clock", 0, 2, says="current time"
    ),
    "the current date chooses data": Fault(
        ["import datetime as dt\ntoday = dt.date.today()\nname = f'orders-{today}.csv'"], "clock", 0, 2, "warning"
    ),
    "a measured duration is printed": Fault(
        [cell("import time\nt = time.perf_counter()\nprint(time.perf_counter() - t)", "0.1\n")],
        "clock",
        0,
        says="measures a duration",
    ),
    "a time is shown in the local zone": Fault(
        [cell("from datetime import datetime\nprint(datetime.fromtimestamp(0))", "1970-01-01 00:00:00\n")],
        "clock",
        0,
        2,
        says="time zone",
    ),
    # the locale
    "the user's locale is used": Fault(
        ["import locale\nused = locale.setlocale(locale.LC_ALL, '')"], "locale", 0, 2, "warning"
    ),
    "a locale may be missing": Fault(
        ["import locale\ntry:\n    locale.setlocale(locale.LC_ALL, 'de_DE.UTF-8')\nexcept locale.Error:\n    pass"],
        "locale",
        0,
        3,
        "warning",
        says="de_DE.UTF-8",
    ),
    # the machine
    "a file is in the user's home": Fault(
        ["from pathlib import Path\nfolder = Path.home() / 'data'"], "home", 0, 2, "warning"
    ),
    "a path begins with ~": Fault(
        ["import os\npath = os.path.expanduser('~/data/orders.csv')"], "home", 0, 2, "warning"
    ),
    "the user's name is read": Fault(["import os\nwho = os.environ.get('USER')"], "home", 0, 2, "warning", says="USER"),
    "a path is absolute": Fault(
        ["path = '{folder}/orders.csv'\nrows = open(path).readlines()"],
        "path",
        0,
        1,
        "warning",
        files={"orders.csv": "1\n"},
    ),
    "a path is that of Windows": Fault([r"path = r'C:\Users\ann\orders.csv'"], "path", 0, 1, "warning"),
    # packages
    "a module is not installed": Fault(["import no_such_module_of_ours"], "package", 0, 1, says="is not installed"),
    "a package is not pinned": Fault(
        ["\nimport numpy as np"],
        "package",
        0,
        2,
        "warning",
        says="does not pin",
        files={"requirements.txt": "numpy>=1\n"},
    ),
    "another version is pinned": Fault(
        ["import numpy"], "package", 0, 1, "warning", says="pins 1.0", files={"requirements.txt": "numpy==1.0\n"}
    ),
    "the notebook installs a package": Fault(
        ["if False:\n    get_ipython().run_line_magic('pip', 'install left-pad')"],
        "package",
        0,
        2,
        "warning",
        says="installs left-pad",
    ),
    # the network
    "a host is contacted": Fault(
        ["import socket\ntry:\n    socket.create_connection(('host.invalid', 80), 1)\nexcept OSError:\n    pass"],
        "network",
        0,
        3,
        "note",
        says="host.invalid",
    ),
    "a database is named": Fault(
        ["url = 'postgresql+psycopg://ann@db.invalid:5432/orders'"], "network", 0, 1, "note", says="db.invalid"
    ),
    "a command contacts a host": Fault(
        ["if False:\n    !curl -s https://data.invalid/orders.csv"], "network", 0, 2, "note", says="data.invalid"
    ),
}

CLEAN: dict[str, Sequence[Any]] = {
    "prints and results": ["x = 20", cell("print('x is', x)", "x is 20\n"), cell("x + 22", result="42")],
    "seeded randomness": [
        "import random\nimport numpy as np\nrandom.seed(1)\nrng = np.random.default_rng(0)",
        cell("print(rng.integers(10, size=3), random.randint(1, 6))", "[8 6 5] 2\n"),
    ],
    "a tiny difference of a float": [cell("print(0.1 + 0.2)", "0.3\n")],
    "addresses and progress bars": [
        cell("print(object())", "<object object at 0x7fffffff0000>\n"),
        cell(
            "import sys\nprint('50%|█████     | 1/2 [00:00<00:00, 9.1it/s]\\r100%|██████████| 2/2 [00:00<00:00, 9.9it/s]')",
            "50%|█████     | 1/2 [00:01<00:00, 1.1it/s]\r100%|██████████| 2/2 [00:01<00:00, 1.9it/s]\n",
        ),
    ],
    "a table": [cell(show_table(1.25), html=TABLE.format("1.2500000001"))],
    "an image with another comment": [cell(show(png(0, 9, 255, comment=b"new")), image=png(0, 9, 255, comment=b"old"))],
    "files beside the notebook": [
        "from pathlib import Path\nsize = Path('out.txt').write_text('3 rows')",
        cell("with open('out.txt') as file:\n    print(file.read())", "3 rows\n"),
        cell("print(len(open('in.csv').readlines()))", "2\n"),
    ],
    "durations that are not shown": [
        "import time\nstart = time.time()",
        cell("total = sum(range(10))\nseconds = time.time() - start\nprint(total)", "45\n"),
    ],
    "functions, and names that branches set": [
        "def double(x):\n    return 2 * x\n\nif True:\n    limit = 4",
        cell("values = sorted({double(n) for n in range(limit)})\nprint(values)", "[0, 2, 4, 6]\n"),
    ],
    "cleared outputs": [cell("x = [1]", count=None), cell("x.append(2)\nprint(x)", count=None)],
    "routes and units, which are not paths": [
        cell("route = '/api/v1/orders'\nunit = '/month'\nprint(route, unit)", "/api/v1/orders /month\n")
    ],
    "a pinned package": ["import numpy as np", cell("print(np.arange(3).sum())", "3\n")],
}
