"""What a store is, and what appending means whatever it is kept in."""

from __future__ import annotations

from tallystick.errors import InputError, TamperedError
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.session import sets_phase
from tallystick.proof.merkle import Edge, leaf_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, Protocol

    from tallystick.model.header import Header
    from tallystick.model.record import Draft, Sealed
    from tallystick.stores.checkpoints import CheckpointLog

INLINE_OUTPUT = 64 * 1024
"""Bytes of output that lie beside the record; more goes into an artifact."""
CHUNK_BYTES = 1 << 20
"""Bytes of output in one row of an artifact, before compression."""
HEAD_KEY = ""
"""The key of a session's head among its pointers."""


class Head(Frozen):
    """A session's last position and the root of its Merkle tree there. Unpacks as `(position, root)`."""

    FIELDS = ("position", "root")
    __slots__ = ("_root", "position")

    position: int
    """The last entry's place; 0 for the header alone. The tree has one leaf more."""
    _root: str | Edge

    def __init__(self, position: int, root: str | Edge) -> None:
        """`root` may be the right edge that it follows from: few who append ask for it."""
        set_once(self, "position", position)
        set_once(self, "_root", root)

    @property
    def root(self) -> str:
        """64 hex digits."""
        root = self._root
        if not isinstance(root, str):
            root = root.root().hex()
            set_once(self, "_root", root)
        return root

    def __iter__(self) -> Iterator[Any]:
        return iter((self.position, self.root))

    def __str__(self) -> str:
        return f"{self.position}:{self.root}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """The head that `str` wrote. Raises InputError otherwise."""
        position, _, root = text.partition(":")
        if not (position.isascii() and position.isdigit()) or len(root) != 64 or set(root) - set("0123456789abcdef"):
            raise InputError(f"{text!r} is not a head", advice="a head is POSITION:ROOT, the root 64 hex digits")
        return cls(int(position), root)


class SessionKey(Frozen):
    """A session as its store knows it."""

    FIELDS = ("number", "ledger_id", "task_id", "header")
    __slots__ = FIELDS

    number: int
    """The store's own number for it."""
    ledger_id: str
    """The ledger it was recorded in: 32 hex digits."""
    task_id: str
    """The task it belongs to."""
    header: bytes
    """The header's record: leaf 0."""

    def __init__(self, number: int, ledger_id: str, task_id: str, header: bytes) -> None:
        set_once(self, "number", number)
        set_once(self, "ledger_id", ledger_id)
        set_once(self, "task_id", task_id)
        set_once(self, "header", header)


class Tip:
    """Where a session stands: all that appending has to know of it."""

    __slots__ = ("at", "edge", "position")

    def __init__(self, position: int, at: str, edge: Edge) -> None:
        self.position = position
        self.at = at
        self.edge = edge

    def head(self) -> Head:
        """The session's head here."""
        return Head(self.position, self.edge.copy())


def tip_from(task_id: str, row: tuple[int, str | None, bytes | None] | None) -> Tip:
    """The tip that a head's row (position, at, edge) stands for. Raises TamperedError where it cannot be one."""
    position, at, edge = row or (0, None, None)
    if not isinstance(position, int) or not isinstance(at, str) or not isinstance(edge, bytes):
        raise TamperedError("the session's head is missing", task_id=task_id)
    try:
        return Tip(position, at, Edge.unpack(position + 1, edge))
    except InputError:
        raise TamperedError("the session's head is damaged", task_id=task_id, position=position) from None


class Row:
    """An entry as it is stored: its record and what lies beside it."""

    __slots__ = ("criterion_before", "node", "position", "record", "sealed", "type_before")

    def __init__(
        self,
        position: int,
        record: bytes,
        node: bytes,
        criterion_before: int,
        type_before: int,
        sealed: Sealed,
    ) -> None:
        self.position = position
        self.record = record
        self.node = node
        """The root of the largest perfect subtree that ends at this record's leaf: 32 bytes."""
        self.criterion_before = criterion_before
        """The position of the entry before it that names the same criterion; 0 for none."""
        self.type_before = type_before
        """The position of the entry before it that has the same type; 0 for none."""
        self.sealed = sealed


class IdempotencyKey:
    """A key for one append, and the salt to remember its input with."""

    __slots__ = ("key", "salt")

    def __init__(self, key: str, salt: bytes | None) -> None:
        self.key = key
        self.salt = salt
        """None for a key that the store itself made: nobody can use it again with another input."""


def pointer_keys(rules: int, type_: str, criterion_id: str, phase_id: str) -> list[str]:
    """The keys of the pointers that an entry moves to itself: its criterion's, phase's and type's."""
    keys = [f"t{type_}"]
    if criterion_id:
        keys.append(f"c{criterion_id}")
    if sets_phase(rules, type_, phase_id):
        keys.append(f"p{phase_id}")
    return keys


class Extension:
    """What appending some drafts to a session comes to: rows to insert and pointers to set."""

    __slots__ = ("pointers", "rows")

    def __init__(self, rows: list[Row], pointers: dict[str, int]) -> None:
        self.rows = rows
        self.pointers = pointers


def extend(
    tip: Tip,
    drafts: Sequence[Draft],
    *,
    now: str,
    rules: int,
    pointers: Mapping[str, int],
    moved: dict[str, int] | None = None,
    defaults: bool = True,
) -> Extension:
    """Records for these drafts after `tip`, which moves on with them.

    `pointers` holds where the drafts' own pointer keys stood, `moved` where those stand that were moved since;
    it is what the extension goes on with. Raises InputError for a record that is too long, and then all is as
    it was.
    """
    position, edge, at = tip.position, tip.edge, max(now, tip.at)
    moved = {} if moved is None else moved
    records = [draft.record(at, number, defaults=defaults) for number, draft in enumerate(drafts, position + 1)]
    rows: list[Row] = []
    for draft, record in zip(drafts, records, strict=True):
        position += 1
        key = f"t{draft.type}"
        type_before = moved.get(key) or pointers.get(key, 0)
        moved[key] = position
        criterion_before = 0
        if draft.criterion_id:
            key = f"c{draft.criterion_id}"
            criterion_before = moved.get(key) or pointers.get(key, 0)
            moved[key] = position
        if draft.phase_id and sets_phase(rules, draft.type, draft.phase_id):
            moved[f"p{draft.phase_id}"] = position
        node = edge.append(leaf_hash(record))
        rows.append(Row(position, record, node, criterion_before, type_before, draft.sealed))
    tip.position, tip.at = position, at
    return Extension(rows, moved)


if TYPE_CHECKING:

    class Store(Protocol):
        """Where sessions are kept. Reading calls raise StoreUnavailableError; nothing here replays."""

        url: str
        """How to open it again, without a password."""
        ledger_id: str
        """The ledger's random name: 32 hex digits."""
        read_only: bool

        @property
        def log(self) -> CheckpointLog:
            """The ledger's own log of checkpoints."""

        def append(
            self,
            task_id: str,
            drafts: Sequence[Draft],
            *,
            expected_position: int | None = None,
            key: IdempotencyKey | None = None,
            defaults: bool = True,
        ) -> Head:
            """Append to our own session of that task, made where there is none; durable on return.

            `defaults` False: an entry without an id or time stays without (imports).
            Raises ConcurrencyError, IdempotencyConflict, InputError.
            """

        def create(self, header: Header, drafts: Sequence[Draft]) -> Head:
            """Make a session of ours with this header (an import) and these entries, no defaults filled.

            `header.at` and `header.ledger` are set by the store. Raises InputError where the task has one.
            """

        def erase(self, task_id: str, position: int, parts: Sequence[str], redaction: Draft) -> Head:
            """Clear sealed parts of an entry, and record the redaction that names them, at once.

            Copies may be left in what the store's files do not use, until `finish_erasures` returns.
            Raises NotFoundError, InputError.
            """

        def finish_erasures(
            self, progress: Callable[[int, int], None] | None = None, *, patience: float | None = None
        ) -> None:
            """Have the bytes of everything that was erased gone from the store's own files.

            `progress` gets (bytes done, bytes in all); `patience`: seconds to wait for readers. Raises
            StoreUnavailableError where they may still be there.
            """

        def unfinished_erasures(self) -> list[tuple[str, int]]:
            """(task id, position) of the redactions whose erased bytes may still be in the store's own files."""

        def find(self, task_id: str, ledger_id: str = "") -> SessionKey | None:
            """The task's session in that ledger (default: ours)."""

        def ledgers(self) -> list[str]:
            """The ids of the ledgers that sessions here belong to, ours among them."""

        def sessions(self) -> Iterator[SessionKey]:
            """Every session, ours and others', in the order they were made."""

        def newest_sessions(self, count: int) -> list[SessionKey]:
            """The sessions that were made last, ours and others', newest first: at most so many."""

        def tip(self, session: SessionKey) -> Tip:
            """Where the session stands."""

        def state_rows(self, session: SessionKey) -> tuple[int, list[tuple[str, int, str | None, bytes | None]]]:
            """The newest record's position, whatever the head says, and all that points: as of one moment.

            Each row is (key, position, at, edge): the head under `HEAD_KEY`, and every pointer (`c` +
            criterion, `p` + phase, `t` + type) without `at` and `edge`.
            """

        def pointer(self, session: SessionKey, key: str) -> int:
            """One pointer; 0 where it is not set."""

        def rows(
            self, session: SessionKey, start: int = 1, stop: int | None = None, *, outputs: bool = True
        ) -> Iterator[list[Row]]:
            """Rows from position `start` to `stop` (both included) in chunks, as of the head when called.

            `outputs` False leaves `sealed.output` out.
            """

        def raw_rows(self, session: SessionKey, start: int, count: int) -> list[tuple[Any, ...]]:
            """Up to `count` rows from position `start` (0: also what must not be there), whatever the head says.

            What verification reads.

            Each is (position, record, node, criterion_before, type_before, text_salt, text, details_salt,
            details, output_salt, output).
            """

        def row(self, session: SessionKey, position: int) -> Row | None:
            """One row, output included where it lies beside the record."""

        def artifact(self, session: SessionKey, position: int) -> Iterator[bytes]:
            """The kept output of an entry that has it in an artifact, in pieces; none where it has not.

            Raises TamperedError where the pieces are not as they were stored.
            """

        def faults(self, session: SessionKey | None = None) -> Iterator[tuple[str, int | None, str]]:
            """What is wrong with the store beyond its sessions: (task id or "", position, what).

            With a session given, only what concerns it: the schema that guards it.
            """

        def remember_proofs(self, proofs: Sequence[tuple[bytes, SessionKey, int]]) -> None:
            """Keep where passing results stand: (what each is a result of, as a digest; session; position).

            An index of this store alone, that no proof covers. Erasing a part of such an entry forgets it.
            """

        def proofs(self, digest: bytes, limit: int | None = None) -> list[tuple[SessionKey, int]]:
            """The results kept under that digest, those of the newest session first; with a limit, up to that many.

            Nothing is known of them but that they were kept: whoever uses one verifies it where it stands.
            """

        def changes(
            self, known: Mapping[int, int], *, only: Sequence[str] | None = None, interval: float = 1.0
        ) -> Iterator[list[tuple[SessionKey, int]]]:
            """Our sessions whose heads lie beyond where `known` (number → position) has them, as they move, for ever.

            Each with its head's position. `only`: those of these tasks. A list is empty where nothing moved for
            about `interval` seconds.
            """

        def close(self) -> None:
            """Give the connections back. The store can no longer be used."""
