"""Entries, state records and the workspace baseline."""

from __future__ import annotations

import pytest
from hypothesis import given

from support.sessions import entries
from tallystick.model import (
    ENTRY_WORKSPACE_BASELINE,
    Entry,
    Session,
    StateRecord,
    first_workspace_baseline,
    workspace_baseline_snapshot,
)


def test_an_entry_without_anything_is_empty_throughout():
    entry = Entry()
    assert [getattr(entry, name) for name in Entry.FIELDS] == [""] * 9 + [0, "", "", {}]
    assert entry.to_dict() == {"type": "", "recorded_at": ""}


def test_fields_come_in_the_order_of_the_session_format():
    entry = Entry(**{name: {"exit_code": 1, "details": {"a": 1}}.get(name, name) for name in Entry.FIELDS})
    assert list(entry.to_dict()) == [
        "id",
        "type",
        "recorded_at",
        "criterion_id",
        "phase_id",
        "status",
        "reason",
        "provider",
        "command",
        "exit_code",
        "output",
        "path",
        "details",
    ]


@given(entries(extras=True))
def test_an_entry_comes_back_from_its_dict(entry):
    assert Entry(**entry.to_dict()) == entry
    assert set(entry.to_dict()) - {"type", "recorded_at"} == {n for n in Entry.FIELDS if getattr(entry, n)} - {
        "type",
        "recorded_at",
    }


class TestOutput:
    def test_bytes_read_as_text_and_stay_bytes(self):
        entry = Entry(output=b"a\xff\xe2\x82z")
        assert entry.output == "a\ufffd\ufffd\ufffdz"
        assert entry.output_bytes == b"a\xff\xe2\x82z"
        assert entry.replace(id="x").output_bytes == b"a\xff\xe2\x82z"

    def test_text_gives_its_utf8(self):
        assert Entry(output="é🎉").output_bytes == "é🎉".encode()
        assert Entry(output="a\ud800").output_bytes == "a\ufffd".encode()

    def test_text_and_its_bytes_are_the_same_output(self):
        assert Entry(output="é") == Entry(output="é".encode())
        assert hash(Entry(output="é")) == hash(Entry(output="é".encode()))


def test_a_state_tells_all_its_fields():
    state = StateRecord("pass", "why", "t1", "entry-1", 4)
    assert state.to_dict() == {
        "status": "pass",
        "reason": "why",
        "updated_at": "t1",
        "source_id": "entry-1",
        "position": 4,
    }


class TestBaseline:
    def test_the_first_of_several_counts(self):
        first = Entry(type=ENTRY_WORKSPACE_BASELINE, id="one")
        session = Session(entries=[Entry(type="run"), first, Entry(type=ENTRY_WORKSPACE_BASELINE, id="two")])
        assert first_workspace_baseline(session) is first

    def test_there_may_be_none(self):
        assert first_workspace_baseline(Session(entries=[Entry(type="baseline")])) is None

    @pytest.mark.parametrize(
        ("output", "lines"),
        [
            ("", []),
            (" M a.py", [" M a.py"]),
            ("a\r\nb\r\r\n\n", ["a", "b"]),
            ("\u3000\n \t\u00a0\nx", ["x"]),
            ("\x1c\n\u200b\n\ufeff", ["\x1c", "\u200b", "\ufeff"]),
            ("a\rb\n", ["a\rb"]),
            ("a\u2028b\x0bc", ["a\u2028b\x0bc"]),
            (b"\xff \n", ["\ufffd "]),
        ],
    )
    def test_its_lines_are_those_that_are_not_blank(self, output, lines):
        assert workspace_baseline_snapshot(Entry(output=output)) == lines
