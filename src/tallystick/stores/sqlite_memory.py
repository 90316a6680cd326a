"""What a writing connection remembers between its commits."""

from __future__ import annotations

from tallystick.stores.appending import CACHED_SESSIONS
from tallystick.stores.sqlite_appended import prepare
from tallystick.stores.sqlite_connection import grow_log

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from tallystick.stores.appending import Standing

VIEW_AFTER = 8
"""From how many appends on making the view `appended` pays."""
GROW_AFTER = 64
"""From how many appends on a log that no longer grows pays."""
SESSIONS = 4_096
POINTERS = 4_096
"""Of one session."""


class Memory:
    """Where a connection's own commits left sessions, for as long as nobody else commits."""

    __slots__ = ("_appends", "_data_version", "_grown", "_standings", "left", "viewed")

    def __init__(self) -> None:
        self._data_version = -1
        self._standings: dict[int, Standing] = {}
        self.left: dict[int, tuple[int, int]] = {}
        """By session: its rules, and the position up to which no later version wrote to it."""
        self._appends = 0
        self._grown = False
        self.viewed = False
        """Whether the connection has the view `appended`."""

    def prepare(self, connection: sqlite3.Connection, path: str, appends: int) -> None:
        """Before so many more appends: what pays for a connection that appends a lot. Outside a transaction."""
        self._appends += appends
        if not self.viewed and self._appends >= VIEW_AFTER:
            prepare(connection)
            self.viewed = True
        if not self._grown and self._appends >= GROW_AFTER:
            grow_log(connection, path)
            self._grown = True

    def forget(self) -> None:
        """Something else than appends may change what is remembered."""
        self._standings.clear()

    def check(self, connection: sqlite3.Connection) -> None:
        """In a transaction: forget everything where another connection has committed since the last one."""
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version != self._data_version:
            self._standings.clear()
            self._data_version = version

    def standing(self, number: int) -> Standing | None:
        """Where the session was left; None where it is not remembered. To look at, not to change."""
        return self._standings.get(number)

    def take(self, number: int) -> Standing | None:
        """The session's standing, no longer remembered: a transaction may fail half-way."""
        return self._standings.pop(number, None)

    def keep(self, standings: Iterable[Standing]) -> None:
        """Remember what a commit wrote."""
        if len(self._standings) > SESSIONS:
            self._standings.clear()
        if len(self.left) > CACHED_SESSIONS:
            self.left.clear()
        for standing in standings:
            standing.settle()
            self.left[standing.session.number] = (standing.rules, standing.tip.position)
            if len(standing.pointers) > POINTERS:
                standing.pointers.clear()
            self._standings[standing.session.number] = standing
