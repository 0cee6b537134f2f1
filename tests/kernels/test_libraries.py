"""Libraries that the fork server has preloaded work in forked kernels."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from live import kernel, run

USES = {
    "numpy": "import numpy as np; a = np.random.rand(400, 400); print(bool(np.allclose(a @ np.linalg.inv(a), np.eye(400), atol=1e-4)))",
    "scipy.linalg": "import numpy as np, scipy.linalg as s; a = np.random.rand(300, 300); print(s.svdvals(a).shape == (300,))",
    "sklearn.ensemble": """
        from sklearn.datasets import make_classification
        from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
        from sklearn.cluster import KMeans
        X, y = make_classification(400, random_state=0)
        HistGradientBoostingClassifier(max_iter=5).fit(X, y)              # OpenMP
        KMeans(3, n_init=1).fit(X)                                        # OpenMP and BLAS
        RandomForestClassifier(10, n_jobs=2).fit(X, y)                    # joblib's threads
        print(True)
    """,
    "joblib": """
        import joblib
        print(joblib.Parallel(2, prefer="threads")(joblib.delayed(abs)(-n) for n in range(8)) == list(range(8)))
        print(joblib.Parallel(2)(joblib.delayed(abs)(-n) for n in range(8)) == list(range(8)))
    """,
    "pandas": "import pandas as pd; f = pd.DataFrame({'a': range(9999), 'b': 1}); print(int(f.groupby('b').a.sum().iloc[0]) == 49985001)",
    "pyarrow.parquet": """
        import pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq
        pq.write_table(pa.table({"a": list(range(100000))}), "t.parquet")
        print(pc.sum(pq.read_table("t.parquet", use_threads=True)["a"]).as_py() == 4999950000)
    """,
    "polars": """
        import polars as pl
        f = pl.DataFrame({"a": range(100000)}).lazy().with_columns(b=pl.col("a") % 7).group_by("b").agg(pl.sum("a"))
        print(f.collect()["a"].sum() == 4999950000)
    """,
    "duckdb": "import duckdb; print(duckdb.sql('select sum(range) from range(100000)').fetchall() == [(4999950000,)])",
    "sqlite3": "import sqlite3; print(sqlite3.connect('x.db').execute('select 40 + 2').fetchone() == (42,))",
    "ssl": "import ssl; print(len(ssl.RAND_bytes(8)) == 8 and ssl.create_default_context() is not None)",
    "asyncio": """
        import asyncio
        async def f(n):
            await asyncio.sleep(0.01)
            return n
        print(await asyncio.gather(f(1), f(2)) == [1, 2])
        process = await asyncio.create_subprocess_exec("echo", "hello", stdout=asyncio.subprocess.PIPE)
        print((await process.communicate())[0] == b"hello\\n")
    """,
    "concurrent.futures": """
        import concurrent.futures as c
        with c.ThreadPoolExecutor(4) as pool:
            print(list(pool.map(abs, [-1, -2])) == [1, 2])
        with c.ProcessPoolExecutor(2) as pool:
            print(list(pool.map(abs, [-1, -2])) == [1, 2])
    """,
    "multiprocessing": """
        import multiprocessing
        for method in ("fork", "spawn", "forkserver"):
            with multiprocessing.get_context(method).Pool(2) as pool:
                print(pool.map(abs, [-1, -2]) == [1, 2])
    """,
    "subprocess": "import subprocess; print(subprocess.run(['echo', 'hello'], capture_output=True).stdout == b'hello\\n')",
}


# These start processes: they have a kernel of their own, because a fork may hang where libraries run threads.
STARTS_PROCESSES = ("joblib", "asyncio", "concurrent.futures", "multiprocessing", "subprocess")


@pytest.fixture(scope="module")
def use(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return a function that gives what the use of a library prints in a forked kernel.

    Two kernels run the uses of all libraries, one after another.
    """

    async def live(modules: Sequence[str]) -> dict[str, str]:
        found = {}
        async with kernel(*USES, cwd=str(tmp_path_factory.mktemp("libraries"))) as forked:
            assert forked.manager.is_forked
            preloaded = (await forked.run(f"import sys; print(*(set({list(modules)!r}) & set(sys.modules)))")).split()
            for module in modules:
                if importlib.util.find_spec(module.partition(".")[0]) is None:
                    continue
                if module not in preloaded:
                    found[module] = "not preloaded"
                    continue
                try:
                    found[module] = await forked.run(USES[module])
                except AssertionError as error:
                    found[module] = str(error)
        return found

    @cache
    def both() -> dict[str, str]:
        others = [module for module in USES if module not in STARTS_PROCESSES]
        return run(lambda: live(STARTS_PROCESSES)) | run(lambda: live(others))

    return lambda module: both()[module]


@pytest.mark.parametrize("module", USES)
def test_a_preloaded_library_works_in_the_kernel(module: str, use: Callable[[str], str]) -> None:
    pytest.importorskip(module)
    printed = use(module)
    assert set(printed.split()) == {"True"}, printed


@pytest.mark.slow
def test_figures_appear_inline_and_matplotlibrc_applies(tmp_path):
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 7.5\n")
    pytest.importorskip("matplotlib")

    async def live() -> None:
        async with kernel("matplotlib.pyplot", cwd=str(tmp_path)) as forked:
            said = await forked.messages("import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
            assert [sorted(content["data"]) for kind, content in said if kind == "display_data"] == [
                ["image/png", "text/plain"]
            ]
            assert await forked.run("print(plt.rcParams['lines.linewidth'])") == "7.5\n"

    run(live)
