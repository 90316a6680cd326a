"""Waiting for what others append to a PostgreSQL ledger.

Appends never notify: NOTIFY takes a lock that all commits of a cluster share. One of the watchers, whoever holds
an advisory lock, looks at the heads whenever the write-ahead log has grown and notifies the others, after the
appends were committed. What they are told is only a hint; each looks at the heads itself from time to time, so
that nothing is missed where notifications are, and a commit that comes late is found when it has come.
"""

from __future__ import annotations

import time
from datetime import timedelta

import psycopg

from tallystick.clock import format_time, parse_time
from tallystick.errors import InputError
from tallystick.stores.base import HEAD_KEY, SessionKey
from tallystick.stores.postgres_errors import CannotConnectError, is_passing, store_error
from tallystick.stores.postgres_schema import session_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from tallystick.stores.postgres_connection import Link

    Moved = list[tuple[SessionKey, int]]

CHANNEL = "tallystick_moved"
LEADER = 0x74616C7A
"""The advisory lock of the watcher that looks for all."""
LATE_SECONDS = 120
"""By how much a record's time may be older than that of one seen before, where not every head is looked at."""
FULL_SECONDS = 30.0
"""After this long every head is looked at."""
SCAN_SHARE = 10
AT_ONCE = 500
HINT_BYTES = 7_500
"""A notification carries less than 8,000 bytes."""
RECONNECT_SECONDS = 1.0


class Watcher:
    """One watcher, with a connection of its own. See `Store.changes`."""

    def __init__(
        self,
        connect: Callable[[], Link],
        ledger_id: str,
        known: Mapping[int, int],
        only: Sequence[str] | None,
        interval: float,
    ) -> None:
        self._connect = connect
        self._ledger_id = ledger_id
        self._seen = {number.to_bytes(16, "big"): position for number, position in known.items()}
        self._only = None if only is None else [session_key(ledger_id, task_id) for task_id in only]
        self._interval = interval
        self._link: Link | None = None
        self._leads = self._alone = False
        self._newest, self._log_end = "", ""
        self._looked = self._busy = 0.0

    def changes(self) -> Iterator[Moved]:
        """See `Store.changes`."""
        try:
            while True:
                try:
                    yield from self._step(self._link or self._begin())
                except CannotConnectError as error:
                    yield from self._lost(error if not error.passing else None)
                except psycopg.Error as error:
                    assert self._link is not None
                    yield from self._lost(None if is_passing(error) else store_error(error, self._link.target))
        finally:
            self._end()

    def _begin(self) -> Link:
        link = self._link = self._connect()
        # Here tables are read whole.
        ((self._alone, _),) = link.query("SELECT pg_is_in_recovery(), set_config('enable_seqscan', 'on', false)")
        if not self._alone:
            link.connection.execute(f"LISTEN {CHANNEL}")
        self._leads, self._looked, self._log_end = False, 0.0, ""
        return link

    def _lost(self, error: Exception | None) -> Iterator[Moved]:
        self._end()
        if error is not None:
            raise error
        yield []
        time.sleep(min(RECONNECT_SECONDS, self._interval))

    def _end(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _step(self, link: Link) -> Iterator[Moved]:
        now = time.monotonic()
        if now - self._looked > FULL_SECONDS or not self._newest:
            log_end = self._end_of_log(link)
            yield from self._scan(link, "")
            self._log_end = log_end
            return
        if not self._leads and not self._alone and self._only is None:
            ((self._leads,),) = link.query("SELECT pg_try_advisory_lock(%s)", (LEADER,))
        if self._leads or self._alone or self._only is not None:
            yield from self._look(link)
        else:
            yield from self._listen(link)

    def _end_of_log(self, link: Link) -> str:
        function = "pg_last_wal_replay_lsn" if self._alone else "pg_current_wal_insert_lsn"
        ((position,),) = link.query(f"SELECT coalesce({function}()::text, '')")
        return str(position)

    def _look(self, link: Link) -> Iterator[Moved]:
        """Look at the heads where the write-ahead log has grown, as soon as it has."""
        deadline = time.monotonic() + self._interval
        while True:
            now, log_end = time.monotonic(), self._end_of_log(link)
            if log_end != self._log_end and now >= self._busy:
                self._log_end = log_end
                yield from self._scan(link, self._since())
                self._busy = time.monotonic() + (time.monotonic() - now) * (SCAN_SHARE - 1)
                return
            if now >= deadline:
                yield []
                return
            time.sleep(min(self._interval / 5, 0.2))

    def _listen(self, link: Link) -> Iterator[Moved]:
        """Look at those heads that the leader names."""
        keys: set[bytes] = set()
        for notification in link.connection.notifies(timeout=self._interval, stop_after=1):
            keys |= _hinted(notification.payload)
        yield from self._moved(link, "AND session = ANY (%s)", (list(keys),)) if keys else [[]]

    def _since(self) -> str:
        try:
            moment = parse_time(self._newest)
        except InputError:
            return ""
        return format_time(moment - timedelta(seconds=LATE_SECONDS))

    def _scan(self, link: Link, since: str) -> Iterator[Moved]:
        if not since:
            self._looked = time.monotonic()
        if self._only is not None:
            yield from self._moved(link, "AND session = ANY (%s)", (self._only,))
        elif since:
            yield from self._moved(link, "AND at >= %s", (since,))
        else:
            yield from self._moved(link, "", ())

    def _moved(self, link: Link, condition: str, arguments: tuple[object, ...]) -> Iterator[Moved]:
        rows = link.query(
            f"SELECT session, position, at FROM tallystick.state WHERE key = '{HEAD_KEY}' {condition}", arguments
        )
        self._newest = max((at for *_, at in rows if at), default=self._newest) or "0001-01-03"
        fresh = {key: position for key, position, _ in rows if position > self._seen.get(key, -1)}
        keys = sorted(fresh)
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            found = link.query(
                "SELECT key, task_id, header FROM tallystick.session WHERE ledger = 1 AND key = ANY (%s)", (some,)
            )
            self._seen.update((key, fresh[key]) for key in some)
            if self._leads:
                self._tell(link, (key for key, *_ in found))
            yield [(SessionKey(int.from_bytes(key), self._ledger_id, *named), fresh[key]) for key, *named in found]
        if not keys:
            yield []

    def _tell(self, link: Link, keys: Iterable[bytes]) -> None:
        hints = [key.hex() for key in keys]
        at_once = HINT_BYTES // 33
        for start in range(0, len(hints), at_once):
            link.query("SELECT pg_notify(%s, %s)", (CHANNEL, " ".join(hints[start : start + at_once])))


def _hinted(payload: str) -> set[bytes]:
    """The session keys that a notification names; anybody may send one."""
    try:
        return {key for word in payload.split() if len(key := bytes.fromhex(word)) == 16}
    except ValueError:
        return set()
