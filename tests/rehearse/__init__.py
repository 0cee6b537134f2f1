"""Tests of `nbdag rehearse`."""
