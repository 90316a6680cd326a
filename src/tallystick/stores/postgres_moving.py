"""The functions by which the database itself moves where a session stands, and refuses what would stop others.

Clients hash, and insert records; a session's row in `state`, its idempotency keys and the session itself are written
by these functions alone, which run as the owner. `append` takes one entry of a session whose pointers are all known,
with one statement: each of its conditions is paid for by every append, so there is none too many. Whatever else is
inserted into `record` sets off the trigger function `record_append`, which moves the head past it, as the setting
`tallystick.batch` says: JSON of the same transaction with

    place, known   where the client thinks that the session stands: position, and edge in hex
    at, edge       where it stands after: the time of the last record, and the edge in hex
    pointers       the pointers that move, and where to
    keys           idempotency keys: [key, first, last, salt in hex or null, digest in hex or null]
"""

from __future__ import annotations

from tallystick.stores import postgres_schema as schema
from tallystick.stores.postgres_schema import (
    DURABILITY_STATE,
    MOVED_STATE,
    PARTITIONS,
    REFUSED_STATE,
    VERSION_STATE,
)

INLINE_POINTERS = 64
"""How many pointers lie in the head's own row, which every append writes anyway; more get rows of their own."""
INLINE_BYTES = 1_000
"""How long their names may be in all: a row over 2 kB would be compressed at every append."""
AHEAD_SECONDS = 10
"""How far a record's time may be ahead of the server's clock: twice what a machine's clock may be."""
RECORD_BYTES = 65_535
_START = '{"v":1,"kind":"entry","at":"'
_TIME = "YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\""
_LATEST = (
    f"pg_catalog.to_char(pg_catalog.timezone('UTC', pg_catalog.clock_timestamp()"
    f" OPERATOR(pg_catalog.+) '{AHEAD_SECONDS} seconds'::pg_catalog.interval), '{_TIME}')"
)
_RAISE = f"USING ERRCODE = '{REFUSED_STATE}'"
_EDGE_BYTES = "32 * bit_count(int8send({position} + 1))"
"""How long the right edge of a session at a position is: its tree has a leaf more, the header."""


class Function:
    """One function: what it takes, gives and does, and how it runs."""

    __slots__ = ("arguments", "body", "name", "pinned", "returns", "secure")

    def __init__(
        self, name: str, body: str, *, arguments: str = "", returns: str = "trigger", secure: bool, pinned: bool = True
    ) -> None:
        self.name = name
        self.body = body
        self.arguments = arguments
        self.returns = returns
        self.secure = secure
        """Whether it runs as the owner."""
        self.pinned = pinned
        """Whether it has a search path of its own; where not, every name in it is qualified."""

    @property
    def statement(self) -> str:
        """What makes the function, or replaces it by that of this version."""
        return (
            f"CREATE OR REPLACE FUNCTION tallystick.{self.name}({self.arguments}) RETURNS {self.returns}"
            f" LANGUAGE plpgsql{' SECURITY DEFINER' if self.secure else ''}"
            f"{' SET search_path = pg_catalog, pg_temp' if self.pinned else ''} AS $body${self.body}$body$"
        )


def functions() -> list[Function]:
    """Every one of them."""
    made = [
        Function("require_client", _require_client(), returns="void", secure=False),
        Function("require_time", _require_time(), arguments="at text", returns="void", secure=False),
        Function("record_append", _record_append(), secure=True),
    ]
    for digit in PARTITIONS:
        made += [
            Function(
                f"append_{digit}", _append(digit), arguments=_APPENDED, returns="boolean", secure=True, pinned=False
            ),
            Function(f"begin_{digit}", _begin(digit), arguments="one bytea, head bytea", returns="void", secure=True),
            Function(f"hold_{digit}", _hold(digit), arguments="one bytea", returns="void", secure=True),
            Function(f"move_{digit}", _move(digit), arguments=_MOVED, returns="void", secure=True),
            Function(f"artifact_append_{digit}", _artifact_append(digit), secure=False),
            Function(f"local_proof_append_{digit}", _proof_append(digit), secure=False),
        ]
    return made


def _require_client() -> str:
    return f"""
BEGIN
    IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
        RAISE EXCEPTION 'tallystick: synchronous_commit is %', current_setting('synchronous_commit')
            USING ERRCODE = '{DURABILITY_STATE}';
    END IF;
    IF current_setting('tallystick.schema', true) IS DISTINCT FROM '{schema.SCHEMA_VERSION}' THEN
        RAISE EXCEPTION 'tallystick: the schema is {schema.SCHEMA_VERSION}, the client says %',
            coalesce(current_setting('tallystick.schema', true), 'nothing')
            USING ERRCODE = '{VERSION_STATE}';
    END IF;
END"""


def _require_time() -> str:
    return f"""
BEGIN
    IF at !~ '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}[.][0-9]{{6}}Z$' THEN
        RAISE EXCEPTION 'tallystick: a record has no time' {_RAISE};
    END IF;
    IF at COLLATE "C" > {_LATEST} THEN
        RAISE EXCEPTION 'tallystick: the time % is in the future', at {_RAISE};
    END IF;
END"""


_APPENDED = (
    "one bytea, place bigint, known bytea, said text, reached bytea, stands bigint[], entry bytea, root bytea,"
    " criterion bigint, kind bigint, text_salt bytea, text_part bytea, details_salt bytea, details_part bytea,"
    " output_salt bytea, output_part bytea, name text, key_salt bytea, key_digest bytea"
)


def _append(digit: str) -> str:
    """One entry. False where the session is not where the client thinks.

    It runs under the client's search path, since setting another one would slow every append down: so every name
    and operator is qualified. Constants are typed, so that no cast of a client's making comes in between.
    """
    equal, plus, joined, at_most, times = (f"OPERATOR(pg_catalog.{one})" for one in ("=", "+", "||", "<=", "*"))
    next_place = f"(place {plus} 1::pg_catalog.int8)"
    return f"""
BEGIN
    UPDATE tallystick.state_{digit} AS head
    SET position = {next_place}, at = said, edge = reached, places = stands, moved = true
    WHERE head.session {equal} one AND head.key {equal} ''::pg_catalog.text AND head.position {equal} place
        AND head.edge {equal} known AND head.moved IS NOT NULL
        AND head.at {at_most} said AND said COLLATE pg_catalog."C" {at_most} {_LATEST}
        AND pg_catalog.substr(entry, 1, {len(_START) + 28}) {equal} pg_catalog.convert_to(
            '{_START}'::pg_catalog.text {joined} said {joined} '"'::pg_catalog.text, 'UTF8')
        AND pg_catalog.octet_length(reached) {equal} (32 {times}
            pg_catalog.bit_count(pg_catalog.int8send({next_place} {plus} 1::pg_catalog.int8))::pg_catalog.int4)
        AND pg_catalog.cardinality(stands) {equal} pg_catalog.cardinality(head.names)
        AND pg_catalog.current_setting('synchronous_commit'::pg_catalog.text)
            {equal} ANY (ARRAY['on'::pg_catalog.text, 'remote_apply'::pg_catalog.text])
        AND pg_catalog.current_setting('tallystick.schema'::pg_catalog.text, true)
            {equal} '{schema.SCHEMA_VERSION}'::pg_catalog.text;
    IF NOT FOUND THEN
        PERFORM tallystick.require_client();
        PERFORM tallystick.require_time(said);
        RETURN false;
    END IF;
    INSERT INTO tallystick.record_{digit} VALUES (one, {next_place}, entry, root, criterion, kind,
        text_salt, text_part, details_salt, details_part, output_salt, output_part);
    IF name IS NOT NULL THEN
        INSERT INTO tallystick.local_idempotency_{digit} VALUES (one, name, {next_place}, {next_place},
            key_salt, key_digest);
    END IF;
    RETURN true;
END"""


def _begin(digit: str) -> str:
    """The session with this header, its ledger where it is the first of that, and its head."""

    def field(name: str, fields: str = "said") -> str:
        return f"""',"{name}":' || ({fields}->'{name}')::text"""

    origin = " || ".join(
        f"coalesce({field(name, 'origin')}, '')"
        for name in ("format", "dialect", "schema_version", "updated_at", "entries", "ledger_error")
    )
    built = " || ".join(
        ["'{\"v\":1,\"kind\":\"session\"'", *(field(one) for one in ("at", "ledger", "task_id", "created_at", "rules"))]
    )
    texts = " OR ".join(f"jsonb_typeof(said->'{one}') <> 'string'" for one in ("at", "ledger", "task_id", "created_at"))
    return f"""
DECLARE
    said jsonb := convert_from(head, 'UTF8')::jsonb;
    origin jsonb := said->'origin';
    built text := {built};
    own boolean;
    ledger_number integer;
BEGIN
    PERFORM tallystick.require_client();
    IF origin IS NOT NULL THEN
        built := built || ',"origin":{{' || substr({origin}, 2) || '}}';
    END IF;
    IF octet_length(head) > {RECORD_BYTES} OR {texts} OR coalesce((said->'rules')::text, '') NOT IN ('1', '2')
        OR head IS DISTINCT FROM convert_to(built || '}}', 'UTF8')
    THEN
        RAISE EXCEPTION 'tallystick: this is no header of a session' {_RAISE};
    END IF;
    SELECT number INTO ledger_number FROM tallystick.ledger WHERE ledger_id = said->>'ledger';
    IF NOT FOUND THEN
        IF said->>'ledger' !~ '^[0-9a-f]{{32}}$' THEN
            RAISE EXCEPTION 'tallystick: this is no ledger''s id' {_RAISE};
        END IF;
        INSERT INTO tallystick.ledger SELECT max(number) + 1, said->>'ledger' FROM tallystick.ledger
        RETURNING number INTO ledger_number;
    END IF;
    own := ledger_number = 1;
    IF own THEN
        PERFORM tallystick.require_time(said->>'at');
    END IF;
    INSERT INTO tallystick.session_{digit} (key, ledger, task_id, header)
    VALUES (one, ledger_number, said->>'task_id', head);
    INSERT INTO tallystick.state_{digit} (session, key, position, at, edge, names, places, more, moved)
    VALUES (one, '', 0, said->>'at', sha256('\\x00'::bytea || head), '{{}}', '{{}}', false, nullif(own, false));
END"""


def _hold(digit: str) -> str:
    """Keep others waiting who append to the session, until the transaction ends."""
    return f"""
BEGIN
    PERFORM FROM tallystick.state_{digit} WHERE session = one AND key = '' FOR UPDATE;
END"""


_MOVED = "one bytea, first bigint, last bigint, earliest text, latest text"


def _move(digit: str) -> str:
    """Move the head past records that were inserted, from one position and time to another."""
    return f"""
DECLARE
    batch jsonb := nullif(current_setting('tallystick.batch', true), '')::jsonb;
    head record;
    reached bytea := decode(batch->>'edge', 'hex');
    name text;
    place bigint;
    kept jsonb;
BEGIN
    PERFORM tallystick.require_client();
    IF batch IS NULL THEN
        RAISE EXCEPTION 'tallystick: records come with where they lead to' {_RAISE};
    END IF;
    SELECT * INTO head FROM tallystick.state_{digit} AS s WHERE s.session = one AND s.key = '' FOR UPDATE;
    IF NOT FOUND OR head.position <> (batch->>'place')::bigint OR head.edge <> decode(batch->>'known', 'hex') THEN
        RAISE EXCEPTION 'tallystick: the session is elsewhere' USING ERRCODE = '{MOVED_STATE}';
    END IF;
    IF first <> head.position + 1 OR earliest COLLATE "C" < head.at OR latest IS DISTINCT FROM batch->>'at'
        OR octet_length(reached) IS DISTINCT FROM {_EDGE_BYTES.format(position="last")}
    THEN
        RAISE EXCEPTION 'tallystick: a record goes to its head + 1' {_RAISE};
    END IF;
    IF head.moved IS NOT NULL THEN
        PERFORM tallystick.require_time(latest);
    END IF;
    FOR name, place IN SELECT p.key, p.value::bigint FROM jsonb_each_text(batch->'pointers') AS p
        ORDER BY p.key COLLATE "C" LOOP
        IF name !~ '^[cpt]' OR place NOT BETWEEN first AND last THEN
            RAISE EXCEPTION 'tallystick: a pointer leads elsewhere' {_RAISE};
        ELSIF array_position(head.names, name) IS NOT NULL THEN
            head.places[array_position(head.names, name)] := place;
        ELSIF cardinality(head.names) < {INLINE_POINTERS}
            AND octet_length(array_to_string(head.names, '')) + octet_length(name) <= {INLINE_BYTES}
            AND NOT EXISTS (SELECT FROM tallystick.state_{digit} AS s WHERE s.session = one AND s.key = name)
        THEN
            head.names := head.names || name;
            head.places := head.places || place;
        ELSE
            head.more := true;
            INSERT INTO tallystick.state_{digit} (session, key, position) VALUES (one, name, place)
            ON CONFLICT (session, key) DO UPDATE SET position = excluded.position;
        END IF;
    END LOOP;
    FOR kept IN SELECT jsonb_array_elements(batch->'keys') LOOP
        IF (kept->>1)::bigint NOT BETWEEN 1 AND (kept->>2)::bigint
            OR (kept->>2)::bigint NOT BETWEEN first AND last
        THEN
            RAISE EXCEPTION 'tallystick: an idempotency key stands for other entries' {_RAISE};
        END IF;
        INSERT INTO tallystick.local_idempotency_{digit} VALUES (one, kept->>0, (kept->>1)::bigint,
            (kept->>2)::bigint, decode(kept->>3, 'hex'), decode(kept->>4, 'hex'));
    END LOOP;
    UPDATE tallystick.state_{digit} AS s
    SET position = last, at = latest, edge = reached, names = head.names, places = head.places, more = head.more,
        moved = CASE WHEN head.moved IS NOT NULL THEN true END
    WHERE s.session = one AND s.key = '';
END"""


def _record_append() -> str:
    """What every batch runs: it holds one task, and goes to its head + 1 without a gap."""
    moved = "".join(
        f"\n        WHEN {value} THEN PERFORM tallystick.move_{digit}(one, first, last, earliest, latest);"
        for value, digit in enumerate(PARTITIONS)
    )
    times = f"substr(record, {len(_START) + 1}, 27)"
    return f"""
DECLARE
    one bytea;
    first bigint;
    last bigint;
    count bigint;
    fits boolean;
    earliest text;
    latest text;
BEGIN
    SELECT session INTO one FROM fresh LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM FROM fresh WHERE session <> one;
    IF FOUND THEN
        RAISE EXCEPTION 'tallystick: a batch holds one task' {_RAISE};
    END IF;
    SELECT min(r.position), max(r.position), count(*), bool_and(r.fits AND r.at >= r.before)
    INTO first, last, count, fits
    FROM (
        SELECT position, {times} AS at, lag({times}, 1, ''::bytea) OVER (ORDER BY position) AS before,
            substr(record, 1, {len(_START)}) = '{_START}'::bytea AND octet_length(record) BETWEEN 57 AND {RECORD_BYTES}
            AND get_byte(record, {len(_START) + 27}) = 34 AND octet_length(node) = 32 AS fits
        FROM fresh
    ) AS r;
    IF count <> last - first + 1 OR NOT fits THEN
        RAISE EXCEPTION 'tallystick: a record goes to its head + 1, and is an entry''s' {_RAISE};
    END IF;
    SELECT convert_from({times}, 'UTF8') INTO earliest FROM fresh WHERE position = first;
    SELECT convert_from({times}, 'UTF8') INTO latest FROM fresh WHERE position = last;
    CASE get_byte(one, 0) >> 4{moved}
    END CASE;
    RETURN NULL;
END"""


def _artifact_append(digit: str) -> str:
    """An artifact comes with its record, in one transaction, and never beside another one."""
    return f"""
BEGIN
    PERFORM FROM fresh LEFT JOIN tallystick.record_{digit} AS r
        ON r.session = fresh.session AND r.position = fresh.position
    WHERE r.output_salt IS NULL OR r.output IS NOT NULL OR r.xmin <> pg_current_xact_id()::xid;
    IF FOUND THEN
        RAISE EXCEPTION 'tallystick: an artifact is stored with its record' {_RAISE};
    END IF;
    RETURN NULL;
END"""


def _proof_append(digit: str) -> str:
    return f"""
BEGIN
    PERFORM FROM fresh WHERE NOT EXISTS (
        SELECT FROM tallystick.record_{digit} AS r WHERE r.session = fresh.session AND r.position = fresh.position
    );
    IF FOUND THEN
        RAISE EXCEPTION 'tallystick: a result is one of the entries' {_RAISE};
    END IF;
    RETURN NULL;
END"""
