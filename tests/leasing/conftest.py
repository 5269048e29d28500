"""What tests of leases share."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_gpudiscover.leasing.book import Book


@pytest.fixture
def book(tmp_path: Path) -> Book:
    """A book that does not exist yet."""
    return Book(tmp_path / "leases" / "machine")
