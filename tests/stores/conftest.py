"""Fixtures for what holds for every store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.contract import STORES, StoreUnderTest
from support.tampering import make
from tallystick import Ledger


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreUnderTest]:
    """An empty store of each kind."""
    with STORES[request.param](tmp_path) as under_test:
        yield under_test


@pytest.fixture(scope="session")
def one_of_everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed SQLite ledger to copy: see `support.tampering.make`."""
    path = tmp_path_factory.mktemp("tampering") / "ledger.db"
    make(path)
    return path


@pytest.fixture(scope="session")
def with_artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed SQLite ledger with large outputs, to copy."""
    path = tmp_path_factory.mktemp("tampering") / "big.db"
    make(path, artifacts=True)
    return path


@pytest.fixture
def ledger(store: StoreUnderTest) -> Ledger:
    """A ledger just made on the store."""
    return store.open()
