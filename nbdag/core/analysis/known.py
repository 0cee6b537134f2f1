"""What is known of Python's own types and of common libraries, by name.

Used only where the code itself does not tell: a method of a class that the notebook defines is read instead.
"""

from __future__ import annotations

import builtins


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__", "__builtins__", "__builtin__", "__debug__"}
# What IPython, and nbdag in a task's kernel, put into the namespace.
IPYTHON = _words(
    """
    display get_ipython In Out exit quit open _ __ ___ _i _ii _iii _ih _oh _dh _exit_code _sh dag_run _nbdag
    """
) | {"__IPYTHON__", "__session__"}

# Methods that change their object, wherever their result goes.
ALWAYS_CHANGE = _words(
    """
    pop popitem popleft setdefault fit partial_fit fit_transform fit_predict fit_resample
    """
)
# Methods of list, dict, set, deque and bytearray that return nothing: called for the change alone. (Other types have
# pure methods of these names, so they count only where the result is not used.)
MUTATORS = ALWAYS_CHANGE | _words(
    """
    append extend insert remove clear sort reverse add discard update difference_update intersection_update
    symmetric_difference_update appendleft extendleft rotate move_to_end subtract seek truncate put_nowait
    """
)
# Methods called for something other than a change of their object: writing, showing, telling.
HARMLESS = _words(
    """
    savefig info describe head tail show display print debug warning error critical exception log copy keys values
    items get count index write_text write_bytes mkdir touch unlink exists format join startswith endswith strip
    split
    """
)
HARMLESS_PREFIXES = ("to_", "is_", "assert_")
# Methods whose result may be their object.
RETURN_SELF = _words("fit partial_fit set_params")
# Methods that put their arguments into their object; of these, those that put in what an argument holds.
STORE = _words("append add insert setdefault appendleft put put_nowait push register set")
STORE_CONTENTS = _words("extend update extendleft")
# Methods whose result may be something that their object holds; and those that make a new object of what it holds.
TAKE = _words("pop popitem popleft get setdefault __getitem__ __next__ next")
REPACK = _words(
    """
    copy items keys values union intersection difference symmetric_difference most_common elements
    """
)
# After these, a chain of method calls is about a new object.
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
# Functions whose result cannot be changed.
PLAIN_RESULT = _words(
    """
    len int float str bool abs round repr hash ord chr complex bytes sum isinstance issubclass callable print
    format id hasattr bin hex oct ascii pow divmod any all input range slice math.sqrt math.log math.exp
    math.floor math.ceil
    """
)
# Functions that make a new object of what their arguments hold.
REPACK_CALLS = _words(
    """
    list tuple set frozenset dict sorted reversed enumerate zip map filter iter copy.copy collections.deque
    collections.OrderedDict collections.ChainMap itertools.chain itertools.zip_longest
    """
)
# Functions whose result may be one of their arguments, or something that one holds.
PICK_CALLS = _words("min max next getattr functools.reduce typing.cast")

# Decorators whose result calls what they are given: with arguments of their own, they return such a decorator.
PASS_THROUGH = _words(
    """
    functools.wraps functools.cache functools.lru_cache contextlib.contextmanager contextlib.asynccontextmanager
    staticmethod classmethod numba.jit numba.njit jax.jit torch.no_grad torch.inference_mode typing.overload
    dataclasses.dataclass functools.total_ordering functools.singledispatch atexit.register
    """
)

HIDING = _words("eval exec globals locals vars builtins.eval builtins.exec")
# Of these, with arguments, the code shows which object is meant.
HIDING_WITHOUT_ARGUMENTS = frozenset({"vars"})
SHELL_HIDING = _words(
    """
    run_cell ex ev push user_ns run_cell_async safe_execfile user_global_ns drop_by_id
    """
)
MAGICS_HIDING = _words("run macro rerun recall load loadpy edit paste cpaste xdel reset reset_selective")
SEEDS = _words(
    """
    random.seed numpy.random.seed numpy.random.set_state torch.manual_seed torch.cuda.manual_seed
    torch.cuda.manual_seed_all tensorflow.random.set_seed tensorflow.set_random_seed random.setstate
    transformers.set_seed pytorch_lightning.seed_everything lightning.seed_everything keras.utils.set_random_seed
    """
)
SETS_ENVIRONMENT = _words(
    """
    os.putenv os.unsetenv dotenv.load_dotenv os.environ.update os.environ.setdefault os.environ.pop
    """
)
SETS_DIRECTORY = _words("os.chdir os.fchdir")

# Line magics that run what follows them as Python here.
RUNS_PYTHON = _words("time prun memit mprun lprun snakeviz scalene debug")
HELP_MAGICS = _words("pinfo pinfo2 pdoc pdef psource pfile")


def harmless(method: str) -> bool:
    """Whether a method is called for something other than a change of its object."""
    return method in HARMLESS or method.startswith(HARMLESS_PREFIXES)
