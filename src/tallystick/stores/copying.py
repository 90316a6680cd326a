"""What moves from one store to another, piece by piece, and what a store gives that takes it.

A piece is a run of a session's records, verified already, with where the session stands after it. Whoever takes
pieces does so in one transaction, so that what is there is at any moment the beginning of the history it came from.
"""

from __future__ import annotations

from hashlib import sha256

from tallystick.errors import CheckFailedError, TamperedError
from tallystick.model.record import decode_record
from tallystick.stores.base import INLINE_OUTPUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Protocol, TypeAlias

    from tallystick.stores.base import SessionKey, Store, Tip

    KeyRow: TypeAlias = tuple[str, int, int, bytes | None, bytes | None]
    """What is remembered of an idempotency key: key, first and last position, salt, digest of the input."""
    RawRow: TypeAlias = tuple[Any, ...]
    """A record and what lies beside it, as `Store.raw_rows` gives it."""

SALT, OUTPUT = 9, 10
"""Where in a raw row the output's salt and the output stand."""
NEW = -1
"""Where a session stands that is not there."""


class Piece:
    """Some records of one session, to be appended where the target has all those before them."""

    __slots__ = (
        "before", "cleared", "keys", "own", "pointers", "proofs", "read_output", "rows", "session", "size", "tip",
    )  # fmt: skip

    def __init__(self, session: SessionKey, before: int, tip: Tip, *, own: bool) -> None:
        self.session = session
        """The session, as the source knows it."""
        self.own = own
        """Whether it is one of the target's own ledger."""
        self.before = before
        """The position that the target's session stands at; `NEW` where there is none."""
        self.tip = tip
        """Where the session stands after this."""
        self.rows: list[RawRow] = []
        """The records in order, outputs that lie in artifacts not with them."""
        self.size = 0
        """Their bytes."""
        self.read_output: Callable[[int], Iterator[bytes]] = lambda _: iter(())
        """The output in pieces that lies in the artifact of the entry at a position."""
        self.pointers: dict[str, int] = {}
        """The pointers that move, and where to."""
        self.cleared: list[tuple[int, str]] = []
        """(position, part) of what the target still has and one of these records erases."""
        self.keys: list[KeyRow] = []
        """The idempotency keys of these records."""
        self.proofs: list[tuple[bytes, int]] = []
        """(digest, position) of the passing results among these records."""

    def complete(self) -> Iterator[list[RawRow]]:
        """The rows with their whole outputs: those with a large one each alone, so that memory holds one of them.

        Raises TamperedError where an output is no longer the one that its record commits to.
        """
        plain: list[RawRow] = []
        for row in self.rows:
            if row[OUTPUT] is not None or row[SALT] is None:
                plain.append(row)
                continue
            if plain:
                yield plain
                plain = []
            yield [(*row[:OUTPUT], self._output(row))]
        if plain:
            yield plain

    def _output(self, row: RawRow) -> bytes:
        output = b"".join(self.read_output(row[0]))
        if sha256(row[SALT] + output).hexdigest() != decode_record(row[1]).output:
            raise TamperedError(
                "its output was changed or erased while it was read",
                task_id=self.session.task_id,
                position=row[0],
                advice="run notch verify, and copy again",
            )
        return output

    def require_at(self, held: int) -> None:
        """Raises CheckFailedError where the target's session stands elsewhere by now."""
        if held != self.before:
            raise elsewhere(self.session.task_id)


def elsewhere(task_id: str) -> CheckFailedError:
    """The error for a session of the target that is not where it was a moment ago."""
    return CheckFailedError(
        "somebody else writes to it in the target",
        where=task_id,
        advice="copy again: what is there stays, and the rest follows",
    )


def has_artifact(row: RawRow) -> bool:
    """Whether the output in this row is too large to lie beside its record."""
    return row[OUTPUT] is not None and len(row[OUTPUT]) > INLINE_OUTPUT


def beside(row: RawRow) -> bytes | None:
    """The output that lies beside the record."""
    output: bytes | None = row[OUTPUT]
    return None if has_artifact(row) else output


if TYPE_CHECKING:

    class CopyTarget(Store, Protocol):
        """A store that whole sessions are copied into."""

        def take_over(self, ledger_id: str) -> None:
            """Make this ledger, which is empty, the one with that id.

            Raises InputError where it is not empty, StoreUnavailableError where the user may not.
            """

        def take(self, pieces: Sequence[Piece]) -> None:
            """Append the pieces, in order and in one transaction; durable on return.

            Raises CheckFailedError where a session is not where its piece goes on, TamperedError.
            """
