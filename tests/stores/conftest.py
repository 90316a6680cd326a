"""Fixtures for what holds for every store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile

import pytest

from support.contract import ENTRY, STORES, StoreUnderTest
from support.tampering import Case, make
from tallystick import Ledger


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreUnderTest]:
    """An empty store of each kind."""
    with STORES[request.param](tmp_path) as under_test:
        yield under_test


@pytest.fixture(params=sorted(STORES), scope="module")
def lasting_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreUnderTest]:
    """A store of each kind for all of a module's tests that are refused, and so leave it as it was."""
    with STORES[request.param](tmp_path_factory.mktemp("lasting")) as under_test:
        yield under_test


@pytest.fixture(scope="module")
def lasting_ledger(lasting_store: StoreUnderTest) -> Ledger:
    """The ledger on it, with one entry of the task `t`."""
    ledger = lasting_store.open()
    ledger.append("t", ENTRY)
    return ledger


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


@pytest.fixture
def case(tmp_path: Path, one_of_everything: Path) -> Iterator[Case]:
    copyfile(one_of_everything, tmp_path / "ledger.db")
    case = Case(tmp_path / "ledger.db")
    yield case
    case.close()


@pytest.fixture
def big(tmp_path: Path, with_artifacts: Path) -> Iterator[Case]:
    copyfile(with_artifacts, tmp_path / "ledger.db")
    case = Case(tmp_path / "ledger.db")
    yield case
    case.close()
