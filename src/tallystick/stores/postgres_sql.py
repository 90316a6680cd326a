"""The statements that append to one partition, and how their parameters are written in PostgreSQL's binary format."""

from __future__ import annotations

from struct import Struct

from tallystick.stores.appending import PREFIX_BYTES
from tallystick.stores.base import INLINE_OUTPUT
from tallystick.stores.postgres_schema import COLUMNS, SEALED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tallystick.stores.base import Row

BYTEA, INT8, TEXT = 17, 20, 25
"""Type OIDs of array elements."""
SYNCHRONOUS = (
    "pg_catalog.set_config('synchronous_commit', CASE pg_catalog.current_setting('synchronous_commit')"
    " WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, {local})"
)
"""Has a transaction (`local` true) or a session wait until its commit is durable; gives the setting."""
CLOCK = "(extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint"

int4, int8 = Struct(">i").pack, Struct(">q").pack
_array = Struct(">iiiii").pack
_field_count = Struct(">h").pack
_NULL = int4(-1)
_EMPTY_ARRAYS = {kind: Struct(">iii").pack(0, 0, kind) for kind in (BYTEA, INT8, TEXT)}
_COPY_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = _field_count(-1)
COPY_BLOCK = 1 << 16


class Statement:
    """A statement to prepare once on each connection. Parameters and results are binary."""

    __slots__ = ("formats", "name", "sql")

    def __init__(self, name: str, sql: str, parameters: int = 0) -> None:
        self.name = name.encode()
        self.sql = sql.encode()
        self.formats = [1] * parameters


BEGIN = Statement("begin", "BEGIN")
COMMIT = Statement("commit", "COMMIT")

_RECORD_COLUMNS = [name for name, *_ in COLUMNS["record"]]
_ARTIFACT_COLUMNS = [name for name, *_ in COLUMNS["artifact"]]
_KINDS = ["bigint", "bytea", "bytea", "bigint", "bigint", *["bytea"] * len(SEALED)]

# Moves the head where it stands where the caller thinks; all else follows from the row that this returns.
_MOVED = (
    "WITH moved AS (UPDATE tallystick.state_{digit} SET position = $4, at = $5, edge = $6, pointers = $7, moved = true"
    " WHERE session = $1 AND key = '' AND position = $2 AND edge = $3 RETURNING true)"
)
_KEYED_ONE = (
    ", keyed AS (INSERT INTO tallystick.local_idempotency_{digit} (session, key, first, last, salt, digest)"
    " SELECT $1, $18::text, $4, $4, $19::bytea, $20::bytea FROM moved WHERE $18::text IS NOT NULL)"
)
_PLACED = (
    ", pointed AS (INSERT INTO tallystick.state_{digit} (session, key, position)"
    " SELECT $1, p.key, p.position FROM moved, unnest($21::text[], $22::bigint[]) AS p (key, position)"
    " ON CONFLICT (session, key) DO UPDATE SET position = excluded.position)"
)
_APPEND_ONE = " INSERT INTO tallystick.append_{digit} ({columns}) SELECT $1, $4, {values} FROM moved"
_MOVED_MANY = (
    _MOVED + ", pointed AS (INSERT INTO tallystick.state_{digit} (session, key, position)"
    " SELECT $1, p.key, p.position FROM moved, unnest($8::text[], $9::bigint[]) AS p (key, position)"
    " ON CONFLICT (session, key) DO UPDATE SET position = excluded.position)"
    ", keyed AS (INSERT INTO tallystick.local_idempotency_{digit} (session, key, first, last, salt, digest)"
    " SELECT $1, k.* FROM moved,"
    " unnest($10::text[], $11::bigint[], $12::bigint[], $13::bytea[], $14::bytea[]) AS k)"
)
_APPEND_MANY = " INSERT INTO tallystick.record ({columns}) SELECT $1, r.* FROM moved, unnest({arrays}) AS r"


_APPENDS = (_APPEND_ONE, _APPEND_MANY)


class Statements:
    """What appends to the sessions of one partition."""

    def __init__(self, digit: str) -> None:
        columns = ", ".join(_RECORD_COLUMNS)
        values = ", ".join(f"${n}::{kind}" for n, kind in enumerate(_KINDS[1:], 8))
        arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(_KINDS, 15))
        x = digit

        def made(name: str, sql: str, parameters: int) -> Statement:
            return Statement(f"{name}_{digit}", sql, parameters)

        one, many = (text.format(digit=x, columns=columns, values=values, arrays=arrays) for text in _APPENDS)
        moved, moved_many, keyed, placed = (text.format(digit=x) for text in (_MOVED, _MOVED_MANY, _KEYED_ONE, _PLACED))
        self.append_one = made("append_one", moved + one, 17)
        self.append_keyed = made("append_keyed", moved + keyed + one, 20)
        self.append_placed = made("append_placed", moved + keyed + placed + one, 22)
        self.append_many = made("append_many", moved_many + many, 25)
        self.move = made("append_moved", f"{moved_many} SELECT FROM moved", 14)
        self.lock = made("lock", f"SELECT FROM tallystick.state_{x} WHERE session = $1 AND key = '' FOR UPDATE", 1)
        self.load = made(
            "load",
            f"SELECT {CLOCK}, {SYNCHRONOUS.format(local='true')}, s.task_id, s.header,"
            f" h.position, h.at, h.edge, h.pointers, substring(r.record, 1, {PREFIX_BYTES})"
            f" FROM (SELECT) AS one LEFT JOIN tallystick.session_{x} s ON s.key = $1"
            f" LEFT JOIN tallystick.state_{x} h ON h.session = $1 AND h.key = ''"
            f" LEFT JOIN tallystick.record_{x} r ON r.session = $1 AND r.position = h.position",
            1,
        )
        self.keys = made(
            "keys",
            f"SELECT key, last, salt, digest FROM tallystick.local_idempotency_{x}"
            " WHERE session = $1 AND key = ANY ($2::text[])",
            2,
        )
        self.pointers = made(
            "pointers",
            f"SELECT key, position FROM tallystick.state_{x} WHERE session = $1 AND key = ANY ($2::text[])",
            2,
        )
        self.create = made(
            "create",
            f"WITH made AS (INSERT INTO tallystick.session_{x} (key, ledger, task_id, header)"
            " VALUES ($1, 1, $2, $3) RETURNING key)"
            f" INSERT INTO tallystick.state_{x} (session, key, position, at, edge, pointers, moved)"
            " SELECT key, '', 0, $4, $5, '{}', true FROM made",
            5,
        )
        self.artifact = made("artifact", f"INSERT INTO tallystick.artifact_{x} VALUES ($1, $2, $3, $4, $5)", 5)
        self.hashes = {
            column: made(column, f"SELECT {column} FROM tallystick.record_{x} WHERE session = $1 AND position = $2", 2)
            for column in ("record", "node")
        }
        self.stored = made(
            "stored",
            "SELECT record, text_salt, details_salt, output_salt"
            f" FROM tallystick.record_{x} WHERE session = $1 AND position = $2",
            2,
        )
        cleared = ", ".join(
            f"{column} = CASE WHEN '{column.removesuffix('_salt')}' = ANY ($3::text[]) THEN NULL ELSE {column} END"
            for column in SEALED
        )
        self.clear = made(
            "clear", f"UPDATE tallystick.record_{x} SET {cleared} WHERE session = $1 AND position = $2", 3
        )
        self.clear_artifact = made(
            "clear_artifact", f"DELETE FROM tallystick.artifact_{x} WHERE session = $1 AND position = $2", 2
        )
        self.clear_keys = made(
            "clear_keys",
            f"UPDATE tallystick.local_idempotency_{x} SET salt = NULL, digest = NULL"
            " WHERE session = $1 AND first <= $2 AND last >= $2",
            2,
        )
        self.clear_proofs = made(
            "clear_proofs", f"DELETE FROM tallystick.local_proof_{x} WHERE session = $1 AND position = $2", 2
        )
        self.copy_records = f"COPY tallystick.record ({columns}) FROM STDIN (FORMAT BINARY)".encode()
        self.copy_artifacts = (
            f"COPY tallystick.artifact_{x} ({', '.join(_ARTIFACT_COLUMNS)}) FROM STDIN (FORMAT BINARY)".encode()
        )


_made: dict[str, Statements] = {}


def statements_of(digit: str) -> Statements:
    """The statements of that partition."""
    found = _made.get(digit)
    if found is None:
        found = _made[digit] = Statements(digit)
    return found


def array(kind: int, items: Sequence[bytes | None]) -> bytes:
    """A one-dimensional array of elements that are already binary."""
    if not items:
        return _EMPTY_ARRAYS[kind]
    parts = [_array(1, 1, kind, len(items), 1)]
    for item in items:
        if item is None:
            parts.append(_NULL)
        else:
            parts += (int4(len(item)), item)
    return b"".join(parts)


def texts(items: Iterable[str]) -> bytes:
    """A text array."""
    return array(TEXT, [item.encode() for item in items])


def integers(items: Iterable[int]) -> bytes:
    """A bigint array."""
    return array(INT8, [int8(item) for item in items])


def row_values(row: Row) -> list[bytes | None]:
    """What a record's row holds after its session: position, record, node, links, sealed parts."""
    sealed, output = row.sealed, row.sealed.output
    return [
        int8(row.position),
        row.record,
        row.node,
        int8(row.criterion_before),
        int8(row.type_before),
        sealed.text_salt,
        sealed.text,
        sealed.details_salt,
        sealed.details,
        sealed.output_salt,
        output if output is None or len(output) <= INLINE_OUTPUT else None,
    ]


def copied(rows: Iterable[Sequence[bytes | None]]) -> Iterator[bytes]:
    """Rows in the binary format of COPY, in blocks."""
    parts, size = [_COPY_BEGIN], 0
    for row in rows:
        parts.append(_field_count(len(row)))
        for item in row:
            if item is None:
                parts.append(_NULL)
            else:
                parts += (int4(len(item)), item)
                size += len(item)
        if size > COPY_BLOCK:
            yield b"".join(parts)
            parts, size = [], 0
    parts.append(_COPY_END)
    yield b"".join(parts)
