"""What became of a write that nobody answered is never claimed to be known."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from support.contract import ENTRY
from support.postgres import PostgresUnderTest
from tallystick import Ledger, StoreUnavailableError
from tallystick.stores import postgres
from tallystick.stores.postgres_connection import Link
from tallystick.stores.postgres_errors import CannotConnectError, Interrupted


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("count", [1, 3])
def test_a_server_that_is_lost_with_the_answer(
    store: PostgresUnderTest, monkeypatch: pytest.MonkeyPatch, count: int, done: bool
) -> None:
    """It may have recorded what it was sent, whatever those say who are asked after it."""
    monkeypatch.setattr(postgres, "RETRY_SECONDS", 0.3)
    ledger = store.open()
    ledger.append("t", ENTRY)
    run = Link.run

    def lost(link: Link, statement: Any, parameters: Any) -> Any:
        if done:
            run(link, statement, parameters)
        link.connection.pgconn.finish()
        monkeypatch.setattr(ledger.store._pool, "_connect", away)
        raise psycopg.OperationalError("the answer never came")

    def away() -> Link:
        raise CannotConnectError("nobody there", where="the server", advice="start it")

    with monkeypatch.context() as patch:
        patch.setattr(Link, "run", lost)
        with pytest.raises(StoreUnavailableError, match="whether this was recorded is not known"):
            ledger.append("t", [ENTRY] * count, idempotency_key="k")
    with Ledger.open(store.url) as again:
        assert again.head("t").position == (1 + count if done else 1)
        assert again.append("t", [ENTRY] * count, idempotency_key="k").position == 1 + count
        again.verify()


def test_a_full_disk_after_an_answer_that_never_came(store: PostgresUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the second attempt meets says nothing of the first."""
    ledger = store.open()
    ledger.append("t", ENTRY)

    def lost(link: Link, statement: Any, parameters: Any) -> Any:
        link.connection.pgconn.finish()
        raise psycopg.OperationalError("the answer never came")

    def full(link: Link, work: Any) -> Any:
        raise psycopg.errors.DiskFull("No space left on device")

    monkeypatch.setattr(Link, "run", lost)
    monkeypatch.setattr(Link, "pipeline", full)
    with pytest.raises(StoreUnavailableError, match=r"No space left.* whether this was recorded is not known"):
        ledger.append("t", ENTRY, idempotency_key="k")


def test_what_was_done_before_waits_like_what_is_done_now(
    store: PostgresUnderTest, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second attempt that finds its work done writes to the log all the same: so it waits for a standby."""
    ended: list[str] = []

    def work(connection: psycopg.Connection[Any]) -> bool:
        connection.execute("INSERT INTO tallystick.local_lease VALUES ('x', 'y', now()) ON CONFLICT DO NOTHING")
        row = connection.execute("SELECT pg_current_xact_id_if_assigned()::text").fetchone()
        assert row is not None
        ended.append(row[0])
        if len(ended) == 1:
            connection.execute("COMMIT")
            raise Interrupted("no standby confirmed the commit")
        return True

    assert ledger.store._write(work)
    assert len(ended) == 2
    assert ended[1] is not None
