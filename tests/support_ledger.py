"""Tests of what a ledger is, whichever database it is in."""

from __future__ import annotations

import pytest

BOTH = pytest.mark.parametrize("opener", ["sqlite", "postgresql"], indirect=True)
"""Runs a test whose ledger comes from the fixture ``opener`` over both databases."""
