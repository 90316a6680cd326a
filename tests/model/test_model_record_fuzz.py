"""Decoders of records, parts and headers take any bytes: what they cannot read is an InputError, never more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tallystick import Entry, InputError
from tallystick.model.bulk import decode_bulk, decode_many
from tallystick.model.header import Header, decode_header
from tallystick.model.record import Record, Sealed, decode_record, open_entry, seal

AT = "2026-01-02T03:04:05.000678Z"
ENTRY = Entry(id="i", type="t", criterion_id="c", status="s", reason="r", exit_code=3, output="o", details={"d": 1})
RECORD = seal(ENTRY, bytes(48), erases=(1, ["text"])).record(AT, 1)
HEADER = Header(at=AT, ledger="0" * 32, task_id="t", created_at=AT).encode()

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with a few of them replaced, inserted or removed."""

    def change(edits: list[tuple[int, int, bytes]]) -> bytes:
        changed = data
        for start, removed, inserted in edits:
            changed = changed[:start] + inserted + changed[start + removed :]
        return changed

    edit = st.tuples(st.integers(0, len(data)), st.integers(0, 3), st.binary(max_size=3))
    return st.lists(edit, max_size=3).map(change)


def as_record(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, allow_nan=True).encode()


objects = st.dictionaries(st.sampled_from(Record.FIELDS) | st.text(), json_values, max_size=6).map(as_record)
junk = st.binary() | st.text().map(str.encode) | json_values.map(json.dumps).map(str.encode) | objects


def one_line(error: InputError) -> None:
    assert "\n" not in str(error)


def outcome(decode: Any, data: bytes) -> Any:
    try:
        found = decode(data)
    except InputError as error:
        one_line(error)
        return None
    return [list(value) if isinstance(value := getattr(found, name), tuple) else value for name in Record.FIELDS]


DEEP = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
ODD = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"x"',
    b'{"v":1.0}',
    b'{"v":true}',
    b'{"v":NaN}',
    b'{"v":1e400}',
    b'{"id":null}',
    b'{"id":"\xff"}',
    b'{"id":"\\ud800"}',
    b'{"id":"a\nb"}',
    b'\xef\xbb\xbf{"v":1}',
    '{"v":1}'.encode("utf-16"),
    '{"v":1}'.encode("utf-32"),
    b'{"erases":5}',
    b'{"erases":[1]}',
    b'{"erases":[1,[1]]}',
    b'{"erases":[1,["text"],2]}',
    b'{"erases":["1",["text"]]}',
    b'{"erases":[true,["text"]]}',
    b'{"v":1,}',
    b"{'v':1}",
    b'{"v":1}{"v":1}',
    DEEP,
]


@pytest.mark.parametrize("data", ODD, ids=lambda data: repr(data[:24]))
def test_both_decoders_judge_odd_bytes_alike(data: bytes) -> None:
    assert outcome(decode_record, data) == outcome(decode_bulk, data)


@given(data=junk | mutated(RECORD))
@example(data=DEEP)
def test_decoding_a_record_never_fails_otherwise(data: bytes) -> None:
    one, other = outcome(decode_record, data), outcome(decode_bulk, data)
    if one is not None and other is not None:
        assert one == other


@given(records=st.lists(junk | mutated(RECORD) | st.just(RECORD), max_size=4))
def test_decoding_many_is_decoding_each(records: list[bytes]) -> None:
    each = [outcome(decode_bulk, data) for data in records]
    try:
        many = decode_many(records)
    except InputError:
        many = []
    if many or None not in each:
        assert [outcome(lambda _, found=found: found, b"") for found in many] == each


@given(data=mutated(RECORD))
def test_what_is_read_can_be_opened_or_is_refused(data: bytes) -> None:
    sealed = seal(ENTRY, bytes(48)).sealed
    try:
        assert isinstance(open_entry(decode_record(data), sealed), Entry)
    except InputError as error:
        one_line(error)


@given(text=junk | mutated(b'{"reason":"r"}'), details=junk | mutated(b'{"d":1}'))
@example(text=b'{"reason":5}', details=b"{}")
@example(text=b'{"reason":"\\ud800"}', details=b"{}")
@example(text=b"{}", details=b'{"a":NaN}')
@example(text=b"{}", details=DEEP)
def test_opening_parts_never_fails_otherwise(text: bytes, details: bytes) -> None:
    sealed = Sealed(b"0" * 16, text, b"0" * 16, details)
    try:
        entry = open_entry(decode_record(RECORD), sealed)
    except InputError as error:
        one_line(error)
        return
    assert all(isinstance(getattr(entry, name), str) for name in ("reason", "command", "path"))
    json.dumps(entry.details, allow_nan=False, ensure_ascii=False).encode()


@given(data=junk | mutated(HEADER))
@example(data=HEADER.replace(b'"rules":1', b'"rules":9'))
@example(data=HEADER.replace(b'"rules":1', b'"rules":true'))
@example(data=HEADER[:-1] + b',"origin":5}')
@example(data=HEADER[:-1] + b',"origin":[]}')
@example(data=HEADER[:-1] + b',"origin":{"format":5}}')
@example(data=HEADER[:-1] + b',"origin":{"schema_version":"1"}}')
@example(data=HEADER[:-1] + b',"origin":{"schema_version":true}}')
@example(data=HEADER[:-1] + b',"origin":{"unknown":1}}')
@example(data=DEEP)
def test_decoding_a_header_never_fails_otherwise(data: bytes) -> None:
    try:
        header = decode_header(data)
    except InputError as error:
        one_line(error)
        return
    assert isinstance(header.task_id, str)
    assert isinstance(header.updated_at, str)
    assert isinstance(header.schema_version, int)
    header.encode()


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([b'{"v":1},{"v":2,"x":[1', b"1]}"], id="the second object ends in the next record"),
        pytest.param([b'{"v":1},{"v":2,"x":[1', b'{"v":3}]}'], id="the next record begins like one"),
        pytest.param([b'{"v":1},{"v":2}', b'{"v":3,"x":[1', b'{"v":4}]}'], id="two in one, and one in two"),
        pytest.param([b'{"v":1,"id":"', b'{"}', b'{"v":1},{"v":2}'], id="a text over two records"),
    ],
)
def test_no_record_reaches_into_the_next(records: list[bytes]) -> None:
    with pytest.raises(InputError):
        decode_many(records)


def test_records_with_braces_in_their_texts_are_read() -> None:
    records = [seal(ENTRY.replace(id=text), bytes(48)).record(AT, 1) for text in ("{}", "},{", "a\nb", '"\\')]
    assert [one.id for one in decode_many(records)] == ["{}", "},{", "a\nb", '"\\']
