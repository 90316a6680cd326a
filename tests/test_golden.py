"""The golden ledger and its vectors: what the first release wrote, this one opens, verifies, replays and makes."""

from __future__ import annotations

import base64
import importlib.util
import json
import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from shutil import copyfile
from types import ModuleType
from typing import Any

import pytest

from support.contract import naive_root
from tallystick import Entry, IdempotencyConflict, Ledger
from tallystick.model.bulk import decode_bulk
from tallystick.model.header import Header, decode_header
from tallystick.model.record import PARTS, Record, decode_record, seal
from tallystick.proof.merkle import Edge, leaf_hash

FOLDER = Path(__file__).parent / "data" / "golden"
VECTORS = json.loads((FOLDER / "vectors.json").read_text("ascii"))
LARGE = b"".join(sha256(b"golden output %d" % n).digest() for n in range(2500))
DIGESTS = {
    "vectors.json": "da16b3a78a60fc8a9aae8d60f5e83059e42ea7006709bf85e59070a0f0cfec8f",
    "ledger.db": "55731fa4bcba3c81890c7645a9076e134b2c3a60a8eff57f86a081d38c2cc721",
}

FIELDS = (
    "v", "kind", "at", "id", "type", "recorded_at", "criterion_id", "phase_id", "status", "provider", "exit_code",
    "erases", "text", "details", "output", "output_size",
)  # fmt: skip
"""The order of a record's fields, as the design has it."""
HEADER = ["v", "kind", "at", "ledger", "task_id", "created_at", "rules", "origin"]
ORIGIN = ["format", "dialect", "schema_version", "updated_at", "entries", "ledger_error"]

positions = [(name, position) for name in ("golden", "imported") for position in range(len(VECTORS[name]["positions"]))]


def vector(session: str, position: int) -> dict[str, Any]:
    found: dict[str, Any] = VECTORS[session]["positions"][position]
    return found


def decoded(text: str) -> bytes:
    return LARGE if text == "large" else base64.b64decode(text)


def parts_of(found: dict[str, Any]) -> dict[str, bytes]:
    return {name: decoded(text) for name, text in found["parts"].items()}


def records(session: str) -> list[bytes]:
    return [found["record"].encode() for found in VECTORS[session]["positions"]]


@pytest.mark.parametrize("name", sorted(DIGESTS))
def test_the_golden_files_never_change(name: str) -> None:
    assert sha256((FOLDER / name).read_bytes()).hexdigest() == DIGESTS[name]


def test_the_vectors_cover_what_they_should() -> None:
    assert len(VECTORS["golden"]["positions"]) == 10
    assert sha256(LARGE).hexdigest() == VECTORS["large"]["sha256"]
    assert len(LARGE) > 65_536
    assert '"erases":[5,["text","output"]]' in vector("golden", 9)["record"]
    assert '"origin":{"format":"scafld"' in vector("imported", 0)["record"]


# --- as the design has it: with nothing but the standard library


@pytest.mark.parametrize(("session", "position"), positions)
def test_a_record_is_compact_json_in_the_order_of_the_design(session: str, position: int) -> None:
    text = vector(session, position)["record"]
    fields = json.loads(text)
    assert json.dumps(fields, ensure_ascii=False, separators=(",", ":")) == text
    order = FIELDS if position else HEADER
    assert list(fields) == [name for name in order if name in fields]
    assert (fields["v"], fields["kind"]) == (1, "entry" if position else "session")
    if position:
        assert all(value not in ("", 0, None) for value in fields.values())
    elif session == "imported":
        assert list(fields["origin"]) == [name for name in ORIGIN if name in fields["origin"]]
        assert all(value not in ("", 0) for value in fields["origin"].values())


@pytest.mark.parametrize(("session", "position"), [one for one in positions if one[1]])
def test_a_record_commits_to_its_sealed_parts(session: str, position: int) -> None:
    found = vector(session, position)
    fields, parts, salts = json.loads(found["record"]), parts_of(found), bytes.fromhex(found["salts"])
    for index, name in enumerate(("text", "details", "output")):
        salt = salts[16 * index : 16 * index + 16]
        assert len(salt) == 16
        expected = sha256(salt + parts[name]).hexdigest() if name in parts else None
        assert fields.get(name) == expected
    given = found["input"]
    if "text" in parts:
        texts = {name: given[name] for name in ("reason", "command", "path") if name in given}
        assert parts["text"].decode() == clean(json.dumps(texts, ensure_ascii=False, separators=(",", ":")))
    if "details" in parts:
        expected_text = json.dumps(given["details"], ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        assert parts["details"].decode() == clean(expected_text)
        keys = [key.encode() for key in json.loads(parts["details"])]
        assert keys == sorted(keys)
    assert parts.get("output", b"") == decoded(given["output"])
    dropped = given.get("details", {}).get("output", {}).get("dropped", 0)
    assert fields.get("output_size", 0) == len(decoded(given["output"])) + dropped


def clean(text: str) -> str:
    """Lone surrogates as U+FFFD, pairs as one character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@pytest.mark.parametrize(("session", "position"), positions)
def test_roots_are_those_of_rfc_6962(session: str, position: int) -> None:
    found, stored = vector(session, position), records(session)
    assert found["leaf"] == sha256(b"\x00" + stored[position]).hexdigest()
    width = (position + 1) & -(position + 1)
    assert found["node"] == naive_root(stored[position + 1 - width : position + 1]).hex()
    assert found["root"] == naive_root(stored[: position + 1]).hex()


# --- what this version makes of the inputs


@pytest.mark.parametrize(("session", "position"), [one for one in positions if one[1]])
def test_this_version_makes_the_same_record(session: str, position: int) -> None:
    found = vector(session, position)
    given = {**found["input"], "output": decoded(found["input"]["output"])}
    erases = (5, ["text", "output"]) if '"erases"' in found["record"] else None
    draft = seal(Entry(**given), bytes.fromhex(found["salts"]), erases=erases)
    record = draft.record(found["at"], position, defaults=session == "golden")
    assert record.decode() == found["record"]
    sealed = {name: getattr(draft.sealed, name) for name in PARTS if getattr(draft.sealed, name) is not None}
    assert sealed == parts_of(found)


@pytest.mark.parametrize("session", ["golden", "imported"])
def test_this_version_makes_the_same_header(session: str) -> None:
    fields = json.loads(vector(session, 0)["record"])
    header = decode_header(vector(session, 0)["record"].encode())
    assert header.encode().decode() == vector(session, 0)["record"]
    made = Header(
        at=fields["at"],
        ledger=VECTORS["ledger_id"],
        task_id=VECTORS[session]["task_id"],
        created_at=fields["created_at"],
        rules=fields["rules"],
        origin=header.origin,
    )
    assert made.encode().decode() == vector(session, 0)["record"]


@pytest.mark.parametrize("session", ["golden", "imported"])
def test_this_version_makes_the_same_tree(session: str) -> None:
    edge = Edge()
    for position, record in enumerate(records(session)):
        node = edge.append(leaf_hash(record))
        assert node.hex() == vector(session, position)["node"]
        assert edge.root().hex() == vector(session, position)["root"]


@pytest.mark.parametrize(("session", "position"), [one for one in positions if one[1]])
def test_both_decoders_read_the_record(session: str, position: int) -> None:
    data = vector(session, position)["record"].encode()
    fields = json.loads(data)
    for record in (decode_record(data), decode_bulk(data)):
        for name in Record.FIELDS:
            value = getattr(record, name)
            value = [value[0], list(value[1])] if name == "erases" and value else value
            assert value == fields.get(name, getattr(Record(), name))


# --- the ledger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(copyfile(FOLDER / "ledger.db", tmp_path / "ledger.db"))


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(str(path), create=False) as ledger:
        yield ledger


def test_the_golden_ledger_verifies(ledger: Ledger) -> None:
    golden, imported = ledger.verify()
    assert ledger.ledger_id == VECTORS["ledger_id"]
    assert (golden.task_id, golden.head.position, golden.erased) == ("golden", 9, 2)
    assert (imported.task_id, imported.head.position, imported.erased) == ("imported/ß", 4, 0)
    for session in ("golden", "imported"):
        for position, found in enumerate(VECTORS[session]["positions"]):
            ledger.verify(VECTORS[session]["task_id"], head=f"{position}:{found['root']}")


@pytest.mark.parametrize("session", ["golden", "imported"])
def test_the_golden_ledger_replays(ledger: Ledger, session: str) -> None:
    expected = VECTORS[session]
    replayed = ledger.session(expected["task_id"])
    assert replayed.updated_at == expected["updated_at"]
    for name in ("criterion_states", "phase_blocks"):
        states = {key: state.to_dict() for key, state in getattr(replayed, name).items()}
        assert states == expected[name]
    state = ledger.state(expected["task_id"])
    assert {key: one.to_dict() for key, one in state.criteria.items()} == expected["criterion_states"]
    assert {key: one.to_dict() for key, one in state.phases.items()} == expected["phase_blocks"]


@pytest.mark.parametrize(("session", "position"), [one for one in positions if one[1]])
def test_every_golden_entry_reads_as_it_was_given(ledger: Ledger, session: str, position: int) -> None:
    found, task_id = vector(session, position), VECTORS[session]["task_id"]
    recorded = ledger.entry(task_id, position)
    erased = ("text", "output") if (session, position) == ("golden", 5) else ()
    assert (recorded.position, recorded.at, recorded.erased) == (position, found["at"], erased)
    for name in Entry.FIELDS:
        expected = found["input"].get(name, Entry.__init__.__kwdefaults__[name])
        if name == "output":
            expected = b"" if "output" in erased else decoded(found["input"]["output"])
            assert recorded.entry.output_bytes == expected == ledger.output(task_id, position)
        elif name == "details":
            assert json.dumps(recorded.entry.details, sort_keys=True) == cleaned_json(expected or {})
        elif name in ("reason", "command") and erased:
            assert getattr(recorded.entry, name) == ""
        elif session == "golden" and not expected and name in ("id", "recorded_at"):
            assert getattr(recorded.entry, name) == {"id": f"entry-{position}", "recorded_at": found["at"]}[name]
        else:
            assert getattr(recorded.entry, name) == (clean(expected) if isinstance(expected, str) else expected)


def cleaned_json(value: Any) -> str:
    return json.dumps(json.loads(clean(json.dumps(value, ensure_ascii=False))), sort_keys=True)


def test_the_golden_ledger_goes_on(ledger: Ledger) -> None:
    module = load("make")
    first = ledger.append("golden", module.ENTRIES[0], idempotency_key=module.KEY)
    assert str(first) == f"1:{vector('golden', 1)['root']}"
    with pytest.raises(IdempotencyConflict):
        ledger.append("golden", module.ENTRIES[1], idempotency_key=module.KEY)
    assert ledger.append("golden", Entry(type="note")).position == 10
    assert ledger.import_session(module.IMPORTED).position == 4
    grown = module.IMPORTED.replace(entries=[*module.IMPORTED.entries, Entry(type="note")])
    assert ledger.import_session(grown).position == 5
    ledger.verify("golden", head=f"9:{vector('golden', 9)['root']}")
    ledger.verify()


def test_this_version_makes_the_same_ledger(tmp_path: Path, path: Path) -> None:
    """Row by row: the tables of the first release, and no part of the file's layout, which is SQLite's."""
    made = tmp_path / "made"
    made.mkdir()
    load("make").make(made)
    assert (made / "vectors.json").read_bytes() == (FOLDER / "vectors.json").read_bytes()
    for table in ("ledger", "session", "record", "state", "local_idempotency"):
        assert dump(made / "ledger.db", table) == dump(path, table)
    assert [row[:2] for row in dump(made / "ledger.db", "artifact")] == [row[:2] for row in dump(path, "artifact")]


def dump(path: Path, table: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    rows = connection.execute(f"SELECT * FROM {table}").fetchall()
    connection.close()
    return rows


def load(name: str) -> ModuleType:
    """The script that made the golden files, as a module."""
    spec = importlib.util.spec_from_file_location(f"golden_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
