"""Fakes that nbdag's own tests use, shipped so that other projects can test with them.

Each fake passes the contract tests of the real thing; its docstring lists the promises that it does not keep.
"""

from __future__ import annotations

from .in_process import InProcessExecutor

__all__ = ["InProcessExecutor"]
