"""The modules that could be imported ahead of a notebook's cells."""

from __future__ import annotations

import pytest

from nbdag.core.cells.imports import imported

CASES = [
    (["import a"], ["a"]),
    (["import a.b as c, d"], ["a.b", "d"]),
    (["from a.b import c, d"], ["a.b:c", "a.b:d"]),
    (["from a import *"], ["a"]),
    (["import a", "import b", "import a"], ["a", "b"]),
    (["from . import a", "from .b import c", "from __future__ import annotations"], []),
    (["try:\n    import a\nexcept ImportError:\n    import b\nelse:\n    import c"], ["a", "b", "c"]),
    (["if x:\n    import a\nelse:\n    import b", "with x:\n    import c"], ["a", "b", "c"]),
    (["def f():\n    import a", "class C:\n    import b", "async def g():\n    import c"], []),
    (["%matplotlib inline\nimport a", "%%time\nimport b", "!pip list\nimport c"], ["a", "b", "c"]),
    (["import a", "this is no Python", "import b"], ["a", "b"]),
    # What changes the meaning of an import keeps what stands below it from being imported ahead.
    (["import a", "import os\nos.environ['X'] = '1'", "import b"], ["a", "os"]),
    (["os.environ.setdefault('X', '1')\nimport a"], []),
    (["os.environ.update(X='1')\nimport a"], []),
    (["del os.environ['X']\nimport a"], []),
    (["os.putenv('X', '1')\nimport a"], []),
    (["load_dotenv()\nimport a"], []),
    (["import a\n%env X=1\nimport b"], ["a"]),
    (["sys.path.insert(0, 'src')\nimport a"], []),
    (["sys.path = ['src', *sys.path]\nimport a"], []),
    (["if x:\n    os.environ['X'] = '1'\nimport a"], []),
    # These do not.
    (["print(os.environ['X'], os.environ.get('Y'))\nimport a"], ["a"]),
    (["sys.path.append('..')\nimport a"], ["a"]),
    (["def f():\n    os.environ['X'] = '1'\nimport a"], ["a"]),
    (["%env\nimport a"], ["a"]),
]


@pytest.mark.parametrize(("cells", "expected"), CASES)
def test_imports_of_cells_are_found(cells, expected):
    assert list(imported(tuple(cells))) == expected
