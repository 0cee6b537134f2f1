"""Known behaviour of Python's own types and of common libraries, by name.

The tables apply only to code that is not available. If the notebook defines a class, its methods are interpreted.
"""

from __future__ import annotations

import builtins


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__", "__builtins__", "__builtin__", "__debug__"}
# Names that IPython defines in a namespace, and names that nbdag defines in a task's kernel.
IPYTHON = _words(
    """
    display get_ipython In Out exit quit open _ __ ___ _i _ii _iii _ih _oh _dh _exit_code _sh dag_run _nbdag
    """
) | {"__IPYTHON__", "__session__"}

# The names among IPYTHON that refer to outputs or inputs of other cells.
HISTORY = _words("In Out _ __ ___ _i _ii _iii _ih _oh")

# Methods that change the object they are called on, even if the caller uses their result.
ALWAYS_CHANGE = _words(
    """
    pop popitem popleft setdefault fit partial_fit fit_transform fit_predict fit_resample
    """
)
# Methods of list, dict, set, deque and bytearray that change the object they are called on and return None. Other types
# have methods of these names that change nothing, so a call counts as a change only if its result is ignored.
MUTATORS = ALWAYS_CHANGE | _words(
    """
    append extend insert remove clear sort reverse add discard update difference_update intersection_update
    symmetric_difference_update appendleft extendleft rotate move_to_end subtract seek truncate put_nowait
    """
)
# Methods of a task instance that exchange values with other tasks.
EXCHANGES = _words("xcom_pull xcom_push")
# Methods that write, display or log. They do not change the object they are called on, even if the caller ignores the
# result.
HARMLESS = _words(
    """
    savefig info describe head tail show display print debug warning error critical exception log copy keys values
    items get count index write_text write_bytes mkdir touch unlink exists format join startswith endswith strip
    split xcom_pull xcom_push
    """
)
# Methods that plot a frame or series.
PLOTS = _words("plot hist boxplot bar barh line area pie kde density hexbin scatter box")
HARMLESS_PREFIXES = ("to_", "is_", "assert_")
# Methods that may return the object they are called on.
RETURN_SELF = _words("fit partial_fit set_params manual_seed")
# Methods that store their arguments (STORE) or the elements of their arguments (STORE_CONTENTS) in the object they are
# called on.
STORE = _words("append add insert setdefault appendleft put put_nowait push register set")
STORE_CONTENTS = _words("extend update extendleft")
# Methods that return an element of the object they are called on (TAKE), or a new object with its elements (REPACK).
TAKE = _words("pop popitem popleft get setdefault __getitem__ __next__ next")
REPACK = _words(
    """
    copy items keys values union intersection difference symmetric_difference most_common elements
    """
)
# Methods that return a new object, so later calls in a chain do not change the original object.
RETURN_NEW = _words("copy deepcopy tolist astype")

# Functions that change their first argument.
CHANGE_FIRST = _words(
    """
    next setattr delattr random.shuffle numpy.random.shuffle heapq.heappush heapq.heappop heapq.heapify
    heapq.heapreplace heapq.heappushpop bisect.insort bisect.insort_left bisect.insort_right numpy.copyto
    numpy.put numpy.place numpy.putmask numpy.fill_diagonal operator.setitem operator.delitem operator.iadd
    operator.iconcat object.__setattr__ list.append list.extend list.insert list.remove list.sort list.reverse
    list.pop list.clear dict.update dict.pop dict.setdefault dict.clear set.add set.discard set.update set.remove
    set.clear
    """
)
# Functions whose result is immutable.
PLAIN_RESULT = _words(
    """
    len int float str bool abs round repr hash ord chr complex bytes sum isinstance issubclass callable print
    format id hasattr bin hex oct ascii pow divmod any all input range slice math.sqrt math.log math.exp
    math.floor math.ceil
    """
)
# Functions that return a new object with the elements of their arguments.
REPACK_CALLS = _words(
    """
    list tuple set frozenset dict sorted reversed enumerate zip map filter iter copy.copy collections.deque
    collections.OrderedDict collections.ChainMap itertools.chain itertools.zip_longest
    """
)
# Library functions that call one of their arguments. Their results do not hold the called function. Value: position of
# the called function among the arguments. None: it is passed only by name, under one of CALLED_KEYWORDS.
CALLS = (
    dict.fromkeys(
        _words(
            """
            map filter functools.reduce itertools.starmap itertools.takewhile itertools.dropwhile itertools.filterfalse
            asyncio.to_thread numpy.apply_along_axis numpy.apply_over_axes numpy.fromfunction
            tqdm.contrib.concurrent.thread_map tqdm.contrib.concurrent.process_map
            scipy.optimize.minimize scipy.optimize.minimize_scalar scipy.optimize.curve_fit
            scipy.optimize.least_squares scipy.optimize.brentq scipy.integrate.quad
            """
        ),
        0,
    )
    | dict.fromkeys(_words("itertools.accumulate itertools.groupby re.sub re.subn"), 1)
    | dict.fromkeys(_words("heapq.nlargest heapq.nsmallest"), 2)
    | dict.fromkeys(_words("sorted min max heapq.merge"))
)
CALLED_KEYWORDS = _words("key func function predicate fun repl f")
# The functions among CALLS that return an iterator or a coroutine. Until its end, this iterator or coroutine holds the
# called function.
CALL_LATER = _words(
    """
    map filter itertools.starmap itertools.takewhile itertools.dropwhile itertools.filterfalse itertools.accumulate
    itertools.groupby asyncio.to_thread heapq.merge
    """
)
# The functions among CALLS that return arguments or elements of arguments, but no result of the called function.
CALL_TO_CHOOSE = _words(
    """
    filter itertools.takewhile itertools.dropwhile itertools.filterfalse heapq.nlargest heapq.nsmallest
    sorted min max heapq.merge
    """
)
# Methods of executors, pools and frames that call one of their arguments. Value: position of the called function among
# the arguments. The result of the method may hold the function until the call has ended. The elements of the result, or
# the value of an `await`, do not hold the function.
METHODS_CALL = dict.fromkeys(
    _words("map starmap imap imap_unordered map_async starmap_async apply_async submit apply"), 0
) | {"run_in_executor": 1}
# The methods among METHODS_CALL whose results come as one list.
METHODS_CALL_FOR_LIST = _words("map_async starmap_async")
# Key: library; value: methods of the library's objects that call functions among their arguments before they return.
METHODS_CALL_AT_ONCE = {
    "pandas": _words(
        "map apply applymap agg aggregate transform pipe filter assign rename sort_values sort_index where mask"
    ),
    "multiprocessing": _words("map starmap apply"),
    "re": _words("sub subn"),
}
# The methods of METHODS_CALL_AT_ONCE that call a function passed under any keyword.
METHODS_CALL_NAMED = _words("assign rename sort_values sort_index")
# Libraries of pools, executors and event loops.
EXECUTORS = _words("multiprocessing concurrent asyncio")
# Methods that return what a future or a lazy collection yields.
WAIT = _words("result get next __next__ compute collect")
# RUN_COROUTINE: return the result of an awaitable argument. WRAP_COROUTINE: return an awaitable for the same result.
# COROUTINE_METHODS: the methods in these two sets. GATHER: return an awaitable for a list of the results of several
# awaitables.
RUN_COROUTINE = _words("asyncio.run run_until_complete")
WRAP_COROUTINE = _words(
    """
    asyncio.create_task asyncio.ensure_future asyncio.wait_for asyncio.shield asyncio.run_coroutine_threadsafe
    create_task
    """
)
COROUTINE_METHODS = _words("run_until_complete create_task")
GATHER = _words("asyncio.gather tqdm.asyncio.tqdm.gather tqdm.asyncio.tqdm_asyncio.gather")
# Functions that return the futures in a collection; the functions named `wait` return them in two sets.
FUTURES = _words("asyncio.as_completed concurrent.futures.as_completed asyncio.wait concurrent.futures.wait")
# Functions that return an iterator over the elements of their arguments.
ITERATE = _words(
    """
    zip enumerate iter reversed itertools.chain itertools.chain.from_iterable itertools.islice itertools.zip_longest
    itertools.cycle itertools.pairwise tqdm.tqdm tqdm.auto.tqdm tqdm.notebook.tqdm tqdm.rich.tqdm
    """
)
# Functions and methods that read all elements of an iterator and do not hold the iterator.
EXHAUST = _words(
    """
    list tuple set frozenset dict sorted collections.deque collections.OrderedDict collections.Counter pandas.concat
    pandas.DataFrame pandas.Series numpy.fromiter next min max math.fsum math.prod statistics.mean statistics.fmean
    statistics.median statistics.stdev
    """
)
EXHAUST_METHODS = _words("join extend update extendleft union writelines from_records from_iterable fromkeys")

# Functions whose result may be an argument, or an element of an argument.
PICK_CALLS = _words("min max next getattr functools.reduce typing.cast")

# Decorators that return a wrapper of the function, and functions that return such a decorator.
PASS_THROUGH = _words(
    """
    functools.wraps functools.cache functools.lru_cache contextlib.contextmanager contextlib.asynccontextmanager
    staticmethod classmethod numba.jit numba.njit jax.jit torch.no_grad torch.inference_mode typing.overload
    dataclasses.dataclass functools.total_ordering functools.singledispatch atexit.register
    """
)

# Functions that return an iterator or a random generator. Each use of such an object changes it.
CONSUMABLE = _words(
    """
    random.Random numpy.random.default_rng numpy.random.Generator numpy.random.RandomState torch.Generator
    numpy.random.SeedSequence numpy.random.PCG64 numpy.random.PCG64DXSM numpy.random.MT19937 numpy.random.Philox
    numpy.random.SFC64 sklearn.utils.check_random_state
    iter zip map filter enumerate reversed itertools.count itertools.cycle itertools.chain itertools.islice
    itertools.repeat itertools.accumulate itertools.zip_longest itertools.product itertools.permutations
    itertools.combinations itertools.takewhile itertools.dropwhile itertools.starmap itertools.pairwise
    """
)
# Functions that do not consume a generator or iterator among their arguments, and methods that do not consume the
# object they are called on.
CONSUME_NOTHING = _words(
    """
    print display isinstance issubclass id repr str type callable hasattr getattr bool len iter hash
    copy.copy copy.deepcopy pickle.dumps get_state getstate initial_seed __iter__ bit_generator
    """
)

# Functions that change a setting or a registry of their library for the rest of the process.
CONFIGURE = _words(
    """
    codecs.register codecs.register_error copyreg.pickle csv.register_dialect csv.unregister_dialect
    csv.field_size_limit mimetypes.add_type sqlite3.register_adapter sqlite3.register_converter
    shutil.register_archive_format shutil.register_unpack_format xml.etree.ElementTree.register_namespace
    zoneinfo.reset_tzpath torch.set_default_dtype torch.set_default_device torch.set_default_tensor_type
    torch.set_num_threads torch.set_printoptions torch.set_grad_enabled torch.use_deterministic_algorithms
    torch.set_float32_matmul_precision tensorflow.keras.backend.set_floatx keras.backend.set_floatx
    tensorflow.config.set_visible_devices xgboost.set_config sympy.init_printing dask.config.set
    mlflow.set_experiment mlflow.set_tracking_uri mlflow.autolog mlflow.sklearn.autolog
    altair.data_transformers.disable_max_rows altair.data_transformers.enable altair.renderers.enable
    altair.themes.enable holoviews.extension matplotlib.colormaps.register matplotlib.pyplot.register_cmap
    matplotlib.font_manager.fontManager.addfont bokeh.io.output_notebook nltk.data.path.append
    """
)
# Decorators that cache the results of a function.
CACHES = _words("functools.lru_cache functools.cache cachetools.cached cachetools.func.lru_cache methodtools.lru_cache")
# Functions that display their arguments, and the methods by which a class defines how its objects are displayed.
SHOW = _words("print display repr str format IPython.display.display")
SHOWN_BY = _words(
    """
    __repr__ __str__ __format__ _repr_html_ _repr_markdown_ _repr_svg_ _repr_png_ _repr_jpeg_ _repr_latex_
    _repr_json_ _repr_mimebundle_ _repr_pretty_ _ipython_display_
    """
)

HIDING = _words("eval exec globals locals vars builtins.eval builtins.exec")
# Functions of HIDING that count only if they are called without an argument. With an argument, they access only this
# argument.
HIDING_WITHOUT_ARGUMENTS = frozenset({"vars"})
SHELL_HIDING = _words(
    """
    run_cell ex ev push user_ns run_cell_async safe_execfile user_global_ns drop_by_id
    """
)
MAGICS_HIDING = _words("run macro rerun recall load loadpy edit paste cpaste xdel reset reset_selective")
# Line magics that execute the rest of their line as Python in the cell's namespace.
RUNS_PYTHON = _words("time prun memit mprun lprun snakeviz scalene debug")
HELP_MAGICS = _words("pinfo pinfo2 pdoc pdef psource pfile")


def harmless(method: str) -> bool:
    """Return whether a method is known not to change the object it is called on."""
    return method in HARMLESS or method.startswith(HARMLESS_PREFIXES)
