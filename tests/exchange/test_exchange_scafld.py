"""scafld's session file: byte for byte with the vectors and real ledgers, and read as scafld reads it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.sessions import LEDGERS, sessions, vectors
from tallystick.errors import InputError
from tallystick.exchange import scafld
from tallystick.exchange.scafld_receipts import GENESIS_HEAD
from tallystick.model import (
    Entry,
    Origin,
    Rules,
    Session,
    StateRecord,
    first_workspace_baseline,
    new_session,
    ordered_criterion_ids,
    replay,
    workspace_baseline_snapshot,
)


def file_of(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def one_entry(**fields: object) -> Entry:
    """What an entry of these fields is read as, in dialect 2.5."""
    return scafld.loads(file_of(entries=[fields]), "2.5").entries[0]


class TestVectors:
    @pytest.mark.parametrize("case", vectors("session"), ids=range(60))
    def test_dialect_2_3_byte_for_byte(self, case):
        data = json.dumps(case["input"]).encode()
        if case.get("error"):
            with pytest.raises(InputError):
                scafld.loads(data, "2.3")
            return
        for dialect in ("2.3", None):
            session = scafld.loads(data, dialect)
            assert scafld.dumps(session, dialect) == case["expected"].encode()
        assert ordered_criterion_ids(session) == case["ordered_criterion_ids"]
        baseline = first_workspace_baseline(session)
        assert (baseline is not None) == case["baseline_found"]
        if baseline is not None:
            assert baseline.id == case["baseline_id"]
            assert workspace_baseline_snapshot(baseline) == (case["baseline_snapshot"] or [])

    @pytest.mark.parametrize("case", vectors("scafld"), ids=range(12))
    def test_dialect_2_5_byte_for_byte(self, case):
        session = scafld.loads(json.dumps(case["input"]).encode(), "2.5")
        expected = case["expected"].encode()
        assert scafld.dumps(session) == scafld.dumps(session, "2.5") == expected
        assert scafld.dumps(scafld.loads(expected)) == expected

    @pytest.mark.parametrize("file", LEDGERS, ids=lambda file: file.name)
    def test_real_ledgers_come_out_as_they_went_in(self, file):
        data = file.read_bytes()
        reading = scafld.read_session(data, where=file.name)
        assert reading.session.origin == Origin(
            format="scafld", dialect="2.5", schema_version=1, updated_at=reading.session.updated_at
        )
        assert reading.session.rules is Rules.V2
        assert reading.dropped == {}
        assert scafld.dumps(reading.session) == data

    def test_there_are_three_real_ledgers(self):
        assert len(LEDGERS) == 3


class TestStable:
    @given(sessions(), st.sampled_from(["2.3", "2.5", None]))
    def test_what_is_written_reads_and_writes_the_same(self, session, dialect):
        data = scafld.dumps(session, dialect)
        again = scafld.loads(data, dialect, rules=session.rules)
        assert scafld.dumps(again, dialect) == data
        assert again.entries == session.entries
        assert again.criterion_states == session.criterion_states
        assert again.phase_blocks == session.phase_blocks

    @given(sessions(extras=True))
    def test_dialect_2_5_keeps_all_of_an_import(self, session):
        data = scafld.dumps(session, "2.5")
        again = scafld.loads(data, rules=session.rules)
        assert again.origin.dialect == "2.5"
        assert scafld.dumps(again) == data
        assert again.entries == session.entries

    @given(sessions(extras=True))
    def test_dialect_2_3_of_it_is_the_base_format(self, session):
        data = scafld.dumps(session, "2.3")
        plain = [entry.replace(details=None) for entry in session.entries]
        assert scafld.loads(data, rules=session.rules).entries == tuple(plain)
        assert scafld.dumps(session.replace(entries=plain)) == data


class TestDialect:
    @pytest.mark.parametrize(
        ("fields", "dialect"),
        [
            ({}, "2.3"),
            ({"entries": [{"type": "x", "unknown": 1}]}, "2.3"),
            ({"ledger_valid": True}, "2.5"),
            ({"LEDGER_HEAD": ""}, "2.5"),
            ({"ledger_head": None, "entries": [{"expected_kind": None, "reviewed_scope": None}]}, "2.3"),
            ({"entries": [{}, {"Review_Pass_Count": 0}]}, "2.5"),
            ({"phase_blocks": {"p": {"command": "x"}}}, "2.5"),
            ({"criterion_states": {"p": {"evidence_actor": "x"}}}, "2.5"),
        ],
    )
    def test_it_is_told_by_fields_that_only_2_5_has(self, fields, dialect):
        session = scafld.loads(file_of(**fields))
        assert session.origin.dialect == dialect
        assert session.rules is (Rules.V1 if dialect == "2.3" else Rules.V2)

    def test_an_unknown_one_is_refused(self):
        for call in (lambda: scafld.loads(b"{}", "2.4"), lambda: scafld.dumps(Session(), "3")):
            with pytest.raises(InputError, match="no such dialect"):
                call()

    @pytest.mark.parametrize(
        ("phase_blocks", "rules"),
        [
            ({"p": {"status": "active", "source_id": "build"}}, Rules.V1),
            ({"p": {"status": "open", "source_id": "phase"}}, Rules.V2),
            ({"p": {"status": "open", "source_id": "phase", "phase_id": "other"}}, Rules.V2),
            ({"p": {"status": "stale"}}, Rules.V2),
            ({}, Rules.V2),
        ],
    )
    def test_a_file_of_2_5_replays_by_v2_unless_only_v1_gives_its_phases(self, phase_blocks, rules):
        entries = [
            {"type": "phase", "phase_id": "p", "status": "open"},
            {"type": "build", "phase_id": "p", "status": "active"},
        ]
        data = file_of(entries=entries, phase_blocks=phase_blocks, ledger_head="x")
        assert scafld.loads(data).rules is rules
        assert scafld.loads(data, "2.5").rules is Rules.V2
        assert scafld.loads(data, rules=Rules.V2).rules is Rules.V2
        assert scafld.loads(data, "2.3").rules is Rules.V1

    def test_told_2_3_a_newer_file_is_read_without_what_2_5_added(self):
        reading = scafld.read_session(LEDGERS[0].read_bytes(), "2.3")
        assert reading.session.origin.dialect == "2.3"
        assert all(not entry.details for entry in reading.session.entries)
        assert reading.dropped["ledger_head"] == 1
        assert reading.dropped["entries.expected_kind"] == 3
        assert reading.dropped["states.phase_id"] == 2


class TestEntriesList:
    @pytest.mark.parametrize(
        ("data", "origin", "in_23"),
        [(b"{}", "null", b"null"), (b'{"entries":null}', "null", b"null"), (b'{"entries":[]}', "[]", b"[]")],
    )
    def test_without_entries_2_3_keeps_the_spelling_and_2_5_does_not(self, data, origin, in_23):
        session = scafld.loads(data, "2.3")
        assert session.origin.entries == origin
        assert b'"entries": ' + in_23 in scafld.dumps(session)
        assert b'"entries": null' in scafld.dumps(session, "2.5")

    def test_one_of_ours_without_entries_has_an_empty_list(self):
        session = new_session("add-cache", "2026-01-01T00:00:00Z")
        assert scafld.dumps(session).decode().splitlines() == [
            "{",
            '  "schema_version": 1,',
            '  "task_id": "add-cache",',
            '  "created_at": "2026-01-01T00:00:00Z",',
            '  "updated_at": "2026-01-01T00:00:00Z",',
            '  "entries": []',
            "}",
        ]
        assert scafld.dumps(session, "2.5").decode().splitlines()[5:] == [
            '  "entries": null,',
            f'  "ledger_head": "{GENESIS_HEAD}",',
            '  "ledger_valid": true',
            "}",
        ]

    def test_an_entry_that_is_null_is_an_empty_entry(self):
        assert scafld.loads(b'{"entries":[null,{}]}').entries == (Entry(), Entry())


class TestDetails:
    def test_fields_of_2_5_lie_under_scafld_and_empty_ones_nowhere(self):
        entry = one_entry(
            type="review",
            trust_status="accepted",
            review_pass_count=2**63 - 1,
            reviewed_scope=["a", None],
            expected_kind="",
            reviewed_head=None,
            note="dropped",
        )
        assert entry.details == {
            "scafld": {"trust_status": "accepted", "review_pass_count": 2**63 - 1, "reviewed_scope": ["a", ""]}
        }
        assert one_entry(type="review", expected_kind="", reviewed_scope=[]).details == {}

    def test_our_own_details_are_left_out(self):
        session = replay(Session(entries=[Entry(type="run", details={"run": {"exit_code": 0}})]))
        for dialect in ("2.3", "2.5"):
            assert b"run" in scafld.dumps(session, dialect)
            assert b"details" not in scafld.dumps(session, dialect)

    @pytest.mark.parametrize(
        "held",
        [7, [1], {"trust_status": 1}, {"review_pass_count": "2"}, {"reviewed_scope": "a"}, {"reviewed_scope": [1]}],
    )
    def test_values_of_the_wrong_type_cannot_be_written(self, held):
        session = Session(entries=[Entry(), Entry(details={"scafld": held})])
        with pytest.raises(InputError, match=r"details\.scafld"):
            scafld.dumps(session, "2.5")

    def test_fields_of_the_wrong_type_cannot_be_written(self):
        session = Session(entries=[Entry(), Entry(status=5)])  # type: ignore[arg-type]
        with pytest.raises(InputError, match="position 2"):
            scafld.dumps(session)
        for wrong in ({"task_id": 5}, {"schema_version": "1"}, {"criterion_states": {"a": StateRecord(reason=1)}}):
            with pytest.raises(InputError, match="wrong type"):
                scafld.dumps(Session(**wrong))

    def test_states_of_2_5_take_more_from_the_entry_that_set_them(self):
        session = scafld.loads(
            file_of(
                entries=[
                    {"type": "criterion", "criterion_id": "a", "phase_id": "p", "evidence_actor": "me"},
                    {"type": "criterion", "criterion_id": "b", "command": "make"},
                ]
            )
        )
        states = json.loads(scafld.dumps(session))["criterion_states"]
        assert states["a"] == {
            "status": "criterion",
            "source_id": "criterion",
            "phase_id": "p",
            "evidence_actor": "me",
        }
        assert states["b"] == {"status": "criterion", "source_id": "criterion", "command": "make"}
        by_hand = session.replace(criterion_states={"a": StateRecord("pass")})
        assert json.loads(scafld.dumps(by_hand))["criterion_states"] == {"a": {"status": "pass"}}


class TestWriting:
    def test_maps_are_in_byte_order_and_strings_escaped_as_scafld_does(self):
        keys = ("é", "a", "Z", "🎉", "\uffee", "<")
        session = replay(Session(entries=[Entry(type="criterion", criterion_id=key) for key in keys]))
        text = scafld.dumps(session).decode()
        assert list(json.loads(text)["criterion_states"]) == ["<", "Z", "a", "é", "\uffee", "🎉"]
        odd = '"\\\b\f\n\r\t\x00\x1f\x7f<>&\u2028\u2029é🎉\ud800'
        text = scafld.dumps(Session(task_id=odd)).decode()
        assert (
            '"task_id": "\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\\u003c\\u003e\\u0026\\u2028\\u2029é🎉\ufffd"' in text
        )

    def test_criteria_that_clean_to_one_name_are_written_once(self):
        session = replay(
            Session(
                entries=[
                    Entry(type="criterion", criterion_id="\udfff", status="one"),
                    Entry(type="criterion", criterion_id="\ud800", status="two"),
                ]
            )
        )
        assert json.loads(scafld.dumps(session))["criterion_states"] == {
            "\ufffd": {"status": "two", "source_id": "criterion"}
        }

    def test_output_that_is_not_text_is_written_as_text(self):
        session = Session(entries=[Entry(type="run", output=b"a\xff\n")])
        assert '"output": "a\ufffd\\n"' in scafld.dumps(session).decode()


class TestImportable:
    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({}, "file: the session has no task_id; name its task with -t"),
            ({"task_id": "a", "schema_version": 2}, "file: schema_version 2 is not read, 1 is"),
            ({"task_id": "a\0"}, "file: task_id has a NUL"),
            ({"task_id": "a", "entries": [{}, {"criterion_id": "\0"}]}, "file: entries[1].criterion_id: NUL"),
        ],
    )
    def test_what_a_ledger_cannot_hold_is_refused_here_alone(self, fields, says):
        session = scafld.loads(file_of(**fields))
        assert scafld.dumps(session) == scafld.dumps(scafld.loads(scafld.dumps(session)))
        with pytest.raises(InputError) as caught:
            scafld.require_importable(session, where="file")
        assert str(caught.value).startswith(says)

    def test_the_real_ledgers_can_be_held(self):
        for file in LEDGERS:
            session = scafld.loads(file.read_bytes())
            assert scafld.require_importable(session) is session


class TestSameHistory:
    OLD = scafld.loads(LEDGERS[0].read_bytes())

    def test_a_grown_file_gives_its_new_entries(self):
        more = (Entry(type="note"), Entry(type="note", details={"scafld": {"trust_status": "x"}}))
        grown = replay(self.OLD.replace(entries=(*self.OLD.entries, *more), updated_at="later"))
        assert scafld.same_history(self.OLD, grown) == more
        assert scafld.same_history(self.OLD, self.OLD) == ()
        assert scafld.same_history(self.OLD.replace(entries=()), self.OLD) == self.OLD.entries

    def test_trust_is_not_compared(self):
        position = next(n for n, e in enumerate(self.OLD.entries) if "trust_status" in e.details.get("scafld", {}))
        entry = self.OLD.entries[position]
        extras = {**entry.details["scafld"], "trust_status": "rejected", "trust_reason": "revoked"}
        other = entry.replace(details={"scafld": extras})
        entries = (*self.OLD.entries[:position], other, *self.OLD.entries[position + 1 :])
        assert scafld.comparable(other) == scafld.comparable(entry) != entry
        assert scafld.same_history(self.OLD, self.OLD.replace(entries=entries)) == ()
        only_trust = Entry(details={"scafld": {"trust_reason": "x"}, "other": 1})
        assert scafld.comparable(only_trust) == Entry(details={"other": 1})
        assert scafld.comparable(only_trust.replace(details={"scafld": "odd"})).details == {"scafld": "odd"}

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"status": "fail"}, "at position 3 the file's status"),
            ({"output": "x"}, "at position 3 the file's output"),
            ({"details": {"scafld": {"receipt_digest": "x"}}}, "at position 3 the file's receipt_digest"),
            ({"details": {"note": 1}}, "at position 3 the file's details"),
        ],
    )
    def test_anything_else_that_differs_is_refused_with_its_position(self, change, says):
        entries = list(self.OLD.entries)
        entries[2] = entries[2].replace(**change)
        with pytest.raises(InputError) as caught:
            scafld.same_history(self.OLD, self.OLD.replace(entries=entries), where="file")
        assert str(caught.value).startswith(f"file: {says}")

    def test_after_an_entry_of_our_own_it_is_refused_with_that_position(self):
        ours = self.OLD.with_entry(Entry(type="note"))
        for new in (self.OLD, self.OLD.with_entry(Entry(type="complete"))):
            with pytest.raises(InputError, match=f"position {len(self.OLD.entries) + 1} "):
                scafld.same_history(ours, new)

    @pytest.mark.parametrize("change", [{"task_id": "x"}, {"created_at": "x"}, {"schema_version": 0}])
    def test_another_session_is_refused(self, change):
        with pytest.raises(InputError, match=f"at position 0 the file's {next(iter(change))}"):
            scafld.same_history(self.OLD, self.OLD.replace(**change))

    def test_a_session_of_our_own_is_no_import(self):
        with pytest.raises(InputError, match="not an import"):
            scafld.same_history(self.OLD.replace(origin=None), self.OLD)
