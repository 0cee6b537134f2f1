"""State without a name, in real kernels: notebooks whose plain run differs are reported, and ordinary ones are not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import nbformat
import pytest
from preloading import share_one_server

import nbdag
from nbdag.home import Home

Cells = tuple[str, ...]

# The notebook; what `check` reports as (code, task); what the run reports as (code, name) of each task.
CASES: dict[str, tuple[Cells, set[tuple[str, str]], Mapping[str, set[tuple[str, str]]]]] = {
    "settings of libraries": (
        (
            "import pandas as pd, numpy as np, warnings, decimal, sys, logging",
            "%%task t1\n"
            "pd.set_option('display.max_rows', 4)\n"
            "np.set_printoptions(precision=2)\n"
            "warnings.simplefilter('error')\n"
            "decimal.getcontext().prec = 4\n"
            "sys.path.insert(0, '/opt/mine')\n"
            "logging.basicConfig(level=logging.INFO, stream=sys.stdout, format='%(message)s')\n"
            "np.seterr(divide='raise');",
            "%%task t2\n"
            "print(pd.get_option('display.max_rows'), np.array([1/3]), decimal.Decimal(1) / 3, '/opt/mine' in sys.path)\n"
            "logging.info('hello log')\n"
            "warnings.warn('w')\n"
            "print(np.geterr()['divide'])",
        ),
        {("NB460", "t1")},
        {
            "t1": {
                ("NB440", key)
                for key in (
                    "pandas/settings",
                    "numpy/settings",
                    "warnings/filters",
                    "decimal/context",
                    "sys/path",
                    "logging/settings",
                )
            }
        },
    ),
    "settings that a module of the user changes": (
        (
            "import pandas as pd, logging\nimport hidden",
            "%%task a\nhidden.configure()",
            "%%task b\nprint(pd.DataFrame({'x': range(50)}))\nlogging.getLogger('app').info('hello')",
        ),
        set(),
        {
            "a": {
                ("NB440", key)
                for key in ("pandas/settings", "logging/settings", "os/environment", "os/umask", "ipython/settings")
            }
        },
    ),
    "a module's attributes": (
        (
            "%%task modset\nimport loc_mod2\nloc_mod2.STATE.append(1)\nloc_mod2.N = 5",
            "%%task modset2\nimport loc_mod2\nprint(loc_mod2.STATE, loc_mod2.N)",
        ),
        {("NB462", "modset")},
        {"modset": {("NB442", "loc_mod2")}},
    ),
    "a module's attributes, changed by its function": (
        ("import loc_mod2", "%%task a\nloc_mod2.grow()", "%%task b\nprint(loc_mod2.STATE)"),
        set(),
        {"a": {("NB442", "loc_mod2")}},
    ),
    "counters and generators of a module": (
        (
            "import counting\nfrom counting import Ticket",
            "%%task a\nfirst = counting.number(), counting.draw(), Ticket().made",
            "%%task b\nprint(counting.number(), counting.draw(), Ticket.made)",
        ),
        set(),
        {"a": {("NB442", "counting")}},
    ),
    "a library that a task patches": (
        (
            "%%task a\nimport collections, math\ncollections.Counter.shout = len\nmath.tau = 6",
            "%%task b\nimport collections, math\nprint(hasattr(collections.Counter, 'shout'), math.tau)",
        ),
        {("NB462", "a")},
        {},
    ),
    "a seed in a task": (
        (
            "import random, numpy as np",
            "%%task seed\nrandom.seed(1)\nnp.random.seed(1)",
            "%%task draw\na = random.random()\nb = np.random.rand()\nprint(a, b)",
            "%%task draw2\nprint(random.random(), np.random.rand())",
        ),
        {("NB461", "seed")},
        {
            "draw": {("NB441", "random/generator"), ("NB441", "numpy/generator")},
            "draw2": {("NB441", "random/generator"), ("NB441", "numpy/generator")},
        },
    ),
    "a seed that a module of the user sets": (
        ("import numpy as np\nimport hidden", "%%task a\nhidden.seed()", "%%task b\nx = np.random.rand()\nprint(x)"),
        set(),
        {"a": {("NB441", "numpy/generator")}},
    ),
    "a seed in setup, and two tasks that draw": (
        ("import numpy as np\nnp.random.seed(1)", "%%task a\nx = np.random.rand(5)", "%%task b\ny = np.random.rand(5)"),
        {("NB303", "")},
        {"a": {("NB441", "numpy/generator")}},
    ),
    "state of Python's own modules, and of sys.modules": (
        (
            "import abc, gc, signal, socket, sys, types\nclass Shape(abc.ABC): pass",
            "%%task a\n"
            "gc.disable()\n"
            "signal.signal(signal.SIGUSR1, signal.SIG_IGN)\n"
            "socket.setdefaulttimeout(5)\n"
            "sys.modules['made'] = types.ModuleType('made')\n"
            "sys.unraisablehook = print",
            "%%task b\nprint(gc.isenabled(), signal.getsignal(signal.SIGUSR1), socket.getdefaulttimeout())\n"
            "try:\n    import made\nexcept ImportError:\n    pass",
        ),
        {("NB460", "a")},
        {
            "a": {
                ("NB440", key)
                for key in ("gc/settings", "signal/handlers", "socket/timeout", "sys/modules", "sys/hooks")
            }
        },
    ),
    "an accessor of pandas": (
        (
            "import pandas as pd",
            "%%task a\n@pd.api.extensions.register_dataframe_accessor('mine')\nclass Mine:\n"
            "    def __init__(self, frame): self.frame = frame",
            "%%task b\nprint(hasattr(pd.DataFrame, 'mine'))",
        ),
        {("NB460", "a")},
        {"a": {("NB440", "pandas/accessors")}},
    ),
    "a generator within a closure": (
        (
            "import random\ndef dice():\n    rng = random.Random(0)\n    return lambda: rng.randint(1, 100)",
            "%%task a\nroll = dice()",
            "%%task b\nx = roll()",
            "%%task c\ny = roll()",
        ),
        set(),
        {"b": {("NB401", "roll")}},
    ),
    "magics that configure IPython": (
        (
            "%%task a\n%precision 2\n%alias greet echo hello",
            "%%task b\n1 / 3",
            "%%task c\n!echo hello",
        ),
        {("NB460", "a")},
        {"a": {("NB440", "ipython/settings"), ("NB440", "ipython/extensions")}},
    ),
    "the default connection of duckdb": (
        (
            "import duckdb",
            "%%task a\nquery = 'create table t as select 42 as x'\nduckdb.sql(query)",
            "%%task b\nprint(duckdb.sql('select 1'))",
        ),
        set(),
        {"a": {("NB440", "duckdb/default")}},
    ),
    "reset": (("x = 1", "%%task a\n%reset -f\nq1 = 5", "%%task b\nprint(q1)"), set(), {}),
}

# Ordinary notebooks, of which a warning would be wrong.
QUIET: dict[str, Cells] = {
    "plots and styles in setup": (
        "import numpy as np, pandas as pd\nimport matplotlib.pyplot as plt\nimport matplotlib as mpl\n"
        "%matplotlib inline\nplt.style.use('ggplot')\nmpl.rcParams['figure.figsize'] = (6, 4)\nplt.rc('font', size=9)",
        "%%task load\ndf = pd.DataFrame({'x': np.arange(50.0), 'g': np.arange(50) % 3})",
        "%%task hist\nfig, ax = plt.subplots()\ndf.hist(column='x', ax=ax)\nplt.title('x')\nplt.show()",
        "%%task bars\nax = df.groupby('g').x.mean().plot.bar()\nax.set_ylabel('mean')\nplt.tight_layout()",
        "%%task describe\ndf.plot(x='x', y='g', kind='scatter')\nplt.savefig('out.png')\ndf.describe()",
    ),
    "a seed in setup and generators given to models": (
        "import numpy as np\nfrom sklearn.linear_model import LogisticRegression\n"
        "from sklearn.model_selection import train_test_split\nnp.random.seed(42)",
        "%%task make\nX = np.random.rand(60, 2)\ny = (X.sum(axis=1) > 1).astype(int)",
        "%%task split\nX_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)",
        "%%task fit\nmodel = LogisticRegression().fit(X_train, y_train)",
        "%%task score\nprint(model.score(X_test, y_test))",
    ),
    "seeds that each task sets for itself": (
        "import random\nimport numpy as np",
        "%%task a\nrandom.seed(0)\nnp.random.seed(0)\nx = np.random.rand() + random.random()",
        "%%task b\nrandom.seed(1)\nnp.random.seed(1)\ny = np.random.rand() + random.random()\nprint(x)",
    ),
    "draws without a seed": (
        "import random, numpy as np, uuid, tempfile",
        "%%task a\nname = uuid.uuid4().hex\nx = np.random.rand(100_000)\nfolder = tempfile.gettempdir()",
        "%%task b\ny = np.random.permutation(len(x))\nrandom.shuffle(list(range(9)))\nprint(name)",
        "%%task c\nprint(len(y), random.random())",
    ),
    "options of pandas in setup, and a context in a task": (
        "import pandas as pd, numpy as np\npd.set_option('display.max_rows', 6)\npd.options.display.precision = 2\n"
        "pd.options.mode.copy_on_write = True\nnp.set_printoptions(precision=3)",
        "%%task load\ndf = pd.DataFrame({'x': range(90)})",
        "%%task show\nwith pd.option_context('display.max_rows', 2):\n    print(df)\n"
        "with np.printoptions(precision=1), np.errstate(all='ignore'):\n    print(np.log(np.array([0.0])))",
        "%%task again\ndf",
    ),
    "logging in setup": (
        "import logging, sys\nlogging.basicConfig(level=logging.INFO, stream=sys.stdout)\n"
        "log = logging.getLogger('pipeline')\nlog.setLevel(logging.DEBUG)",
        "%%task a\nlog.info('start')\nx = 1",
        "%%task b\nlogging.getLogger('pipeline.part').debug('x is %s', x)\nlogging.warning('root')",
        "%%task c\nlogging.getLogger(__name__).info('done %s', x)",
    ),
    "logging without a configuration": (
        "%%task a\nimport logging\nlogging.warning('first')\nx = 1",
        "%%task b\nimport logging\nlogging.warning('second %s', x)",
    ),
    "warnings that are filtered in setup, or for a while": (
        "import warnings\nwarnings.filterwarnings('ignore')",
        "%%task a\nwith warnings.catch_warnings():\n    warnings.simplefilter('error')\n    x = 1",
        "%%task b\nwarnings.warn('quiet')\nprint(x)",
        "%%task c\nimport warnings as w\nw.simplefilter('always')\nw.warn('last')",
    ),
    "imports of libraries in tasks": (
        "%%task a\nimport pandas as pd\nimport matplotlib.pyplot as plt\nimport sklearn.ensemble\nx = pd.Series([1, 2])",
        "%%task b\nimport numpy as np\nimport sklearn.metrics\nimport polars as pl\nprint(np.mean(x), pl.DataFrame())",
        "%%task c\nimport duckdb\nimport logging\nlogging.getLogger('x').info('y')\nprint(x.sum())",
    ),
    "caches and constants": (
        "from functools import lru_cache\nimport loc_mod2\n@lru_cache\ndef square(n):\n    return n * n",
        "%%task a\nx = square(3) + loc_mod2.cached(2)",
        "%%task b\ny = square(3) + square(4) + loc_mod2.cached(2)\nprint(x)",
        "%%task c\nprint(square(4), loc_mod2.N, y)",
    ),
    "a generator that flows, and tasks that write files": (
        "import numpy as np\nimport os\nfrom pathlib import Path\nos.environ['MODE'] = 'test'\n"
        "def noise(rng, n):\n    return rng.normal(size=n)",
        "%%task start\nrng = np.random.default_rng(7)\nPath('out').mkdir(exist_ok=True)",
        "%%task first\na = noise(rng, 3)\nPath('out/a.txt').write_text(str(a))",
        "%%task second\nb = rng.integers(0, 9, 3)\n_, tail = b[0], b[1:]\nfor _ in range(2):\n    pass",
        "%%task third\nprint(a, b, os.environ['MODE'], rng.random())",
    ),
    "closures, partials and decorators": (
        "import functools, operator, time\nimport numpy as np\n"
        "def timed(function):\n    @functools.wraps(function)\n    def wrapper(*args, **kwargs):\n"
        "        start = time.perf_counter()\n        try:\n            return function(*args, **kwargs)\n"
        "        finally:\n            print(function.__name__, 'took', time.perf_counter() - start > 0)\n    return wrapper\n"
        "def scaler(mean, std):\n    def scale(x):\n        return (x - mean) / std\n    return scale\n"
        "@timed\ndef load(n, *, step=2):\n    return np.arange(0, n, step)",
        "%%task load\nx = load(20)",
        "%%task fit\nscale = scaler(x.mean(), x.std())\ndouble = functools.partial(operator.mul, 2)",
        "%%task use\ny = double(scale(x))\ntotal = functools.reduce(operator.add, y.tolist())",
        "%%task again\nz = [scale(each) for each in x[:3]]\nprint(total, z, double(3))",
    ),
    "dataclasses, enums and named tuples": (
        "import dataclasses, enum\nfrom collections import namedtuple\nfrom dataclasses import dataclass, field\n"
        "Row = namedtuple('Row', 'name score')\n"
        "class Level(enum.Enum):\n    LOW = 1\n    HIGH = 2\n"
        "@dataclass\nclass Config:\n    rate: float = 0.1\n    tags: list = field(default_factory=list)\n"
        "    level: Level = Level.LOW\nCONFIG = Config(tags=['a'])",
        "%%task rows\nrows = [Row(f'r{n}', n * CONFIG.rate) for n in range(5)]",
        "%%task mine\nmine = dataclasses.replace(CONFIG, rate=0.5, level=Level.HIGH)\nmine.tags = [*mine.tags, 'b']",
        "%%task best\nbest = max(rows, key=lambda row: row.score)\nassert mine.level is Level.HIGH",
        "%%task report\nprint(best.name, dataclasses.asdict(mine), CONFIG, Level(2) is mine.level)",
    ),
    "a pipeline of scikit-learn": (
        "import numpy as np, pandas as pd\nfrom sklearn.compose import ColumnTransformer\n"
        "from sklearn.ensemble import RandomForestClassifier\nfrom sklearn.metrics import classification_report\n"
        "from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split\n"
        "from sklearn.pipeline import Pipeline, make_pipeline\n"
        "from sklearn.preprocessing import OneHotEncoder, StandardScaler\nSEED = 42",
        "%%task data\nrng = np.random.default_rng(SEED)\n"
        "df = pd.DataFrame({'a': rng.normal(size=80), 'b': rng.choice(['u', 'v'], 80)})\ndf['y'] = (df.a > 0).astype(int)",
        "%%task split\ntrain, test = train_test_split(df, test_size=0.25, random_state=SEED, stratify=df.y)",
        "%%task model\npre = ColumnTransformer([('num', StandardScaler(), ['a']), ('cat', OneHotEncoder(), ['b'])])\n"
        "pipe = Pipeline([('pre', pre), ('rf', RandomForestClassifier(n_estimators=5, random_state=SEED))])",
        "%%task search\ngrid = GridSearchCV(pipe, {'rf__max_depth': [2, 3]}, cv=2).fit(train[['a', 'b']], train.y)\n"
        "best = grid.best_estimator_",
        "%%task folds\nscores = cross_val_score(pipe, df[['a', 'b']], df.y, cv=3)\nprint(scores.mean().round(2))",
        "%%task evaluate\npredicted = best.predict(test[['a', 'b']])\nprint(classification_report(test.y, predicted))",
        "%%task importances\nbest.named_steps['rf'].feature_importances_\npd.Series(scores).describe()",
    ),
    "figures in the style of matplotlib's own examples": (
        "import numpy as np, pandas as pd\nimport matplotlib.pyplot as plt\nfrom matplotlib.ticker import MaxNLocator\n"
        "plt.rcParams.update({'font.size': 9, 'axes.grid': True})\n"
        "def decorate(ax, title):\n    ax.set_title(title)\n    ax.xaxis.set_major_locator(MaxNLocator(4))\n    return ax",
        "%%task series\nt = np.linspace(0, 6, 50)\nframe = pd.DataFrame({'t': t, 'sin': np.sin(t), 'cos': np.cos(t)})",
        "%%task lines\nfig, axes = plt.subplots(1, 2, figsize=(6, 2))\n"
        "for ax, name in zip(axes, ['sin', 'cos']):\n    ax.plot(frame.t, frame[name], label=name)\n"
        "    decorate(ax, name).legend()\nfig.tight_layout()\nplt.show()",
        "%%task styled\nwith plt.style.context('dark_background'), plt.rc_context({'lines.linewidth': 3}):\n"
        "    frame.plot(x='t', subplots=True)\n    plt.close('all')",
        "%%task density\nfig2 = plt.figure()\nax2 = fig2.add_subplot()\nax2.hist(frame['sin'], bins=7)\n"
        "plt.xlabel('x')\nfig2.savefig('density.png')",
        "%%task bars\nframe[['sin', 'cos']].abs().mean().plot(kind='bar', ax=plt.gca())\nplt.xticks(rotation=0);",
    ),
    "tables in the ordinary style": (
        "import pandas as pd, numpy as np\npd.set_option('display.width', 120)\npd.set_option('display.float_format', '{:.2f}'.format)",
        "%%task orders\norders = pd.DataFrame({'id': range(6), 'who': list('aabbcc'), 'amount': [1., 2, None, 4, 5, 6]})\n"
        "people = pd.DataFrame({'who': list('abc'), 'city': ['X', 'Y', 'X']})",
        "%%task clean\norders = orders.dropna().reset_index(drop=True)\norders['big'] = orders.amount > 3\n"
        "orders.loc[orders.who == 'b', 'amount'] *= 2\norders.rename(columns={'id': 'number'}, inplace=True)",
        "%%task joined\njoined = orders.merge(people, on='who', how='left').assign(day=pd.Timestamp('2026-01-01'))",
        "%%task pivot\npivot = joined.pivot_table(index='city', columns='big', values='amount', aggfunc='sum').fillna(0)",
        "%%task monthly\nby_day = joined.set_index('day').groupby('who').amount.agg(['sum', 'mean'])\nby_day.sort_values('sum')",
        "%%task shown\ndisplay(pivot)\njoined.head().style.format(precision=1)\njoined.info()\nprint(by_day.to_string())",
    ),
    "timers, signals and collections that a task ends itself": (
        "import gc, signal",
        "%%task a\ngc.disable()\nx = 1\ngc.enable()\nold = signal.signal(signal.SIGALRM, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGALRM, old)",
        "%%task b\nprint(gc.isenabled(), signal.getsignal(signal.SIGALRM), x)",
    ),
    "functions that a function makes": (
        "def scaled(k):\n    def by(x): return x * k\n    return by",
        "%%task a\nby = scaled(3)",
        "%%task b\nu = by(2)",
        "%%task c\nprint(by(3), u)",
    ),
    "a module with constants, a logger and a lazy value": (
        "import logging\nimport toolkit\nfrom toolkit import Circle, area, model\nlogging.basicConfig(level='INFO')\n"
        "log = logging.getLogger(__name__)",
        "%%task make\nshapes = [Circle(r) for r in range(3)]\nlog.info('%d shapes', len(shapes))",
        "%%task areas\nareas = [area(each) for each in shapes]\nweights = model()",
        "%%task total\ntotal = sum(areas) * weights['w'] * toolkit.FACTOR\nlog.warning('total %s', total)",
        "%%task check\nassert total >= 0\nprint(Circle.UNIT, model() == weights, shapes[0].scaled(2).r)",
    ),
    "texts and counts": (
        "import re, json, itertools, textwrap\nfrom collections import Counter, defaultdict, deque\n"
        "STOP = {'the', 'a'}\nWORD = re.compile(r'\\w+')\nTEXT = 'The cat and the dog and a bird'",
        "%%task words\nwords = [each.lower() for each in WORD.findall(TEXT) if each.lower() not in STOP]",
        "%%task counts\ncounts = Counter(words)\nby_length = defaultdict(list)\n"
        "for word in words:\n    by_length[len(word)].append(word)",
        "%%task pairs\npairs = list(itertools.pairwise(words))\nrecent = deque(words, maxlen=2)",
        "%%task show\nprint(json.dumps(counts), dict(by_length), pairs[0], list(recent))\nprint(counts.most_common(1))\n"
        "print(textwrap.fill(' '.join(words), 20))",
        "%%task longest\nlongest = max(by_length)\nprint(longest, sorted(by_length[longest]), counts['and'])",
    ),
    "seeds by a function of setup, times and progress": (
        "import random, time\nimport numpy as np\nfrom datetime import datetime\n"
        "def seed_everything(seed=0):\n    random.seed(seed)\n    np.random.seed(seed)\nstarted = datetime.now()",
        "%%task sample\nseed_everything(1)\nxs = np.random.rand(5)\npicked = random.sample(range(100), 3)",
        "%%task shuffle\nseed_everything(2)\nys = xs.copy()\nnp.random.shuffle(ys)",
        "%%task simulate\nseed_everything()\n%time total = sum(random.random() for _ in range(1000))\n"
        "for step in range(3):\n    print('step', step, flush=True)",
        "%%task summary\nprint(picked, ys.mean(), total, (datetime.now() - started).total_seconds() >= 0)",
    ),
    "names that are bound again": (
        "%%task a\nxs = [1, 2]\nbox = {'xs': xs}",
        "%%task b\nxs = [n + 1 for n in xs]\nxs.append(9)",
        "%%task c\nprint(xs, box)",
    ),
}

MODULES = {
    "counting": (
        "import itertools, random\n_ids = itertools.count()\n_rng = random.Random(1)\n\n"
        "class Ticket:\n    made = 0\n    def __init__(self):\n        Ticket.made += 1\n\n"
        "def number():\n    return next(_ids)\n\ndef draw():\n    return _rng.random()\n"
    ),
    "loc_mod2": (
        "STATE = []\nN = 0\n_cache = {}\n\ndef grow():\n    STATE.append(len(STATE))\n\n"
        "def cached(n):\n    _cache[n] = n\n    return _cache[n]\n"
    ),
    "toolkit": (
        "import logging, math\nlog = logging.getLogger(__name__)\nFACTOR = 2\n_model = None\n_units = {}\n\n"
        "class Circle:\n    UNIT = 'm'\n    names = ('circle',)\n    def __init__(self, r):\n        self.r = r\n"
        "    def scaled(self, k):\n        return Circle(self.r * k)\n\n"
        "def area(shape):\n    log.debug('area')\n    return math.pi * shape.r**2\n\n"
        "def model():\n    global _model\n    if _model is None:\n        _model = {'w': 3}\n        _units['w'] = 1\n"
        "    return _model\n"
    ),
    "hidden": (
        "import logging, os\nimport numpy, pandas\nfrom IPython import get_ipython\n\n"
        "def configure():\n"
        "    pandas.set_option('display.max_rows', 5)\n"
        "    logging.getLogger('app').setLevel(logging.DEBUG)\n"
        "    os.environ['APP'] = '1'\n"
        "    os.umask(0o027)\n"
        "    get_ipython().run_line_magic('precision', '3')\n\n"
        "def seed():\n    numpy.random.seed(3)\n"
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All notebooks share a folder, so that they share warm kernels."""
    path = tmp_path_factory.mktemp("state")
    for name, source in MODULES.items():
        (path / f"{name}.py").write_text(source)
    return path


@pytest.mark.parametrize("name", CASES)
def test_state_that_a_later_task_would_miss_is_reported(folder: Path, name: str) -> None:
    cells, checked, reported = CASES[name]
    path = written(cells, folder)
    assert {(each.code, each.task or "") for each in nbdag.read(path).problems} == checked
    assert warned(path) == reported


@pytest.mark.slow
@pytest.mark.parametrize("name", QUIET)
def test_an_ordinary_notebook_gives_no_warning(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    share_one_server(monkeypatch)
    path = written(QUIET[name], folder)
    assert nbdag.read(path).problems == ()
    assert warned(path) == {}


def test_the_remedy_of_a_seed_helps(folder: Path) -> None:
    cells = (
        "import numpy as np",
        "%%task seed\nrng = np.random.default_rng(1)",
        "%%task draw\na = rng.random()",
        "%%task draw2 --out b\nb = (a, rng.random())",
    )
    names: dict[str, object] = {}
    for cell in cells:
        exec(cell.partition("\n")[2] if cell.startswith("%%") else cell, names)
    run = nbdag.run(written(cells, folder), jobs=2, home=Home(folder / ".nbdag"))
    assert run.value("b") == names["b"]


def warned(path: Path) -> dict[str, set[tuple[str, str]]]:
    """Return the reports of a notebook's run about its tasks."""
    run = nbdag.run(path, jobs=2, home=Home(path.parent / ".nbdag"))
    assert run.state.value == "success", [(task.id, task.error) for task in run.tasks]
    found = {task.id: {(note.code, note.name) for note in task.warnings} for task in run.tasks}
    return {task: notes for task, notes in found.items() if notes}


def written(cells: Cells, folder: Path) -> Path:
    """The notebook as a file."""
    path = folder / "case.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    return path
