"""Fakes that nbdag's own tests use, shipped so that other projects can use them in their tests.

Each fake passes the contract tests of the class that it replaces. Its docstring lists what it does not support.
"""

from __future__ import annotations

from .in_process import InProcessExecutor

__all__ = ["InProcessExecutor"]
