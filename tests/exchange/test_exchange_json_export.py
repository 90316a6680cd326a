"""Entries as plain JSON, and which format a file is in."""

from __future__ import annotations

import base64
import json
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.sessions import LEDGERS, entries
from tallystick.errors import InputError
from tallystick.exchange.formats import FORMATS, detect_format
from tallystick.exchange.json_export import to_json, to_jsonl
from tallystick.model import Entry


class Held(NamedTuple):
    position: int
    at: str
    entry: Entry
    erased: tuple[str, ...] = ()


def held(entries: list[Entry]) -> list[Held]:
    return [Held(n, f"2026-01-01T00:00:{n:02}.000000Z", entry) for n, entry in enumerate(entries, start=1)]


@given(st.lists(entries(extras=True), max_size=5))
def test_both_hold_every_field_of_every_entry(listed):
    records = held(listed)
    lines = b"".join(to_jsonl(records))
    array = b"".join(to_json(records))
    assert lines.endswith(b"\n") or not records
    assert array.endswith(b"]\n")
    values = [json.loads(line) for line in lines.split(b"\n")[:-1]]
    assert values == json.loads(array)
    for record, value in zip(records, values, strict=True):
        assert (value.pop("position"), value.pop("at")) == record[:2]
        assert Entry(**value) == record.entry


def test_fields_come_in_order_and_one_record_is_one_line():
    entry = Entry(type="run", status="pass", reason="a\u2028b\n", details={"run": {"exit_code": 0}})
    record = Held(3, "t", entry, ("output",))
    line = (
        '{"position":3,"at":"t","type":"run","recorded_at":"","status":"pass","reason":"a\u2028b\\n",'
        '"details":{"run":{"exit_code":0}},"erased":["output"]}'
    )
    assert b"".join(to_jsonl([record])).decode() == line + "\n"
    assert b"".join(to_json([record, record])).decode() == f"[\n{line},\n{line}\n]\n"
    assert b"".join(to_json([])) == b"[]\n"
    assert b"".join(to_jsonl([])) == b""


def test_output_that_is_not_text_loses_nothing():
    (line,) = to_jsonl([Held(1, "t", Entry(type="run", output=b"a\xff"))])
    value = json.loads(line)
    assert value["output"] == "a\ufffd"
    assert base64.b64decode(value["output_base64"]) == b"a\xff"


def test_lone_surrogates_can_be_written():
    (line,) = to_jsonl([Held(1, "t", Entry(type="\ud800", output="\udfff"))])
    assert json.loads(line)["type"] == "\ufffd"
    assert "output_base64" not in json.loads(line)


def test_records_are_written_as_they_are_read():
    def endless():
        position = 0
        while True:
            position += 1
            yield Held(position, "t", Entry(type="run"))

    for writer in (to_json, to_jsonl):
        pieces = writer(endless())
        assert [next(pieces) for _ in range(3)]


class TestDetect:
    @pytest.mark.parametrize("file", LEDGERS, ids=lambda file: file.name)
    def test_scafld_sessions_are_known_by_what_they_hold(self, file):
        assert detect_format(file.read_bytes(), "whatever") == "scafld"

    @pytest.mark.parametrize(
        ("data", "name"),
        [
            (b' \n{"Task_ID" : "a", "entries":[]}', ""),
            (b'{"schema_version":1,"task_id":"a"}', "x.json"),
            (b"{", ".scafld/runs/a/session.json"),
        ],
    )
    def test_or_by_their_name(self, data, name):
        assert detect_format(data, name) == "scafld"

    @pytest.mark.parametrize("data", [b"", b"words", b"{}", b"[]", b'{"task_id":1}', b"\xff{\0"])
    def test_what_is_unknown_is_refused(self, data):
        with pytest.raises(InputError, match=r"^report: cannot be imported: .*--format \(scafld"):
            detect_format(data, "report")

    def test_the_formats_are_listed(self):
        assert "scafld" in FORMATS
