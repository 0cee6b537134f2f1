"""A kernel with preloaded libraries equals an ordinary one: settings, formatters, displays, and what imports keep."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from live import kernel, run

from nbdag.kernels.forkserver.client import Server
from nbdag.kernels.jupyter.provisioner import kernel_server_spec

# Each library: code that sets `found` to its settings, and a display.
LIBRARIES = {
    "pandas": """
        import pandas as pd
        found = {key: repr(pd.get_option(key)) for key in pd._config.config._registered_options if "chained" not in key}
        display(pd.DataFrame({f"column {n}": range(3) for n in range(60)}))
        print(pd.DataFrame({f"column {n}": range(3) for n in range(60)}))
    """,
    "numpy": """
        import numpy as np
        found = {**{k: repr(v) for k, v in np.get_printoptions().items()}, **np.geterr()}
        display(np.arange(3000).reshape(3, 1000))
    """,
    "matplotlib.pyplot": """
        import matplotlib, matplotlib.pyplot as plt
        found = {key: repr(value) for key, value in matplotlib.rcParams.items()}
        found |= {"backend": matplotlib.get_backend(), "interactive": str(plt.isinteractive())}
        figure = plt.figure(figsize=(1, 1), dpi=20)
        plt.plot([1, 2, 3])
        plt.show()
    """,
    "sklearn": """
        import sklearn, sklearn.linear_model
        found = {key: repr(value) for key, value in sklearn.get_config().items()}
        display(sklearn.linear_model.LinearRegression().__repr__())
    """,
    "pyarrow": "import pyarrow as pa\nfound = {'pool': pa.default_memory_pool().backend_name}\ndisplay(pa.table({'a': [1, 2]}))",
    "polars": """
        import polars as pl
        found = {key: repr(value) for key, value in pl.Config.state().items()}
        display(pl.DataFrame({f"column {n}": [1] for n in range(30)}))
    """,
    "duckdb": """
        import duckdb
        names = "('threads', 'memory_limit', 'TimeZone', 'default_order', 'enable_progress_bar', 'enable_progress_bar_print')"
        found = dict(duckdb.sql(f"select name, value from duckdb_settings() where name in {names}").fetchall())
        print(duckdb.sql("select 1 as a"))
    """,
    "scipy.stats": "import numpy as np, scipy.stats\nfound = {}\ndisplay(scipy.stats.norm(0, 1).ppf(0.975))",
    "rich": """
        import rich, rich.console
        console = rich.console.Console()
        found = {name: repr(getattr(console, name)) for name in ("is_jupyter", "is_terminal", "width", "color_system")}
        found["folder"] = str(rich._IMPORT_CWD == __import__("os").getcwd())
        rich.print("[bold]hello[/bold]")
    """,
    "tqdm.auto": """
        import tqdm.auto
        found = {"class": repr(tqdm.auto.tqdm.__mro__)}
        tqdm.auto.tqdm(range(3), bar_format="{n}").close()
    """,
    "ipywidgets": """
        import ipywidgets, comm
        found = {"targets": sorted(comm.get_comm_manager().targets)}
        display(type(ipywidgets.IntSlider()).__name__)
    """,
    "logging": "import logging, sys\nfound = {'stream': repr(type(logging.lastResort.stream))}\nlogging.warning('a warning')",
}
COMMON = """
    import builtins, json, os, sys, __main__
    shell = get_ipython()
    formatters = shell.display_formatter.formatters
    found |= {
        "formatters": {k: sorted(map(str, [*f.type_printers, *f.deferred_printers])) for k, f in formatters.items()},
        "events": {k: [getattr(each, "__qualname__", "") for each in v] for k, v in shell.events.callbacks.items()},
        "magics": {kind: sorted(names) for kind, names in shell.magics_manager.magics.items()},
        "types": [str(type(each)) for each in (shell, shell.kernel, sys.stdout, sys.stderr, sys.stdin, sys.displayhook)],
        "main": [__main__ is sys.modules["__main__"], hasattr(__main__, "__file__"), vars(__main__) is globals()],
        "names": sorted(set(globals()) - {"nbdag"}),
        "argv": [sys.argv[0], *sys.argv[3:]],
        "streams": [sys.stdout.isatty(), sys.stdout.encoding, sys.stdin.isatty()],
        "variables": sorted(set(os.environ) - {"JPY_PARENT_PID"}),
        "builtins": sorted(set(vars(builtins)) - {"_"}),
        "hook": str(sys.excepthook)[:30],
    }
    _ = open(name, "w").write(json.dumps(found, default=str))
"""


Shown = tuple[object, object]  # what a library's code has found, and the messages of its cell


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Shown, Shown]]:
    """Return a function that gives what a library shows in a forked kernel, and in an ordinary one.

    Two kernels run the code of all libraries, one library after another.
    """
    installed = [name for name in LIBRARIES if importlib.util.find_spec(name.partition(".")[0]) is not None]
    first = f"name = 'found'\nimport {', '.join(installed)}"  # a library may see whether another one is imported

    async def live(*, warm: bool) -> dict[str, Shown]:
        folder = tmp_path_factory.mktemp("same")
        found = {}
        async with kernel(*LIBRARIES, warm=warm, cwd=str(folder)) as made:
            assert made.manager.is_forked is warm
            for module in installed:
                said = await made.messages(f"{first}\n{textwrap.dedent(LIBRARIES[module])}\n{textwrap.dedent(COMMON)}")
                assert (folder / "found").exists(), said
                found[module] = json.loads((folder / "found").read_text()), _comparable(said)
                (folder / "found").unlink()
        return found

    @cache
    def both() -> tuple[dict[str, Shown], dict[str, Shown]]:
        return run(lambda: live(warm=True)), run(lambda: live(warm=False))

    return lambda module: (both()[0][module], both()[1][module])


@pytest.mark.parametrize("module", LIBRARIES)
def test_a_preloaded_library_has_the_settings_and_displays_of_an_ordinary_kernel(
    module: str, shown: Callable[[str], tuple[Shown, Shown]]
) -> None:
    pytest.importorskip(module)
    (warm, warm_said), (plain, plain_said) = shown(module)
    assert warm == plain
    assert warm_said == plain_said


def _comparable(said: list[tuple[str, dict]]) -> list[object]:
    """Return messages without ids and counters; text in pieces as one."""
    found: list[object] = []
    for kind, content in said:
        if kind == "stream":
            found.append([content["name"], re.sub(r"ipykernel_\d+", "ipykernel", content["text"])])
        elif kind in ("display_data", "execute_result"):
            found.append([kind, {k: v for k, v in content["data"].items() if "widget" not in k}])
        elif kind not in ("execute_input", "status") and not kind.startswith("comm"):
            found.append([kind, content.get("evalue")])
    return found


# What a module keeps when it is imported, and whether the server may preload it.
KEEPS = {
    "pid": ("import os\nPID = os.getpid()", True),
    "text": ("import os\nNAME = f'lock-{os.getpid()}'", True),
    "time": ("import time\nSTART = time.time()\nclass Clock:\n    began = time.monotonic()", True),
    "folder": ("import os, pathlib\nHERE = os.path.abspath('data')\nPATH = pathlib.Path.cwd()", True),
    "uuid": ("import uuid\nSESSION = uuid.uuid4()", True),
    "generator": (
        "import random\nRNG = random.Random()\ndef f(rng=random.Random()): return rng\nFIXED = random.Random(1)",
        True,
    ),
    "numpy": (
        "import numpy as np\nRNG = np.random.default_rng()\nOLD = np.random.RandomState()\nFIXED = np.random.default_rng(1)",
        True,
    ),
    "stamp": ("import time\nSTAMP = f'{time.time():.0f}'", False),
    "token": ("import secrets\nTOKEN = secrets.token_hex(16)", False),
    "variable": ("import os\nEDITOR = os.environ.get('VSCODE_PID')", False),
    "shell": ("SHELL = get_ipython()", False),
    "formatter": ("get_ipython().display_formatter.formatters['text/html'].for_type(complex, str)", False),
    "event": ("get_ipython().events.register('pre_run_cell', str)", False),
    "main": ("import __main__\nMAIN = __main__", True),
    "stream": ("import sys\ndef show(file=sys.stdout): print('hello', file=file)", True),
    "seeded": ("import random\nRNG = random.Random(1)\nFIRST = RNG.random()", True),
}
LOOKS = """
import json, os, sys, time, {modules}
print(json.dumps({{
    "pid": pid.PID == os.getpid(),
    "text": text.NAME == f"lock-{{os.getpid()}}",
    "time": [0 <= time.time() - time_.START < 300, 0 <= time.monotonic() - time_.Clock.began < 300],
    "folder": [folder.HERE == os.path.abspath("data"), str(folder.PATH) == os.getcwd()],
    "stamp": -1 <= time.time() - int(stamp.STAMP) < 300,
    "variable": variable.EDITOR == os.environ.get("VSCODE_PID"),
    "shell": shell.SHELL is get_ipython(),
    "formatter": complex in get_ipython().display_formatter.formatters["text/html"].type_printers,
    "event": str in get_ipython().events.callbacks["pre_run_cell"],
    "main": main.MAIN is sys.modules["__main__"] and vars(main.MAIN) is globals(),
    "stream": stream.show.__defaults__[0] is sys.stdout,
}}))
print(uuid_.SESSION, token.TOKEN, generator.RNG.random(), generator.f().random(), numpy_.RNG.random(), numpy_.OLD.rand())
print(seeded.RNG.random(), generator.FIXED.random(), numpy_.FIXED.random())
"""


@pytest.mark.slow
def test_what_an_import_keeps_of_its_process_is_renewed_or_left_to_the_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, (source, _) in KEEPS.items():
        (tmp_path / f"keeps_{name}.py").write_text(source + "\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    modules = [f"keeps_{name}" for name in KEEPS]
    names = {"time": "time_", "uuid": "uuid_", "numpy": "numpy_"}
    code = LOOKS.format(modules=", ".join(f"keeps_{name} as {names.get(name, name)}" for name in KEEPS))

    async def live(variable: str) -> list[str]:
        monkeypatch.setenv("VSCODE_PID", variable)
        async with kernel(*modules, cwd=str(tmp_path)) as made:
            assert made.manager.is_forked
            said = (await made.run(code)).splitlines()
            assert (await made.messages("keeps = stream.show()"))[-1][1]["text"] == "hello\n"
            return said

    first, second = run(lambda: live("1")), run(lambda: live("2"))
    for said in (first, second):
        assert {key for key, value in json.loads(said[0]).items() if value not in (True, [True, True])} == set()
    assert not set(first[1].split()) & set(second[1].split())
    assert first[2] == second[2]
    status = Server.connect(kernel_server_spec(modules)).status(60)
    assert set(status.modules) == {f"keeps_{name}" for name, (_, preloaded) in KEEPS.items() if preloaded}
