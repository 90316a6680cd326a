"""Fixtures for ledgers that are copied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.contract import STORES, StoreUnderTest
from tallystick import Ledger


@pytest.fixture(params=sorted(STORES))
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreUnderTest]:
    """A store of each kind to copy into."""
    (tmp_path / "target").mkdir()
    with STORES[request.param](tmp_path / "target") as under_test:
        yield under_test


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger in a file."""
    with Ledger.open(str(tmp_path / "source.db")) as ledger:
        yield ledger
