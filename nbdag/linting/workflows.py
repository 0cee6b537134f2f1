"""Workflow files that check and test notebooks on GitHub and GitLab."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from ..errors import NbdagError, error

_GITHUB = """\
# Save it as .github/workflows/notebooks.yml
name: notebooks

on:
  push:
    branches: [main]
  pull_request:

permissions:
  contents: read

jobs:
  notebooks:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: python -m pip install {packages}
      # Problems become annotations of the pull request. NB107: notebooks without tasks are no pipelines.
      - run: git ls-files -z {pattern} | xargs -0 -r nbdag check --format github --ignore NB107
      # Tests of tasks. To run the tasks of the notebooks, too: pytest --nbdag -m nbdag_task
      - run: pytest --nbdag {folder}
"""

_GITLAB = """\
# Save it as .gitlab-ci.yml, or include it there
notebooks:
  image: python:3.12
  variables:
    PIP_CACHE_DIR: $CI_PROJECT_DIR/.cache/pip
  cache:
    paths: [.cache/pip]
  script:
    - python -m pip install {packages}
    # NB107: notebooks without tasks are no pipelines.
    - git ls-files -z {pattern} | xargs -0 -r nbdag check --ignore NB107
    # Tests of tasks. To run the tasks of the notebooks, too: pytest --nbdag -m nbdag_task
    - pytest --nbdag {folder} --junitxml=report.xml
  artifacts:
    when: always
    reports:
      junit: report.xml
"""


@error
class WorkflowFolderError(NbdagError):
    """A workflow cannot name this folder."""

    exit_code = 2
    folder: str
    reason: str
    template = "{folder} {reason}; name a folder at or below the current one"


def workflow(host: str, folder: Path) -> str:
    """Return the text of a workflow file, for "github" or "gitlab", that checks the notebooks of a folder.

    `folder` is at or below the working directory. The workflow installs the requirements of the working directory.
    """
    if not folder.is_dir():
        raise WorkflowFolderError(str(folder), "is not a folder")
    relative = os.path.relpath(folder)
    if relative.startswith(".."):
        raise WorkflowFolderError(str(folder), "is not below the current folder")
    name = Path(relative).as_posix()
    pattern = "*.ipynb" if name == "." else f"{name}/*.ipynb"
    return (_GITHUB if host == "github" else _GITLAB).format(
        packages=_packages(),
        pattern=f"'{pattern}'" if "'" not in pattern else shlex.quote(pattern),
        folder=shlex.quote(name),
    )


def _packages() -> str:
    words = ["nbdag", "pytest"]
    if Path("requirements.txt").is_file():
        words += ["-r", "requirements.txt"]
    elif any(Path(name).is_file() for name in ("pyproject.toml", "setup.py")):
        words.append(".")
    return " ".join(words)
