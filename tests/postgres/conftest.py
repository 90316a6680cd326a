"""Fixtures for what holds on PostgreSQL alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support.postgres import PostgresUnderTest, Servers, Shared, servers, shared_server
from tallystick import Ledger


@pytest.fixture(scope="session")
def shared() -> Shared:
    """The server that tests share."""
    return shared_server()


@pytest.fixture
def store(shared: Shared) -> Iterator[PostgresUnderTest]:
    """An empty store on the shared server."""
    under_test = PostgresUnderTest(shared)
    try:
        yield under_test
    finally:
        under_test.give_back()


@pytest.fixture
def ledger(store: PostgresUnderTest) -> Ledger:
    """An empty ledger, opened as a superuser."""
    return store.open()


@pytest.fixture
def database(shared: Shared) -> Iterator[str]:
    """The name of an empty database, without a ledger."""
    name = shared.new_database()
    yield name
    shared.drop(name)


@pytest.fixture
def own_servers() -> Iterator[Servers]:
    """Servers that a test may stop, copy and configure."""
    with servers() as made:
        yield made


@pytest.fixture
def as_role(store: PostgresUnderTest, ledger: Ledger) -> Callable[[str], str]:
    """The URL of that ledger for a user who is a member of that role alone."""

    def url(role: str) -> str:
        user = store.shared.make_user(f"test_{role}", member_of=role)
        return store.shared.url(store.database, user)

    return url
