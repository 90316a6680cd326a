"""Sessions and replay: the same entries and rules give the same state, however they are folded."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.sessions import entries, sessions
from tallystick.model import (
    Entry,
    Origin,
    Replayer,
    Rules,
    Session,
    StateRecord,
    new_session,
    ordered_criterion_ids,
    replay,
)
from tallystick.model.session import sets_phase, state_of


def folded(session: Session) -> Session:
    """The session replayed one entry at a time, by `with_entry`."""
    result = session.replace(entries=(), criterion_states={}, phase_blocks={})
    for entry in session.entries:
        result = result.with_entry(entry)
    return result


class TestReplay:
    @given(sessions())
    def test_it_is_deterministic_and_settles_at_once(self, session):
        assert replay(session) == session
        assert replay(pickle.loads(pickle.dumps(session))) == session

    @given(sessions())
    def test_folding_one_at_a_time_gives_the_same_states_and_blocks(self, session):
        one_by_one = folded(session)
        assert one_by_one.criterion_states == session.criterion_states
        assert one_by_one.phase_blocks == session.phase_blocks
        assert one_by_one.entries == session.entries

    @given(sessions(), st.integers(0, 5))
    def test_a_replayer_can_stop_anywhere_and_go_on(self, session, cut):
        replayer = Replayer(session.rules)
        for entry in session.entries[:cut]:
            replayer.add(entry)
        replayer.criterion_states()
        for entry in session.entries[cut:]:
            replayer.add(entry)
        assert replayer.criterion_states() == dict(session.criterion_states)
        assert replayer.phase_blocks() == dict(session.phase_blocks)
        assert replayer.position == len(session.entries)

    @given(sessions())
    def test_each_state_is_that_of_the_last_entry_that_names_it(self, session):
        numbered = list(enumerate(session.entries, start=1))
        for key in {entry.criterion_id for _, entry in numbered} - {""}:
            position, entry = [item for item in numbered if item[1].criterion_id == key][-1]
            assert session.criterion_states[key] == state_of(entry, position)
        assert set(session.criterion_states) == {entry.criterion_id for _, entry in numbered} - {""}
        setting = [
            (position, entry)
            for position, entry in numbered
            if entry.phase_id and (session.rules == Rules.V1 or entry.type == "phase")
        ]
        assert dict(session.phase_blocks) == {e.phase_id: state_of(e, position) for position, e in setting}

    @given(sessions())
    def test_nothing_of_old_indexes_survives(self, session):
        stale = {"stale": StateRecord("pass", position=1)}
        assert replay(session.replace(criterion_states=stale, phase_blocks=stale)) == session

    def test_status_and_source_fall_back_to_the_type(self):
        session = replay(Session(entries=[Entry(type="review", criterion_id="a", reason="r", recorded_at="t")]))
        assert session.criterion_states["a"] == StateRecord("review", "r", "t", "review", 1)

    @pytest.mark.parametrize(
        ("rules", "type_", "sets"),
        [
            (Rules.V1, "build", True),
            (Rules.V2, "build", False),
            (Rules.V1, "phase", True),
            (Rules.V2, "phase", True),
        ],
    )
    def test_the_rules_differ_in_what_sets_a_phase(self, rules, type_, sets):
        session = replay(Session(entries=[Entry(type=type_, phase_id="p", status="active")]), rules)
        assert ("p" in session.phase_blocks) is sets is sets_phase(rules, type_, "p")
        assert not sets_phase(rules, type_, "")
        assert session.rules is rules

    def test_it_replays_by_its_own_rules_unless_told(self):
        session = Session(entries=[Entry(type="build", phase_id="p")], rules=Rules.V2)
        assert replay(session).phase_blocks == {}
        assert list(replay(session, Rules.V1).phase_blocks) == ["p"]
        assert replay(session, 1).rules is Rules.V1


class TestUpdatedAt:
    @pytest.mark.parametrize(
        ("times", "expected"),
        [([], "before"), (["t1"], "t1"), (["t1", "t2"], "t2"), (["t2", "t1"], "t1"), (["t1", ""], "before")],
    )
    def test_only_the_last_entry_counts(self, times, expected):
        session = Session(updated_at="before", entries=[Entry(recorded_at=time) for time in times])
        assert replay(session).updated_at == expected

    def test_with_entry_begins_with_the_session_as_it_stands(self):
        session = new_session("t", "t0").with_entry(Entry(recorded_at="t1")).with_entry(Entry())
        assert session.updated_at == "t1"
        assert session.created_at == "t0"


class TestSession:
    def test_a_new_one_is_empty(self):
        session = new_session("add-cache", "2026-01-01T00:00:00Z")
        assert session == Session(
            schema_version=1,
            task_id="add-cache",
            created_at="2026-01-01T00:00:00Z",
            updated_at="2026-01-01T00:00:00Z",
        )
        assert (session.entries, session.rules, session.origin) == ((), Rules.V1, None)

    @given(sessions(), entries())
    def test_with_entry_leaves_the_old_one_as_it_was(self, session, entry):
        before = pickle.dumps(session)
        longer = session.with_entry(entry)
        assert pickle.dumps(session) == before
        assert longer.entries == (*session.entries, entry)
        assert longer == replay(session.replace(entries=(*session.entries, entry)))

    @given(sessions())
    def test_it_survives_pickling(self, session):
        twin = pickle.loads(pickle.dumps(session))
        assert twin == session
        assert hash(twin) == hash(session)
        assert repr(twin) == repr(session)

    def test_its_indexes_cannot_be_changed_from_either_side(self):
        states = {"a": StateRecord("pass")}
        listed = [Entry(type="run")]
        session = Session(entries=listed, criterion_states=states)
        states["b"] = StateRecord("fail")
        listed.append(Entry())
        assert list(session.criterion_states) == ["a"]
        assert len(session.entries) == 1
        with pytest.raises(TypeError):
            session.criterion_states["a"] = StateRecord("fail")  # type: ignore[index]

    def test_criteria_are_ordered_by_their_bytes(self):
        keys = ["é", "a", "Z", "ac10", "ac2", "\uffee", "🎉", "\ud800", " ac1"]
        session = Session(criterion_states={key: StateRecord("pass") for key in keys})
        assert ordered_criterion_ids(session) == [
            " ac1",
            "Z",
            "a",
            "ac10",
            "ac2",
            "é",
            "\ud800",
            "\uffee",
            "🎉",
        ]

    def test_rules_outside_the_known_ones_are_refused(self):
        with pytest.raises(ValueError):
            Session(rules=3)  # type: ignore[arg-type]

    def test_an_origin_leaves_out_what_is_empty(self):
        assert Origin(format="scafld", dialect="2.3", entries="[]").to_dict() == {
            "format": "scafld",
            "dialect": "2.3",
            "entries": "[]",
        }
