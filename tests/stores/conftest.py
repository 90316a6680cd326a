"""Fixtures for what holds for every store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.contract import STORES, StoreUnderTest
from tallystick import Ledger


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreUnderTest]:
    """An empty store of each kind."""
    with STORES[request.param](tmp_path) as under_test:
        yield under_test


@pytest.fixture
def ledger(store: StoreUnderTest) -> Ledger:
    """A ledger just made on the store."""
    return store.open()
