"""Records: what an entry becomes, and that it comes back."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick import Entry, InputError
from tallystick.model import Origin, Rules
from tallystick.model.bulk import decode_bulk, decode_many
from tallystick.model.header import Header, decode_header
from tallystick.model.jsontext import quote
from tallystick.model.output import OUTPUT_LIMIT
from tallystick.model.record import (
    BULK,
    PART_LIMIT,
    PARTS,
    RECORD_LIMIT,
    Draft,
    Record,
    Sealed,
    decode_record,
    missing_parts,
    open_entry,
    part_digest,
    record_decoder,
    seal,
)
from tallystick.model.text import clean_text

SALTS = bytes(range(48))
AT = "2026-01-02T03:04:05.000678Z"
ORDER = [name for name in Record.FIELDS if name not in ("v", "kind", "at")]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
any_text = st.text(st.characters(exclude_categories=[]), max_size=12)
names = texts.map(lambda text: text.replace("\0", ""))
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
entries = st.builds(
    Entry,
    id=names,
    type=names,
    recorded_at=texts,
    criterion_id=names,
    phase_id=names,
    status=texts,
    reason=texts,
    provider=texts,
    command=texts,
    exit_code=st.integers(-(2**63), 2**63 - 1) | st.just(0),
    output=texts | st.binary(max_size=20),
    path=texts,
    details=st.dictionaries(texts, values, max_size=3),
)
erasures = st.none() | st.tuples(st.integers(1, 2**32), st.lists(st.sampled_from(PARTS), unique=True, min_size=1))


def made(entry: Entry, *, defaults: bool = False, **options: Any) -> tuple[bytes, Sealed]:
    draft = seal(entry, SALTS, **options)
    return draft.record(AT, 7, defaults=defaults), draft.sealed


# --- there and back


@given(entry=entries)
def test_an_entry_comes_back(entry: Entry) -> None:
    record, sealed = made(entry)
    for decoded in (decode_record(record), decode_bulk(record)):
        back = open_entry(decoded, sealed)
        assert back == entry
        assert back.output_bytes == entry.output_bytes
        assert json.dumps(back.details) == json.dumps(entry.details, sort_keys=True)
        assert open_entry(decoded, sealed, outputs=False) == entry.replace(output="")


@given(entry=entries, defaults=st.booleans())
def test_defaults_fill_id_and_time_alone(entry: Entry, defaults: bool) -> None:
    record, sealed = made(entry, defaults=defaults)
    back = open_entry(decode_record(record), sealed)
    expected = entry
    if defaults:
        expected = entry.replace(id=entry.id or "entry-7", recorded_at=entry.recorded_at or AT)
    assert back == expected


@given(entry=entries, erases=erasures)
def test_a_record_is_what_the_design_says(entry: Entry, erases: Any) -> None:
    record, sealed = made(entry, erases=erases)
    fields = json.loads(record)
    assert record == json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    assert list(fields)[:3] == ["v", "kind", "at"]
    assert list(fields)[3:] == [name for name in ORDER if name in fields]
    assert all(value not in ("", 0, None) for value in fields.values())
    for name in ("id", "type", "recorded_at", "criterion_id", "phase_id", "status", "provider", "exit_code"):
        assert fields.get(name) == (getattr(entry, name) or None)
    assert fields.get("erases") == (None if erases is None else [erases[0], list(erases[1])])
    assert fields.get("output_size", 0) == len(entry.output_bytes) + dropped(entry)
    for index, name in enumerate(PARTS):
        data, salt = getattr(sealed, name), getattr(sealed, f"{name}_salt")
        assert (data is None) == (salt is None) == (name not in fields)
        if data is not None:
            assert salt == SALTS[16 * index : 16 * index + 16]
            assert fields[name] == sha256(salt + data).hexdigest() == part_digest(salt, data)
    if sealed.text is not None:
        texts = {name: getattr(entry, name) for name in ("reason", "command", "path") if getattr(entry, name)}
        assert sealed.text == json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode()
    if sealed.details is not None:
        assert sealed.details == json.dumps(
            entry.details, ensure_ascii=False, separators=(",", ":"), sort_keys=True
        ).encode("utf-8")


def dropped(entry: Entry) -> int:
    said = entry.details.get("output")
    count = said.get("dropped") if isinstance(said, dict) else 0
    return count if isinstance(count, int) and count > 0 else 0


@given(entry=entries, erases=erasures)
def test_both_decoders_agree(entry: Entry, erases: Any) -> None:
    record, _ = made(entry, erases=erases)
    one, other, (many,) = decode_record(record), decode_bulk(record), decode_many([record])
    assert other == many
    for name in Record.FIELDS:
        left, right = getattr(one, name), getattr(other, name)
        assert type(left) is type(right) or name == "erases"
        assert left == (list(right) if name == "erases" and right else right)


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_texts_are_quoted_as_msgspec_quotes_them(text: str) -> None:
    assert quote(text).encode() == msgspec.json.encode(text)
    assert json.loads(quote(text)) == text


def test_every_character_is_quoted_as_msgspec_quotes_it() -> None:
    for start in range(0, 0x110000, 0x1000):
        text = "".join(map(chr, (n for n in range(start, start + 0x1000) if not 0xD800 <= n < 0xE000)))
        assert quote(text).encode() == msgspec.json.encode(text)


# --- erased parts, odd input, limits


@given(entry=entries, parts=st.sets(st.sampled_from(PARTS)))
def test_erased_parts_read_as_empty(entry: Entry, parts: set[str]) -> None:
    record, sealed = made(entry)
    there = {name for name in PARTS if getattr(sealed, name) is not None}
    for name in parts:
        setattr(sealed, name, None)
        setattr(sealed, f"{name}_salt", None)
    decoded = decode_record(record)
    assert set(missing_parts(decoded, sealed)) == parts & there
    empty = {"text": {"reason": "", "command": "", "path": ""}, "details": {"details": None}, "output": {"output": ""}}
    expected = entry
    for name in parts:
        expected = expected.replace(**empty[name])
    assert open_entry(decoded, sealed) == expected


@given(text=any_text, where=st.sampled_from(["id", "type", "status", "reason", "path", "recorded_at", "output"]))
def test_lone_surrogates_become_replacement_characters(text: str, where: str) -> None:
    text = text.replace("\0", "")
    record, sealed = made(Entry(**{where: text}, details={text: [text]}))
    back = open_entry(decode_bulk(record), sealed)
    assert getattr(back, where) == clean_text(text)
    assert back.details == {clean_text(text): [clean_text(text)]}


def test_surrogate_pairs_become_one_character() -> None:
    record, sealed = made(Entry(type="\ud83d\ude00", reason="\ud83d\ude00\ud83d"))
    back = open_entry(decode_record(record), sealed)
    assert (back.type, back.reason) == ("😀", "😀\ufffd")


def test_salts_never_matter_to_the_entry_and_always_to_the_record() -> None:
    entry = Entry(reason="r", output="o", details={"d": 1})
    one, other = (seal(entry, salts) for salts in (SALTS, SALTS[::-1]))
    assert one.record(AT, 1) != other.record(AT, 1)
    assert one.sealed.text == other.sealed.text
    assert one.input_digest(b"salt") == other.input_digest(b"salt")
    assert one.input_digest(b"salt") != one.input_digest(b"tlas")


@given(one=entries, other=entries)
def test_input_digests_tell_entries_apart(one: Entry, other: Entry) -> None:
    digests = [seal(entry, SALTS).input_digest(b"s") for entry in (one, other)]
    same = made(one) == made(other) or made(one)[0] == made(other)[0]
    assert (digests[0] == digests[1]) == same


def test_the_record_limit_is_exact() -> None:
    room = RECORD_LIMIT - len(made(Entry(status="x"))[0]) + 1
    assert len(made(Entry(status="x" * room))[0]) == RECORD_LIMIT
    draft = seal(Entry(status="x" * (room + 1)), SALTS)
    assert isinstance(draft, Draft)
    with pytest.raises(InputError, match=r"would be 65536 bytes, over 65535; shorten its ids, status or provider"):
        draft.record(AT, 7, defaults=False)


def test_the_part_limits_are_exact() -> None:
    overhead = len('{"reason":""}')
    seal(Entry(reason="x" * (PART_LIMIT - overhead)), SALTS)
    with pytest.raises(InputError, match="text is 1048577 bytes, over 1048576; put the rest into output"):
        seal(Entry(reason="x" * (PART_LIMIT - overhead + 1)), SALTS)
    with pytest.raises(InputError, match="details is 1048577 bytes"):
        seal(Entry(details={"x": "y" * (PART_LIMIT - len('{"x":""}') + 1)}), SALTS)


def test_output_at_and_beyond_its_limit() -> None:
    whole = bytes(OUTPUT_LIMIT)
    record, sealed = made(Entry(output=whole))
    assert sealed.output == whole
    assert decode_record(record).output_size == OUTPUT_LIMIT
    record, sealed = made(Entry(output=b"a" + whole + b"z", details={"output": {"of": "the caller"}}))
    assert sealed.output is not None
    assert len(sealed.output) == OUTPUT_LIMIT
    assert (sealed.output[:1], sealed.output[-1:]) == (b"a", b"z")
    assert decode_record(record).output_size == OUTPUT_LIMIT + 2
    details = open_entry(decode_record(record), sealed).details["output"]
    assert details == {"dropped_at": OUTPUT_LIMIT // 2, "dropped": 2}


def test_the_decoder_depends_on_how_many_there_are() -> None:
    assert record_decoder(1) is decode_record
    assert record_decoder(BULK - 1) is decode_record
    assert record_decoder(BULK) is decode_bulk


# --- headers

origins = st.none() | st.builds(
    Origin,
    format=texts,
    dialect=texts,
    schema_version=st.integers(0, 2**31),
    updated_at=texts,
    entries=st.sampled_from(["", "null", "[]"]),
    ledger_error=texts,
)
headers = st.builds(
    Header,
    at=st.just(AT),
    ledger=st.text("0123456789abcdef", min_size=32, max_size=32),
    task_id=names,
    created_at=texts,
    rules=st.sampled_from(Rules),
    origin=origins,
)


@given(header=headers)
def test_a_header_comes_back(header: Header) -> None:
    data = header.encode()
    fields = json.loads(data)
    assert list(fields) == ["v", "kind", "at", "ledger", "task_id", "created_at", "rules", "origin"][: len(fields)]
    assert data == json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    back = decode_header(data)
    assert back == header.replace(origin=header.origin if header.origin and header.origin.to_dict() else back.origin)
    assert back.encode() == data
    if "origin" in fields:
        assert list(fields["origin"]) == [name for name in Origin.FIELDS if name in fields["origin"]]


def test_what_the_fold_begins_with() -> None:
    header = Header(at=AT, ledger="0" * 32, task_id="t", created_at="created")
    assert (header.updated_at, header.schema_version) == ("created", 1)
    header = header.replace(origin=Origin(updated_at="updated", schema_version=3))
    assert (header.updated_at, header.schema_version) == ("updated", 3)


def test_a_header_that_is_too_long_is_refused() -> None:
    with pytest.raises(InputError, match=r"header would be .* bytes, over 65535"):
        Header(at=AT, ledger="0" * 32, task_id="t", created_at="x" * 65_535).encode()
