"""What every store keeps: what is odd is taken and comes back, what is bad is refused whole."""

from __future__ import annotations

import enum
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.contract import ENTRY, StoreUnderTest, leaves, refused
from tallystick import Entry, InputError, Ledger
from tallystick.model.text import clean_text

RECORD_LIMIT, PART_LIMIT = 65_535, 1 << 20


def nested(depth: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(depth - 1):
        value = [value]
    return {"x": value}


def endless() -> dict[str, Any]:
    value: list[Any] = []
    value.append(value)
    return {"x": value}


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"id": "a\0b"}, "id has a NUL"),
        ({"type": "\0"}, "type has a NUL"),
        ({"criterion_id": "\0"}, "criterion_id has a NUL"),
        ({"phase_id": "p\0"}, "phase_id has a NUL"),
        ({"id": 5}, "id is int, not text"),
        ({"type": b"run"}, "type is bytes, not text"),
        ({"status": ["pass"]}, "status is list, not text"),
        ({"provider": Colour.RED}, "provider is Colour, not text"),
        ({"reason": 1.5}, "reason is float, not text"),
        ({"command": ["make", "test"]}, "command is list, not text"),
        ({"path": {"a": 1}}, "path is .*, not text"),
        ({"recorded_at": 1700000000}, "recorded_at is int, not text"),
        ({"exit_code": "0"}, "exit_code is str, not an integer"),
        ({"exit_code": True}, "exit_code is bool, not an integer"),
        ({"exit_code": 1.5}, "exit_code is float, not an integer"),
        ({"exit_code": 2**63}, "exit_code is outside 64 bits"),
        ({"exit_code": -(2**63) - 1}, "exit_code is outside 64 bits"),
        ({"output": 5}, "output is int, neither text nor bytes"),
        ({"output": bytearray(b"x")}, "output is bytearray, neither text nor bytes"),
        ({"output": ["x"]}, "output is list, neither text nor bytes"),
        ({"details": [1]}, "details is .*, not a JSON object"),
        ({"details": [("a", 1)]}, "details is .*, not a JSON object"),
        ({"details": "abc"}, "details is str, not a JSON object"),
        ({"details": 5}, "details is int, not a JSON object"),
        ({"details": {"a": float("nan")}}, "NaN and infinities"),
        ({"details": {"a": [float("inf")]}}, "NaN and infinities"),
        ({"details": {"a": -float("inf")}}, "NaN and infinities"),
        ({"details": {"scafld": {"a": float("nan")}}}, "NaN and infinities"),
        ({"details": {"a": 2**53 + 1}}, "integer too large"),
        ({"details": {"a": -(2**53) - 1}}, "integer too large"),
        ({"details": {"scafld": {"a": 2**63}}}, "integer too large"),
        ({"details": {"scafld": -(2**63) - 1}}, "integer too large"),
        ({"details": {"x": {"scafld": 2**60}}}, "integer too large"),
        ({"details": {1: "a"}}, "a key is int, not text"),
        ({"details": {"a": {None: 1}}}, "a key is NoneType, not text"),
        ({"details": dict.fromkeys(("\ud800", "\udfff"), 1)}, "duplicate key"),
        ({"details": {"a": b"x"}}, "bytes cannot be recorded as JSON"),
        ({"details": {"a": {1, 2}}}, "set cannot be recorded as JSON"),
        ({"details": {"a": object()}}, "object cannot be recorded as JSON"),
        ({"details": {"a": Colour.RED}}, "Colour cannot be recorded as JSON"),
        ({"details": nested(65)}, "nested deeper than 64"),
        ({"details": nested(5_000)}, "nested deeper than 64"),
        ({"details": endless()}, "nested deeper than 64"),
        ({"details": {"a": "x" * PART_LIMIT}}, "details is .* bytes, over 1048576"),
        ({"reason": "x" * PART_LIMIT}, "text is .* bytes, over 1048576"),
        ({"status": "x" * RECORD_LIMIT}, "record would be .* bytes, over 65535"),
        ({"id": "é" * (RECORD_LIMIT // 2)}, "record would be .* bytes, over 65535"),
        ({"provider": "\x01" * 11_000}, "record would be .* bytes, over 65535"),
    ],
    ids=lambda value: str(next(iter(value))) if isinstance(value, dict) else value[:24],
)
def test_bad_input_is_refused_whole(
    lasting_store: StoreUnderTest, lasting_ledger: Ledger, fields: dict[str, Any], words: str
) -> None:
    store, ledger = lasting_store, lasting_ledger
    last = ledger.head("t").position
    bad = Entry(**{"type": "note", **fields})
    with refused(store, InputError, words):
        ledger.append("t", bad)
    with refused(store, InputError, words):
        ledger.append("new task", [ENTRY, bad], idempotency_key="k")
    assert ledger.append("t", ENTRY).position == last + 1


@pytest.mark.parametrize("given", ["a text", [1], [None], {"type": "note"}, [ENTRY, "x"], [("type", "note")]])
def test_what_is_no_entry_is_refused(lasting_store: StoreUnderTest, lasting_ledger: Ledger, given: Any) -> None:
    with refused(lasting_store, InputError, "is not an entry"):
        lasting_ledger.append("t", given)


@pytest.mark.parametrize("task_id", ["", "\0", "a\0b", "\ud800", "x" * 513, "é" * 257, 5, None, b"t"])
def test_what_cannot_be_a_task_is_refused(lasting_store: StoreUnderTest, lasting_ledger: Ledger, task_id: Any) -> None:
    with refused(lasting_store, InputError, "task id"):
        lasting_ledger.append(task_id, ENTRY)


ODD = [
    "../../etc/passwd",
    "a\nb",
    " ",
    "-t",
    "12",
    "\x1b[31m",
    "\u202e",
    "é",
    "e\u0301",
    "🎋",
    "'",
    '"',
    "\\",
    "%00",
    "\ufeff",
    "\uffff",
    "\U0010ffff",
    "NULL",
    "\r\n",
    "\x7f",
    "\u2028",
]


def test_odd_texts_are_kept_apart_and_come_back(ledger: Ledger) -> None:
    for text in ODD:
        ledger.append(text, Entry(id=text, type=text, criterion_id=text, phase_id=text, status=text, reason=text))
    assert [state.task_id for state in ledger.tasks()] == ODD
    for text in ODD:
        ledger.append("all", Entry(type=text, criterion_id=text, phase_id=text, reason=text, command=text, path=text))
    assert set(ledger.state("all").criteria) == set(ledger.state("all").phases) == set(ODD)
    for position, text in enumerate(ODD, 1):
        (recorded,) = ledger.entries(text)
        assert {recorded.entry.id, recorded.entry.type, recorded.entry.status, recorded.entry.reason} == {text}
        entry = ledger.entry("all", position).entry
        assert {entry.type, entry.reason, entry.command, entry.path} == {text}
    ledger.verify()


def test_nul_is_taken_where_it_names_nothing(ledger: Ledger) -> None:
    given = Entry(type="note", id="e", recorded_at="\0", status="a\0b", provider="\0", reason="\0", output="\0")
    ledger.append("t", given.replace(details={"\0": "\0"}))
    assert ledger.entry("t", 1).entry == given.replace(details={"\0": "\0"})
    ledger.verify()


def test_lone_surrogates_become_replacement_characters(ledger: Ledger) -> None:
    texts = dict.fromkeys(("id", "type", "criterion_id", "phase_id", "status", "provider", "recorded_at"), "\ud800")
    texts |= dict.fromkeys(("reason", "command", "path", "output"), "\udfffx")
    ledger.append("t", Entry(**texts, details={"\udc00": ["\ud800", "\ud83d\ude00"]}))
    expected = {name: text.replace("\ud800", "\ufffd").replace("\udfff", "\ufffd") for name, text in texts.items()}
    assert ledger.entry("t", 1).entry == Entry(**expected, details={"\ufffd": ["\ufffd", "😀"]})
    assert set(ledger.state("t").criteria) == {"\ufffd"}
    ledger.verify()


def test_the_limits_themselves_are_taken(ledger: Ledger) -> None:
    ledger.append("t", Entry(type="note"))
    (_, record) = leaves(ledger, "t")
    room = RECORD_LIMIT - len(record) - len(',"status":""')
    ledger.append("t", Entry(type="note", status="x" * room))
    assert len(leaves(ledger, "t")[2]) == RECORD_LIMIT
    ledger.append("t", Entry(type="note", reason="x" * (PART_LIMIT - len('{"reason":""}'))))
    ledger.append("t", Entry(type="note", details={"x": "é" * ((PART_LIMIT - len('{"x":""}')) // 2)}))
    details = {"scafld": {"least": -(2**63), "most": 2**63 - 1}, "least": -(2**53), "most": 2**53}
    ledger.append("t", Entry(type="note", exit_code=2**63 - 1, details=details))
    ledger.append("t", Entry(type="note", exit_code=-(2**63), details=nested(64)))
    assert ledger.entry("t", 5).entry.details == details
    assert ledger.entry("t", 5).entry.exit_code == 2**63 - 1
    assert ledger.entry("t", 6).entry == ledger.session("t").entries[5]
    assert ledger.entry("t", 6).entry.details == nested(64)
    ledger.verify()


any_text = st.text(st.characters(exclude_categories=[]), max_size=8)
names = any_text.map(lambda text: text.replace("\0", ""))


def objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects whose keys still differ where lone surrogates are replaced."""
    pairs = st.lists(st.tuples(any_text, values), max_size=3, unique_by=lambda pair: clean_text(pair[0]))
    return pairs.map(dict)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | any_text,
    lambda inner: st.lists(inner, max_size=3) | objects(inner),
    max_leaves=6,
)
entries = st.builds(
    Entry,
    id=names,
    type=names,
    recorded_at=any_text,
    criterion_id=names,
    phase_id=names,
    status=any_text,
    reason=any_text,
    provider=any_text,
    command=any_text,
    exit_code=st.integers(-(2**63), 2**63 - 1),
    output=any_text | st.binary(max_size=20),
    path=any_text,
    details=objects(json_values),
)


def cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(key): cleaned(item) for key, item in value.items()}
    return [cleaned(item) for item in value] if isinstance(value, list) else value


@given(entry=entries)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_any_entry_comes_back(ledger: Ledger, entry: Entry) -> None:
    head = ledger.append("t", entry)
    found = ledger.entry("t", head.position).entry
    for name in Entry.FIELDS:
        given_value = cleaned(getattr(entry, name))
        if name == "output":
            assert found.output_bytes == entry.output_bytes
        elif name == "details":
            assert json.dumps(found.details, sort_keys=True) == json.dumps(given_value, sort_keys=True)
        elif given_value or name not in ("id", "recorded_at"):
            assert getattr(found, name) == given_value
    state = ledger.state("t")
    if entry.criterion_id:
        assert state.criteria[clean_text(entry.criterion_id)].position == head.position
