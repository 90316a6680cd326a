"""Waiting for what others append to a SQLite ledger: its data version is polled, which reads one page."""

from __future__ import annotations

import time

from tallystick.stores.base import HEAD_KEY, SessionKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    Query = Callable[..., list[Any]]
    Moved = list[tuple[SessionKey, int]]

POLL_SECONDS = 0.05
LOOK_SECONDS = 10.0
"""After this long the heads are looked at whatever the data version says."""
SCAN_SHARE = 10
"""Looking at all heads takes at most one part of the time in so many."""
AT_ONCE = 500


def changes(
    query: Query, ledger_id: str, known: Mapping[int, int], only: Sequence[str] | None, interval: float
) -> Iterator[Moved]:
    """See `Store.changes`."""
    seen, version, looked, busy = dict(known), None, 0.0, 0.0
    while True:
        deadline = time.monotonic() + interval
        while True:
            now = time.monotonic()
            ((current,),) = query("PRAGMA data_version")
            if now >= busy and (current != version or now - looked > LOOK_SECONDS):
                moved = _moved(query, ledger_id, seen, only)
                version, looked = current, now
                busy = time.monotonic() + (time.monotonic() - now) * (SCAN_SHARE - 1)
                yield from moved
                break
            if now >= deadline:
                yield []
                break
            time.sleep(min(POLL_SECONDS, interval))


def _moved(query: Query, ledger_id: str, seen: dict[int, int], only: Sequence[str] | None) -> Iterator[Moved]:
    named = "" if only is None else f" AND s.task_id IN ({', '.join('?' * len(only))})"
    heads = query(
        f"SELECT s.number, t.position FROM session s JOIN state t ON t.session = s.number AND t.key = '{HEAD_KEY}'"
        f" WHERE s.ledger = 1{named}",
        tuple(only or ()),
    )
    fresh = {number: position for number, position in heads if position > seen.get(number, -1)}
    numbers = sorted(fresh)
    for start in range(0, len(numbers), AT_ONCE):
        some = numbers[start : start + AT_ONCE]
        rows = query(
            f"SELECT number, task_id, header FROM session WHERE number IN ({', '.join('?' * len(some))})", some
        )
        seen.update((number, fresh[number]) for number in some)
        yield [(SessionKey(number, ledger_id, *named), fresh[number]) for number, *named in rows]
