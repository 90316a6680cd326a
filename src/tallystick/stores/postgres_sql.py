"""The statements that append to one partition, and how their parameters are written in PostgreSQL's binary format."""

from __future__ import annotations

from struct import Struct

from tallystick.stores import postgres_schema as schema
from tallystick.stores.base import INLINE_OUTPUT
from tallystick.stores.postgres_function import called
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
APPEND_VALUES, KEY_VALUES, EXTEND_VALUES = 15, 3, 23
"""How many values `append` and `extend` take, and how many more an idempotency key is."""


class Statements:
    """What appends to the sessions of one partition."""

    def __init__(self, digit: str) -> None:
        columns = ", ".join(_RECORD_COLUMNS)
        x = digit

        def made(name: str, sql: str, parameters: int) -> Statement:
            return Statement(f"{name}_{digit}", sql, parameters)

        def calling(name: str, function: str, count: int) -> Statement:
            parameters = ", ".join(f"${n}" for n in range(1, count + 1))
            return made(name, f"SELECT tallystick.{called(function, x)}({parameters})", count)

        self.append_one = calling("append_one", "append", APPEND_VALUES)
        self.append_keyed = calling("append_keyed", "append_keyed", APPEND_VALUES + KEY_VALUES)
        self.append_many = calling("append_many", "extend", EXTEND_VALUES)
        self.batch = made("batch", "SELECT pg_catalog.set_config('tallystick.batch', $1, true)", 1)
        self.hold = made("hold", f"SELECT * FROM tallystick.hold_{x}($1)", 1)
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
        self.create = calling("create", "begin", 2)
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


_made: dict[tuple[int, str], Statements] = {}


def statements_of(digit: str) -> Statements:
    """The statements of that partition, for the schema of this version."""
    key = (schema.SCHEMA_VERSION, digit)
    found = _made.get(key)
    if found is None:
        found = _made[key] = Statements(digit)
    return found


def array(kind: int, items: Sequence[bytes | None]) -> bytes:
    """A one-dimensional array of elements that are already binary."""
    if not items:
        return _EMPTY_ARRAYS[kind]
    parts = [_array(1, int(None in items), kind, len(items), 1)]
    for item in items:
        if item is None:
            parts.append(_NULL)
        else:
            parts += (int4(len(item)), item)
    return b"".join(parts)


def elements(packed: bytes | None) -> list[bytes | None]:
    """The elements of an array, whatever its dimensions are."""
    if not packed:
        return []
    place, found = 12 + 8 * int.from_bytes(packed[:4], "big"), []
    while place < len(packed):
        size = int.from_bytes(packed[place : place + 4], "big", signed=True)
        place += 4
        found.append(packed[place : place + size] if size >= 0 else None)
        place += max(size, 0)
    return found


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
