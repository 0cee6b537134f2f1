"""Which versions the files beside a notebook pin, and what is reported about imported packages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbdag.rehearse.observations import Module, Observations
from nbdag.rehearse.pins import package_findings, read_pins

UV = '[[package]]\nname = "pandas"\nversion = "2.2.3"\n'
CONDA = "dependencies:\n  - python=3.12\n  - pandas=2.2.3=py312_0\n  - numpy\n  - pip:\n    - scikit-learn==1.5.0\n"


@pytest.mark.parametrize(
    ("file", "text", "pins"),
    [
        ("requirements.txt", "pandas==2.2.3\nnumpy>=1\n# x==1\n-e .\n", {"pandas": "2.2.3", "numpy": None}),
        ("requirements.txt", "pandas==2.* ; python_version > '3'", {"pandas": None}),
        ("requirements.txt", "pandas==2.2.3 \\\n  --hash=sha256:ab", {"pandas": "2.2.3"}),
        ("requirements-dev.txt", "Scikit_Learn[all]===1.5.0", {"scikit-learn": "1.5.0"}),
        ("requirements.txt", "-r missing.txt\n-r requirements.txt\npandas==1", {"pandas": "1"}),
        ("uv.lock", UV, {"pandas": "2.2.3"}),
        ("poetry.lock", UV, {"pandas": "2.2.3"}),
        ("pylock.toml", UV.replace("[[package]]", "[[packages]]"), {"pandas": "2.2.3"}),
        ("Pipfile.lock", json.dumps({"default": {"pandas": {"version": "==2.2.3"}}}), {"pandas": "2.2.3"}),
        ("environment.yml", CONDA, {"python": "3.12", "pandas": "2.2.3", "numpy": None, "scikit-learn": "1.5.0"}),
        (
            "pyproject.toml",
            '[project]\ndependencies = ["pandas==2.2.3", "numpy"]\n',
            {"pandas": "2.2.3", "numpy": None},
        ),
        ("environment.yml", "dependencies: [", {}),
        ("environment.yml", "- a\n- b\n", {}),
        ("uv.lock", "[[", {}),
        ("Pipfile.lock", "[]", {}),
    ],
)
def test_a_file_pins_a_package_if_it_allows_one_version(
    file: str, text: str, pins: dict[str, str | None], tmp_path: Path
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / file).write_text(text)
    assert read_pins(tmp_path).versions == pins


def test_files_of_the_folders_above_count_up_to_the_repository(tmp_path: Path) -> None:
    folder = tmp_path / "repository" / "notebooks"
    folder.mkdir(parents=True)
    (tmp_path / "requirements.txt").write_text("numpy==1.0\n")
    (tmp_path / "repository" / ".git").mkdir()
    assert read_pins(folder).versions == {}
    (tmp_path / "repository" / "uv.lock").write_text(UV)
    assert read_pins(folder).versions == {"pandas": "2.2.3"}


def module(version: str | None, *, file: str = "/venv/lib/site-packages/m.py", name: str | None = "pandas") -> Module:
    return Module(file=file, distribution=name, version=version)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (module("2.2.3"), None),
        (module("2.2.3.0"), None),
        (module("2.3.0"), "pandas 2.3.0 is installed, but uv.lock pins 2.2.3"),
        (module("1.0", name="numpy"), "uv.lock does not pin numpy"),
        (module(None, name=None), None),  # part of an installed package that has no metadata
        (module(None, name=None, file="/home/ann/lib/m.py"), "module m comes from /home/ann/lib"),
    ],
)
def test_an_imported_package_is_reported_unless_it_is_pinned(found: Module, says: str | None, tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text(UV)
    seen = Observations(modules={"m": found, "of_a_library": module("9", name="other")})
    findings = package_findings(seen, read_pins(tmp_path), tmp_path, {"m": (2, 1)})
    assert [(each.cell, each.line) for each in findings] == ([] if says is None else [(2, 1)])
    assert says is None or says in findings[0].message


def test_a_module_beside_the_notebook_is_no_finding(tmp_path: Path) -> None:
    own = module(None, name=None, file=str(tmp_path / "helpers.py"))
    assert package_findings(Observations(modules={"m": own}), read_pins(tmp_path), tmp_path, {"m": (0, 1)}) == []
