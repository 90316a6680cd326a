"""The functions by which the database itself moves where a session stands, and refuses what would stop others.

Clients hash, and say which pointers move; a session's row in `state`, its idempotency keys and the session itself are
written by these functions alone, which run as the owner. `append` takes one entry none of whose pointers is new, and
has as few conditions as will do, since every append pays for each: it trusts the clock up to the time `until` that
the head's row has, for which `extend` looked at it. `extend` takes any number of entries. Records that are inserted
by COPY set off the trigger function `record_append`, which moves the head past them, as the setting
`tallystick.batch` says: JSON of the same transaction with

    place, known    where the client thinks that the session stands: position, and edge in hex
    edge            where it stands after: the edge in hex
    names, places   the pointers in the head's row, as they are after (see `HeadPointers`); null: no other names
    rows            the pointers in rows of their own that move, and where to; null: none was ever there
    keys            idempotency keys: [key, first, last, salt in hex or null, digest in hex or null]

Names and places are the client's word, of the right type; verification derives them again. Whatever writes locks
`record` before `state`, as migrations do.
"""

from __future__ import annotations

from tallystick.model.ids import ID_LIMIT
from tallystick.model.session import Origin
from tallystick.stores import postgres_schema as schema
from tallystick.stores.appending import PREFIX_BYTES
from tallystick.stores.postgres_function import Function, called
from tallystick.stores.postgres_schema import (
    CALLED,
    DURABILITY_STATE,
    MOVED_STATE,
    PARTITIONS,
    REFUSED_STATE,
    VERSION_STATE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TRUSTED_SECONDS = 60
"""How far a record's time may be ahead of the server's clock, which is looked at again after as long at most. A
client's clock may be 5 seconds off, and it is the server's time that it writes."""
RECORD_BYTES = 65_535
_START = '{"v":1,"kind":"entry","at":"'
_TIME = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
_CLOCK = f"to_char(timezone('UTC', clock_timestamp() + '{{}} seconds'), '{_TIME}')"
_RAISE = f"USING ERRCODE = '{REFUSED_STATE}'"


def functions() -> list[Function]:
    """Every one of them."""
    made = [
        Function("require_client", _require_client(), returns="void", secure=False),
        Function("require_time", _require_time(), arguments="said text", returns="void", secure=False),
        Function("record_append", _record_append(), secure=True),
    ]
    alone: dict[str, Any] = {"returns": "boolean", "secure": True, "pinned": False}
    for x in PARTITIONS:
        made += [
            Function(called("append", x), _append(x, keyed=False), arguments=_APPENDED, **alone),
            Function(called("append_keyed", x), _append(x, keyed=True), arguments=_APPENDED + _KEYED, **alone),
            Function(f"extend_{x}", _extend(x), arguments=_EXTENDED, returns="text", secure=True),
            Function(f"begin_{x}", _begin(x), arguments="one bytea, head bytea", returns="void", secure=True),
            Function(f"hold_{x}", _hold(x), arguments=_HELD, returns="record", secure=True),
            Function(f"move_{x}", _move(x), arguments=_MOVED, returns="void", secure=True),
        ]
    return made


def grants() -> list[str]:
    """What writers may call."""
    return [
        f"GRANT EXECUTE ON FUNCTION tallystick.{called(name, digit)} TO {schema.WRITER}"
        for name in CALLED
        for digit in PARTITIONS
    ]


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
    IF ({_is_time("said")}) IS NOT TRUE THEN
        RAISE EXCEPTION 'tallystick: a record has no time' {_RAISE};
    END IF;
    IF said COLLATE "C" > {_CLOCK.format(TRUSTED_SECONDS)} THEN
        RAISE EXCEPTION 'tallystick: the time % is in the future', said {_RAISE};
    END IF;
END"""


_APPENDED = (
    "one bytea, place bigint, known bytea, entry text, root bytea, reached bytea, stands bigint[], criterion bigint,"
    " kind bigint, text_salt bytea, text_part bytea, details_salt bytea, details_part bytea, output_salt bytea,"
    " output_part bytea"
)
_KEYED = ", name text, key_salt bytea, key_digest bytea"


def _append(digit: str, *, keyed: bool) -> str:
    """One entry, under an idempotency key or without one.

    False where the session is not where the client thinks, its times are to be looked at again, or commits are not
    waited for. It is one statement, and runs under the client's search path, since another statement, another path
    and every further condition would slow appends down: so every name and operator is qualified, constants are typed
    so that no cast of a client's making comes in between, and the version is in the function's name.
    """
    equal, plus, at_most = (f"OPERATOR(pg_catalog.{one})" for one in ("=", "+", "<="))
    key = f""",
    keyed AS (
        INSERT INTO tallystick.local_idempotency_{digit}
        SELECT one, name, moved.position, moved.position, key_salt, key_digest FROM moved
    )"""
    return f"""
DECLARE
    said pg_catalog.text := pg_catalog.substr(entry, {len(_START) + 1}, 27);
BEGIN
    WITH moved AS (
        UPDATE tallystick.state_{digit} AS head
        SET position = place {plus} 1::pg_catalog.int8, at = said, edge = reached, places = stands, moved = true
        WHERE head.session {equal} one AND head.key {equal} ''::pg_catalog.text AND head.position {equal} place
            AND head.edge {equal} known AND head.at {at_most} said AND said {at_most} head.until
            AND {_is_time("said")}
            AND pg_catalog.starts_with(entry, '{_START}'::pg_catalog.text)
            AND pg_catalog.current_setting('synchronous_commit'::pg_catalog.text)
                {equal} ANY (ARRAY['on'::pg_catalog.text, 'remote_apply'::pg_catalog.text])
            AND pg_catalog.octet_length(reached) {equal} {_edge_bytes(f"place {plus} 2::pg_catalog.int8")}
        RETURNING head.position
    ){key if keyed else ""}
    INSERT INTO tallystick.record_{digit} SELECT one, moved.position, pg_catalog.convert_to(entry, 'UTF8'), root,
        criterion, kind, text_salt, text_part, details_salt, details_part, output_salt, output_part FROM moved;
    RETURN FOUND;
END"""


def _is_time(said: str) -> str:
    """Whether it is a time as records have it; those who append next may have to repeat it.

    Converting it there and back takes a fifth of what a pattern takes, and knows which days a month has.
    """
    equal = "OPERATOR(pg_catalog.=)"
    return f"pg_catalog.to_char({said}::pg_catalog.timestamp, '{_TIME}'::pg_catalog.text) {equal} {said}"


def _edge_bytes(leaves: str) -> str:
    """How long the right edge of a tree with that many leaves is."""
    ones = f"pg_catalog.bit_count(pg_catalog.int8send({leaves}))"
    return f"(32::pg_catalog.int8 OPERATOR(pg_catalog.*) {ones})"


_EXTENDED = (
    "one bytea, place bigint, known bytea, reached bytea, fresh text[], stands bigint[],"
    " row_names text[], row_places bigint[], keys text[], firsts bigint[], lasts bigint[], key_salts bytea[],"
    " key_digests bytea[], entries bytea[], roots bytea[], criteria bigint[], kinds bigint[], text_salts bytea[],"
    " texts bytea[], details_salts bytea[], details bytea[], output_salts bytea[], outputs bytea[]"
)


def _extend(digit: str) -> str:
    """Entries of one moment. Gives until when the session's times need not be looked at.

    The head is moved first, as `append` does and as those do who hold it: in another order they would wait for each
    other in a circle.
    """
    return f"""
DECLARE
    count bigint := cardinality(entries);
    first bigint := place + 1;
    last bigint := place + count;
    began text := convert_from({_time("entries[1]")}, 'UTF8');
    ended text := began;
    trusted text := {_CLOCK.format(TRUSTED_SECONDS)};
    inserted bigint;
    own boolean;
BEGIN{_moving(digit)}
    INSERT INTO tallystick.record_{digit} SELECT one, place + e.number, e.record, e.root, e.criterion, e.kind,
        e.text_salt, e.text, e.details_salt, e.details, e.output_salt, e.output
    FROM unnest(entries, roots, criteria, kinds, text_salts, texts, details_salts, details, output_salts, outputs)
        WITH ORDINALITY AS e (record, root, criterion, kind, text_salt, text, details_salt, details, output_salt,
            output, number)
    WHERE {_fits("e.record", "e.root")} AND {_time("e.record")} = {_time("entries[1]")};
    GET DIAGNOSTICS inserted = ROW_COUNT;
    IF inserted IS DISTINCT FROM count OR count < 1 THEN
        RAISE EXCEPTION 'tallystick: a record is an entry''s, and of the moment it is made' {_RAISE};
    END IF;
    RETURN trusted;
END"""


def _moving(digit: str) -> str:
    """Moves the head past records from `first` to `last`, made from `began` to `ended`."""
    return f"""
    IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')
        OR current_setting('tallystick.schema', true) IS DISTINCT FROM '{schema.SCHEMA_VERSION}'
    THEN
        PERFORM tallystick.require_client();
    END IF;
    IF first IS DISTINCT FROM place + 1 OR octet_length(reached) IS DISTINCT FROM {_edge_bytes("last + 1")}
        OR array_position(stands, NULL) IS NOT NULL
    THEN
        RAISE EXCEPTION 'tallystick: a record goes to its head + 1' {_RAISE};
    END IF;
    IF ({_is_time("began")} AND {_is_time("ended")}) IS NOT TRUE THEN
        RAISE EXCEPTION 'tallystick: a record has no time' {_RAISE};
    END IF;
    UPDATE tallystick.state_{digit} AS head
    SET position = last, at = ended, edge = reached, places = stands, names = coalesce(fresh, head.names),
        until = greatest(trusted, head.at), more = head.more OR row_names IS NOT NULL,
        moved = CASE WHEN head.moved IS NOT NULL THEN true END
    WHERE head.session = one AND head.key = '' AND head.position = place AND head.edge = known AND head.at <= began
    RETURNING head.moved, head.until INTO own, trusted;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'tallystick: the session is elsewhere' USING ERRCODE = '{MOVED_STATE}';
    END IF;
    -- Where the clock was set back, the session's own newest time is good until the clock has come to it.
    IF own AND ended COLLATE "C" > trusted THEN
        RAISE EXCEPTION 'tallystick: the time % is in the future', ended {_RAISE};
    END IF;
    IF row_names IS NOT NULL THEN
        INSERT INTO tallystick.state_{digit} (session, key, position)
        SELECT one, p.name, p.place FROM unnest(row_names, row_places) AS p (name, place) WHERE p.name <> ''
        ON CONFLICT (session, key) DO UPDATE SET position = excluded.position;
    END IF;
    IF cardinality(keys) > 0 THEN
        PERFORM FROM unnest(keys, firsts, lasts) AS k (name, start, stop)
        WHERE (k.name IS NOT NULL AND k.start BETWEEN 1 AND k.stop AND k.stop BETWEEN first AND last) IS NOT TRUE;
        IF FOUND THEN
            RAISE EXCEPTION 'tallystick: an idempotency key stands for other entries' {_RAISE};
        END IF;
        INSERT INTO tallystick.local_idempotency_{digit}
        SELECT one, k.* FROM unnest(keys, firsts, lasts, key_salts, key_digests) AS k;
    END IF;"""


def _time(record: str) -> str:
    """A record's time, as bytes."""
    return f"substr({record}, {len(_START) + 1}, 27)"


def _fits(record: str, node: str) -> str:
    """Whether this is the beginning of an entry's record, and a node."""
    return (
        f"octet_length({record}) BETWEEN {len(_START) + 29} AND {RECORD_BYTES} AND octet_length({node}) = 32"
        f" AND substr({record}, 1, {len(_START)}) = '{_START}'::bytea AND get_byte({record}, {len(_START) + 27}) = 34"
    )


def _begin(digit: str) -> str:
    """The session with this header, its ledger where it is the first of that, and its head."""

    def field(name: str, fields: str = "said") -> str:
        return f"""',"{name}":' || ({fields}->'{name}')::text"""

    origin = " || ".join(f"coalesce({field(name, 'origin')}, '')" for name in Origin.FIELDS)
    built = " || ".join(
        ['\'{"v":1,"kind":"session"\'', *(field(one) for one in ("at", "ledger", "task_id", "created_at", "rules"))]
    )
    texts = " OR ".join(
        [f"jsonb_typeof(said->'{one}') <> 'string'" for one in ("at", "ledger", "task_id", "created_at")]
        + [f"jsonb_typeof(origin->'{one}') <> 'string'" for one in Origin.FIELDS if one != "schema_version"]
    )
    return f"""
DECLARE
    said jsonb := convert_from(head, 'UTF8')::jsonb;
    origin jsonb := said->'origin';
    built text := {built};
    own boolean;
    ledger_number integer;
BEGIN
    PERFORM tallystick.require_client();
    LOCK TABLE tallystick.record_{digit} IN ROW EXCLUSIVE MODE;
    IF origin IS NOT NULL THEN
        built := built || ',"origin":{{' || substr({origin}, 2) || '}}';
    END IF;
    IF octet_length(head) > {RECORD_BYTES} OR {texts}
        OR (origin->'schema_version')::text !~ '^-?[0-9]{{1,18}}$'
        OR coalesce((said->'rules')::text, '') NOT IN ('1', '2')
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
        IF octet_length(said->>'task_id') NOT BETWEEN 1 AND {ID_LIMIT} THEN
            RAISE EXCEPTION 'tallystick: a task''s id has 1 to {ID_LIMIT} bytes' {_RAISE};
        END IF;
    END IF;
    INSERT INTO tallystick.session_{digit} (key, ledger, task_id, header)
    VALUES (one, ledger_number, said->>'task_id', head);
    INSERT INTO tallystick.state_{digit} (session, key, position, at, until, edge, names, places, more, moved)
    VALUES (one, '', 0, said->>'at', '', sha256('\\x00'::bytea || head), '{{}}', '{{}}', false, nullif(own, false));
END"""


_HELD = (
    "one bytea, OUT clock bigint, OUT task text, OUT head bytea, OUT place bigint, OUT said text, OUT reached bytea,"
    " OUT pointers text[], OUT stands bigint[], OUT others boolean, OUT trusted text, OUT opening bytea"
)


def _hold(digit: str) -> str:
    """Where the session stands, and others who append to it kept waiting until the transaction ends.

    Each statement sees what was committed when it begins. So the session is read before its head, which is committed
    with it, and the newest record after what the head's lock waited for.
    """
    return f"""
BEGIN
    SELECT s.task_id, s.header INTO task, head FROM tallystick.session_{digit} AS s WHERE s.key = one;
    SELECT h.position, h.at, h.edge, h.names, h.places, h.more, h.until
    INTO place, said, reached, pointers, stands, others, trusted
    FROM tallystick.state_{digit} AS h WHERE h.session = one AND h.key = '' FOR UPDATE;
    SELECT substring(r.record, 1, {PREFIX_BYTES}) INTO opening
    FROM tallystick.record_{digit} AS r WHERE r.session = one AND r.position = place;
    clock := extract(epoch FROM clock_timestamp()) * 1000000;
END"""


_MOVED = (
    "one bytea, place bigint, known bytea, first bigint, last bigint, began text, ended text, reached bytea,"
    " fresh text[], stands bigint[], row_names text[], row_places bigint[],"
    " keys text[], firsts bigint[], lasts bigint[], key_salts bytea[], key_digests bytea[]"
)


def _move(digit: str) -> str:
    return f"""
DECLARE
    trusted text := {_CLOCK.format(TRUSTED_SECONDS)};
    own boolean;
BEGIN{_moving(digit)}
END"""


def _record_append() -> str:
    """What records that come by COPY run: they are of one task, and go to its head + 1 without a gap."""
    moved = "".join(
        f"""
        WHEN {value} THEN PERFORM tallystick.move_{digit}(one, (batch->>'place')::bigint,
            decode(batch->>'known', 'hex'), first, last, convert_from(began, 'UTF8'), convert_from(ended, 'UTF8'),
            decode(batch->>'edge', 'hex'), names, places, row_names, row_places, keys, firsts, lasts,
            key_salts, key_digests);"""
        for value, digit in enumerate(PARTITIONS)
    )
    return f"""
DECLARE
    batch jsonb := nullif(current_setting('tallystick.batch', true), '')::jsonb;
    one bytea;
    first bigint;
    last bigint;
    count bigint;
    fits boolean;
    began bytea;
    ended bytea;
    names text[];
    places bigint[];
    row_names text[];
    row_places bigint[];
    keys text[];
    firsts bigint[];
    lasts bigint[];
    key_salts bytea[];
    key_digests bytea[];
BEGIN
    SELECT session INTO one FROM fresh LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM tallystick.require_client();
    SELECT min(position), max(position), count(*), bool_and(session = one AND {_fits("record", "node")})
    INTO first, last, count, fits FROM fresh;
    IF batch IS NULL OR count <> last - first + 1 OR NOT fits THEN
        RAISE EXCEPTION 'tallystick: a batch is of one task, goes to its head + 1, and is of entries' {_RAISE};
    END IF;
    SELECT {_time("record")} INTO began FROM fresh WHERE position = first;
    SELECT {_time("record")} INTO ended FROM fresh WHERE position = last;
    PERFORM FROM fresh WHERE {_time("record")} NOT BETWEEN began AND ended;
    IF FOUND THEN
        RAISE EXCEPTION 'tallystick: a record is not earlier than the one before it' {_RAISE};
    END IF;
    IF jsonb_typeof(batch->'names') = 'array' THEN
        SELECT coalesce(array_agg(n ORDER BY o), '{{}}') INTO names
        FROM jsonb_array_elements_text(batch->'names') WITH ORDINALITY AS l (n, o);
    END IF;
    SELECT coalesce(array_agg(n::bigint ORDER BY o), '{{}}') INTO places
    FROM jsonb_array_elements_text(batch->'places') WITH ORDINALITY AS l (n, o);
    IF jsonb_typeof(batch->'rows') = 'object' THEN
        SELECT coalesce(array_agg(k), '{{}}'), coalesce(array_agg(v::bigint), '{{}}') INTO row_names, row_places
        FROM jsonb_each_text(batch->'rows') AS l (k, v);
    END IF;
    SELECT array_agg(k->>0), array_agg((k->>1)::bigint), array_agg((k->>2)::bigint),
        array_agg(decode(k->>3, 'hex')), array_agg(decode(k->>4, 'hex'))
    INTO keys, firsts, lasts, key_salts, key_digests FROM jsonb_array_elements(batch->'keys') AS l (k);
    CASE get_byte(one, 0) >> 4{moved}
    END CASE;
    RETURN NULL;
END"""
