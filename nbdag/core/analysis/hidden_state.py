"""State without a name: state that a task can change for later cells although no variable holds it.

Examples are a library's settings, a global random generator, and warning filters. Every task starts with the state
that setup produces. Only this module lists the kinds of state. For each kind, it has the calls and assignments that
change the state, the code that can observe the state, and the advice to the user. `kernels.runtime.state_probes` reads
the state at run time.

A "use" is a text that names something that code uses. For an object in a library, the text is the dotted name, such as
`numpy.random.rand`. For an attribute of any other object, the text is `.name`. Any other use is one of the constants
below.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

VALUE = "<value>"  # stands for the use of a variable of another cell
IMPORT = "<import>"  # stands for an import in the code of the task
MAGIC = "<magic>"  # stands for a magic or shell line
ANY = "<any>"  # counts as a use of every task
LOCAL = "<module>"  # stands for a module that the user may have written

IN_SETUP = "move it to %%setup, so that it applies to every task"
PASS_GENERATOR = (
    "create a generator in the task that draws first, such as rng = np.random.default_rng(0), and draw from it, so "
    "that later tasks continue its sequence"
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _tuple(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class StateKind:
    """One kind of state without a name."""

    key: str
    title: str  # the name of the state in a message
    # Functions and attributes: a call or an assignment of any of them changes the state.
    changed_by: frozenset[str] = frozenset()
    # Prefixes of dotted names: assigning or changing any attribute below a prefix changes the state.
    changed_below: tuple[str, ...] = ()
    # Functions and attributes whose use observes the state. A name that ends with a dot stands for all names below it.
    observed_by: tuple[str, ...] = ()
    perhaps_observed_by: tuple[str, ...] = ()  # names whose use observes the state only in some cases
    not_observed_by: frozenset[str] = frozenset()  # names below a prefix of `observed_by` that do not observe the state
    # Names whose use sets the state. Code with such a use does not observe the state that an earlier task has set.
    replaced_by: frozenset[str] = frozenset()
    restored_by: frozenset[str] = frozenset()  # context managers that restore the state at their end
    is_generator: bool = False
    advice: str = IN_SETUP
    # The message that a run reports. It may contain {task}, {names}, {observer} and {advice}. "": the usual message.
    message: str = ""

    def is_observed_by(self, use: str, *, perhaps: bool = False) -> bool:
        """Return whether this use observes this state; with `perhaps`, whether the use may observe it."""
        patterns = (*self.observed_by, *self.perhaps_observed_by) if perhaps else self.observed_by
        return use not in self.not_observed_by and any(
            use == pattern or (pattern[-1] == "." and use.startswith(pattern)) for pattern in patterns
        )

    def changes(self, name: str, *, assigned: bool) -> bool:
        """Return whether a call of this name changes this state; with `assigned`, whether an assignment does."""
        if assigned or name.rpartition(".")[2] in _CHANGES_IN_PLACE:
            owner = name if assigned else name.rpartition(".")[0]
            if any(owner == prefix or owner.startswith(f"{prefix}.") for prefix in self.changed_below):
                return True
        return name in self.changed_by


_CHANGES_IN_PLACE = _words(
    """
    append extend insert remove pop popitem clear update setdefault add discard sort reverse
    setLevel addHandler removeHandler addFilter removeFilter
    """
)
_SEEDS_ALL = _words(
    """
    transformers.set_seed pytorch_lightning.seed_everything lightning.seed_everything
    lightning.pytorch.seed_everything keras.utils.set_random_seed accelerate.utils.set_seed
    """
)
_RANDOM_GRAPHS = _tuple(
    """
    networkx.spring_layout networkx.random_layout networkx.draw networkx.draw_networkx networkx.draw_spring
    networkx.gnp_random_graph networkx.fast_gnp_random_graph networkx.erdos_renyi_graph networkx.gnm_random_graph
    networkx.barabasi_albert_graph networkx.watts_strogatz_graph networkx.random_regular_graph
    """
)
_GENERATORS_OF_NUMPY = _words(
    """
    numpy.random.default_rng numpy.random.Generator numpy.random.RandomState numpy.random.SeedSequence
    numpy.random.PCG64 numpy.random.PCG64DXSM numpy.random.MT19937 numpy.random.Philox numpy.random.SFC64
    numpy.random.BitGenerator numpy.random.get_state numpy.random.seed numpy.random.set_state numpy.random
    """
)

KINDS: tuple[StateKind, ...] = (
    StateKind(
        key="random/generator",
        title="the global generator of random",
        changed_by=_words("random.seed random.setstate") | _SEEDS_ALL,
        observed_by=("random.",),
        perhaps_observed_by=(*_RANDOM_GRAPHS, LOCAL),
        not_observed_by=_words("random.Random random.SystemRandom random.seed random.setstate random.getstate"),
        is_generator=True,
        advice="create a generator in the task that draws first, such as rng = random.Random(0), and draw from it, so "
        "that later tasks continue its sequence",
    ),
    StateKind(
        key="numpy/generator",
        title="the global generator of numpy.random",
        changed_by=_words("numpy.random.seed numpy.random.set_state") | _SEEDS_ALL,
        observed_by=("numpy.random.",),
        perhaps_observed_by=(
            *_tuple(
                """
                sklearn.model_selection.train_test_split sklearn.model_selection.ShuffleSplit sklearn.utils.shuffle
                sklearn.model_selection.StratifiedShuffleSplit sklearn.model_selection.RandomizedSearchCV
                sklearn.utils.resample sklearn.ensemble. sklearn.cluster. sklearn.decomposition. sklearn.manifold.
                sklearn.neural_network. sklearn.tree. sklearn.mixture. sklearn.gaussian_process.
                sklearn.random_projection. sklearn.linear_model.SGDClassifier sklearn.linear_model.SGDRegressor
                sklearn.linear_model.Perceptron
                sklearn.model_selection.KFold sklearn.model_selection.StratifiedKFold
                sklearn.inspection.permutation_importance sklearn.datasets.make_blobs
                sklearn.datasets.make_classification sklearn.datasets.make_regression sklearn.datasets.make_moons
                sklearn.datasets.make_circles imblearn. scipy.stats. scipy.sparse.random
                scipy.optimize.differential_evolution scipy.optimize.dual_annealing scipy.optimize.basinhopping
                scipy.cluster.vq.kmeans scipy.cluster.vq.kmeans2 .sample .rvs
                """
            ),
            *_RANDOM_GRAPHS,
            LOCAL,
        ),
        not_observed_by=_GENERATORS_OF_NUMPY,
        is_generator=True,
        advice=PASS_GENERATOR,
    ),
    StateKind(
        key="torch/generator",
        title="the global generator of torch",
        changed_by=_words("torch.manual_seed torch.seed torch.set_rng_state torch.random.manual_seed") | _SEEDS_ALL,
        observed_by=_tuple(
            """
            torch.rand torch.randn torch.randint torch.randperm torch.normal torch.bernoulli torch.multinomial
            torch.rand_like torch.randn_like torch.nn.
            """
        ),
        perhaps_observed_by=("torch.", "lightning.", "pytorch_lightning.", "transformers.", LOCAL),
        not_observed_by=_words("torch.manual_seed torch.Generator torch.nn.functional"),
        is_generator=True,
        advice="create a generator, such as g = torch.Generator().manual_seed(0), and pass it on in a variable",
    ),
    StateKind(
        key="tensorflow/generator",
        title="the global generator of tensorflow",
        changed_by=_words("tensorflow.random.set_seed tensorflow.set_random_seed keras.utils.set_random_seed"),
        observed_by=("tensorflow.random.", "tensorflow.keras.", "keras."),
        not_observed_by=_words("tensorflow.random.set_seed keras.utils.set_random_seed"),
        is_generator=True,
        advice="create a generator, g = tf.random.Generator.from_seed(0), and pass it on in a variable",
    ),
    StateKind(
        key="decimal/context",
        title="the context of decimal",
        changed_by=_words("decimal.setcontext"),
        changed_below=("decimal.getcontext()", "decimal.DefaultContext"),
        observed_by=("decimal.", VALUE),
        restored_by=_words("decimal.localcontext"),
    ),
    StateKind(
        key="warnings/filters",
        title="the filters of warnings",
        changed_by=_words(
            "warnings.filterwarnings warnings.simplefilter warnings.resetwarnings logging.captureWarnings"
        ),
        changed_below=("warnings.filters", "warnings.showwarning", "warnings.formatwarning"),
        observed_by=(ANY,),
        restored_by=_words("warnings.catch_warnings"),
    ),
    StateKind(
        key="logging/settings",
        title="the settings of logging",
        changed_by=_words("logging.basicConfig logging.disable logging.config.dictConfig logging.config.fileConfig")
        | _words("logging.addLevelName logging.setLoggerClass logging.setLogRecordFactory"),
        changed_below=("logging.root", "logging.getLogger()"),
        observed_by=_tuple("logging. .debug .info .warning .error .exception .critical .log"),
        perhaps_observed_by=(LOCAL,),
    ),
    StateKind(
        key="sys/path",
        title="sys.path",
        changed_by=_words("site.addsitedir"),
        changed_below=("sys.path",),
        observed_by=(IMPORT, "sys.path", "sys.path.", "importlib."),
    ),
    StateKind(
        key="sys/limits",
        title="the limits of the interpreter",
        changed_by=_words("sys.setrecursionlimit sys.setswitchinterval sys.set_int_max_str_digits"),
        observed_by=("sys.", VALUE),
    ),
    StateKind(
        key="sys/streams",
        title="sys.stdout or sys.stderr",
        changed_below=("sys.stdout", "sys.stderr", "sys.displayhook"),
        observed_by=(ANY,),
        restored_by=_words("contextlib.redirect_stdout contextlib.redirect_stderr"),
        advice="use `with contextlib.redirect_stdout(…)` within the task, or move it to %%setup",
    ),
    StateKind(
        key="sys/hooks",
        title="Python's hooks",
        observed_by=(ANY,),
        advice="set it in %%setup, or restore it at the end of the task",
    ),
    StateKind(
        key="builtins/names",
        title="Python's built-in names",
        changed_below=("builtins",),
        observed_by=(ANY,),
    ),
    StateKind(
        key="time/zone",
        title="the time zone of the process",
        observed_by=_tuple("time. datetime. .astimezone .timestamp .strftime"),
        perhaps_observed_by=(LOCAL,),
    ),
    StateKind(
        key="python/running",
        title="what runs in the background",
        observed_by=(ANY,),
        message=(
            "task {task} leaves {names} running, but the kernel ends with the task, and {observer} runs in another "
            "kernel: {advice}"
        ),
        advice="wait for it at the end of the task, for example with join() or wait()",
    ),
    StateKind(
        key="python/exit",
        title="what runs at the end of the process",
        changed_by=_words("atexit.register"),
        observed_by=(ANY,),
        advice="each task has a process of its own, so call the function in the last task that needs it",
    ),
    StateKind(
        key="mock/patches",
        title="the patches of unittest.mock",
        observed_by=(ANY,),
        message="task {task} leaves {names} patched only in its kernel, and {observer} runs without that: {advice}",
        advice="call stop() in the task, use `with mock.patch(…)`, or start the patch in %%setup",
    ),
    # Calls of gc and signal, and new hooks, do not count as changes here: code often undoes such a change at its end.
    StateKind(
        key="gc/settings",
        title="the settings of the garbage collector",
        observed_by=("gc.",),
    ),
    StateKind(
        key="signal/handlers",
        title="the handlers of signals",
        observed_by=("signal.", "os.kill", "os.killpg"),
    ),
    StateKind(
        key="socket/timeout",
        title="the default timeout of sockets",
        changed_by=_words("socket.setdefaulttimeout"),
        observed_by=_tuple("socket. urllib. http. ftplib. smtplib. requests."),
        perhaps_observed_by=(LOCAL,),
    ),
    StateKind(
        key="sys/modules",
        title="sys.modules",
        changed_below=("sys.modules",),
        observed_by=(IMPORT, "importlib.", "sys.modules", "sys.modules."),
    ),
    StateKind(
        key="locale/locale",
        title="the locale",
        changed_by=_words("locale.setlocale"),
        observed_by=("locale.", ".strftime", "time.strftime", ".sort_values"),
    ),
    StateKind(key="os/umask", title="the umask", changed_by=_words("os.umask"), observed_by=(ANY,)),
    StateKind(
        key="pandas/accessors",
        title="the accessors of pandas",
        changed_by=_words(
            """
            pandas.api.extensions.register_dataframe_accessor pandas.api.extensions.register_series_accessor
            pandas.api.extensions.register_index_accessor
            """
        ),
        observed_by=("pandas.", VALUE),
    ),
    StateKind(
        key="pandas/settings",
        title="the settings of pandas",
        changed_by=_words(
            "pandas.set_option pandas.reset_option pandas.set_eng_float_format pandas.options.plotting.backend"
        ),
        changed_below=("pandas.options",),
        observed_by=("pandas.", VALUE),
        restored_by=_words("pandas.option_context"),
    ),
    StateKind(
        key="numpy/settings",
        title="the settings of numpy",
        changed_by=_words(
            "numpy.set_printoptions numpy.seterr numpy.seterrcall numpy.set_string_function numpy.setbufsize"
        ),
        observed_by=("numpy.", VALUE),
        restored_by=_words("numpy.errstate numpy.printoptions"),
    ),
    StateKind(
        key="matplotlib/settings",
        title="the settings of matplotlib",
        changed_by=_words(
            """
            matplotlib.rc matplotlib.rcdefaults matplotlib.rc_file matplotlib.pyplot.rc matplotlib.pyplot.rcdefaults
            matplotlib.pyplot.style.use matplotlib.style.use matplotlib.pyplot.set_cmap seaborn.set seaborn.set_theme
            seaborn.set_style seaborn.set_context seaborn.set_palette seaborn.reset_defaults
            matplotlib.pyplot.ioff matplotlib.pyplot.ion matplotlib.interactive
            """
        ),
        changed_below=("matplotlib.rcParams", "matplotlib.pyplot.rcParams"),
        observed_by=("matplotlib.", "seaborn.", ".plot", ".hist", ".boxplot", ".scatter", ".bar", ".imshow"),
        restored_by=_words(
            """
            matplotlib.rc_context matplotlib.pyplot.rc_context matplotlib.pyplot.style.context matplotlib.style.context
            matplotlib.pyplot.xkcd seaborn.axes_style seaborn.plotting_context seaborn.color_palette
            matplotlib.pyplot.ioff matplotlib.pyplot.ion
            """
        ),
    ),
    StateKind(
        key="matplotlib/figures",
        title="the figures that pyplot keeps open",
        observed_by=_tuple(
            """
            matplotlib.pyplot.gca matplotlib.pyplot.gcf matplotlib.pyplot.plot matplotlib.pyplot.scatter
            matplotlib.pyplot.bar matplotlib.pyplot.barh matplotlib.pyplot.hist matplotlib.pyplot.imshow
            matplotlib.pyplot.title matplotlib.pyplot.xlabel matplotlib.pyplot.ylabel matplotlib.pyplot.legend
            matplotlib.pyplot.axhline matplotlib.pyplot.axvline matplotlib.pyplot.savefig matplotlib.pyplot.subplot
            matplotlib.pyplot.fill_between matplotlib.pyplot.get_fignums matplotlib.pyplot.show
            """
        ),
        replaced_by=_words(
            """
            matplotlib.pyplot.figure matplotlib.pyplot.subplots matplotlib.pyplot.subplot_mosaic
            matplotlib.pyplot.clf matplotlib.pyplot.cla .plot .hist .bar .boxplot
            """
        ),
        advice="close them at the end of their task with plt.close('all'), or begin the later task with plt.figure()",
    ),
    StateKind(
        key="sklearn/settings",
        title="the settings of scikit-learn",
        changed_by=_words("sklearn.set_config"),
        observed_by=("sklearn.", VALUE),
        restored_by=_words("sklearn.config_context"),
    ),
    StateKind(
        key="polars/settings",
        title="the settings of polars",
        changed_by=_words(
            """
            polars.Config.load polars.Config.restore_defaults polars.Config.load_from_file polars.enable_string_cache
            polars.Config.set_tbl_rows polars.Config.set_tbl_cols polars.Config.set_tbl_formatting
            polars.Config.set_tbl_hide_dataframe_shape polars.Config.set_tbl_hide_column_data_types
            polars.Config.set_tbl_width_chars polars.Config.set_fmt_str_lengths polars.Config.set_fmt_float
            polars.Config.set_fmt_table_cell_list_len polars.Config.set_float_precision
            polars.Config.set_decimal_separator polars.Config.set_thousands_separator polars.Config.set_ascii_tables
            polars.Config.set_verbose polars.Config.set_trim_decimal_zeros polars.Config.set_streaming_chunk_size
            """
        ),
        observed_by=("polars.", VALUE),
        restored_by=_words("polars.Config"),
    ),
    StateKind(
        key="duckdb/default",
        title="the default connection of duckdb",
        # A query that changes the database is recognised by its text.
        changed_by=_words("duckdb.register duckdb.create_function duckdb.set_default_connection"),
        observed_by=_tuple(
            """
            duckdb.sql duckdb.query duckdb.execute duckdb.table duckdb.view duckdb.from_query duckdb.cursor
            duckdb.default_connection
            """
        ),
        advice="connect to a file, conn = duckdb.connect('data.duckdb'), in each task that needs it",
    ),
    StateKind(
        key="ipython/settings",
        title="the settings of IPython",
        changed_by=_words("%precision %xmode %config %pprint"),
        changed_below=("IPython.core.interactiveshell.InteractiveShell", "IPython.InteractiveShell"),
        observed_by=(ANY,),
    ),
    StateKind(
        key="ipython/extensions",
        title="the magics and aliases of IPython",
        changed_by=_words("%alias %unalias %load_ext %unload_ext %rehashx %alias_magic"),
        observed_by=(MAGIC,),
    ),
    StateKind(
        key="os/environment",
        title="the environment",
        changed_by=_words("os.putenv os.unsetenv dotenv.load_dotenv %env %set_env"),
        changed_below=("os.environ",),
        observed_by=(ANY,),
    ),
    StateKind(
        key="os/directory",
        title="the working directory",
        changed_by=_words("os.chdir os.fchdir %cd %pushd %popd"),
        observed_by=(ANY,),
        restored_by=_words("contextlib.chdir"),
    ),
)
BY_KEY = {kind.key: kind for kind in KINDS}
_BY_NAME: dict[str, list[str]] = {}
for _kind in KINDS:
    for _name in _kind.changed_by:
        _BY_NAME.setdefault(_name, []).append(_kind.key)
_ROOTS_BELOW = frozenset(prefix.partition(".")[0] for kind in KINDS for prefix in kind.changed_below)

# Libraries that are known not to use the global random generators and not to log.
_KNOWN_LIBRARIES = _words(
    """
    numpy pandas matplotlib seaborn sklearn scipy polars pyarrow duckdb torch tensorflow keras plotly altair bokeh
    statsmodels xgboost lightgbm catboost networkx sympy PIL cv2 requests sqlalchemy yaml tqdm IPython ipywidgets
    transformers lightning pytorch_lightning imblearn joblib dask distributed nbdag openpyxl bs4 lxml psycopg fsspec
    """
)


def keys_changed_by(name: str, *, assigned: bool = False) -> Iterator[str]:
    """Yield the keys of the states that a call of this name changes; with `assigned`, that an assignment changes."""
    yield from _BY_NAME.get(name, ())
    if name.partition(".")[0] in _ROOTS_BELOW:
        for kind in KINDS:
            if kind.changed_below and name not in kind.changed_by and kind.changes(name, assigned=assigned):
                yield kind.key


def keys_restored_by(name: str) -> frozenset[str]:
    """Return the keys of the states that this context manager restores."""
    return frozenset(kind.key for kind in KINDS if name in kind.restored_by)


def observed_keys(uses: Collection[str]) -> dict[str, bool]:
    """Return the states that code with these uses may observe.

    Key: key of the state; value: whether the code certainly observes the state. The top-level module of each use is
    also a key, because attributes of a module are state. The dotted name of each library function is a key, too.
    """
    uses = {*uses, *(LOCAL for use in uses if may_be_local(use)), ANY}
    observed = [_observed_by(use) for use in uses]
    perhaps, certainly = (set[str]().union(*keys) for keys in zip(*observed, strict=True))
    found = {
        kind.key: kind.key in certainly for kind in KINDS if kind.key in perhaps and kind.replaced_by.isdisjoint(uses)
    }
    named = [use for use in uses if use[0] not in ".<"]
    found |= {use.partition(".")[0]: True for use in named}
    found |= {use: True for use in named if is_library_function(use)}
    return found


@lru_cache(maxsize=4096)
def _observed_by(use: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return two sets of keys: the states that code with this use may observe, and those that it certainly observes."""
    perhaps = (kind.key for kind in KINDS if kind.is_observed_by(use, perhaps=True))
    certainly = (kind.key for kind in KINDS if kind.is_observed_by(use))
    return frozenset(perhaps), frozenset(certainly)


def is_library_function(key: str) -> bool:
    """Return whether a key is the dotted name of a library's function. A task may replace such a function."""
    return "." in key and "/" not in key and not may_be_local(key)


def may_be_local(use: str) -> bool:
    """Return whether a use refers to a module that the user may have written."""
    root = use.partition(".")[0]
    return use[0] not in ".<" and root not in sys.stdlib_module_names and root not in _KNOWN_LIBRARIES
