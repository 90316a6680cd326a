"""What changed between two positions is what replaying up to each of them says."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from tallystick.model import Entry, Rules, Session, replay
from tallystick.model.difference import state_changes

entries = st.builds(
    Entry,
    type=st.sampled_from(["criterion", "phase", "note", "run_started"]),
    criterion_id=st.sampled_from(["", "ac1", "ac2", "é"]),
    phase_id=st.sampled_from(["", "build", "ac1"]),
    status=st.sampled_from(["", "pass", "fail"]),
    reason=st.text(max_size=3),
)


def placed(found: list[Entry]) -> list[SimpleNamespace]:
    return [SimpleNamespace(position=n, at=f"t{n}", entry=entry) for n, entry in enumerate(found, 1)]


@given(st.lists(entries, max_size=12), st.data(), st.sampled_from(Rules))
def test_changes_lead_from_one_state_to_the_other(found: list[Entry], data: st.DataObject, rules: Rules) -> None:
    first = data.draw(st.integers(0, len(found)))
    second = data.draw(st.integers(0, len(found)))
    changes = state_changes(placed(found)[: max(first, second)], first, second, rules=rules)

    then, now = (replay(Session(entries=found[:n]), rules) for n in (first, second))
    for kind, before, after in (
        ("criterion", then.criterion_states, now.criterion_states),
        ("phase", then.phase_blocks, now.phase_blocks),
    ):
        told = {change.id: change for change in changes if change.kind == kind}
        for id in {*before, *after} | set(told):
            if id in told:
                assert (told[id].before, told[id].after) == (before.get(id), after.get(id))
            else:
                assert before.get(id) == after.get(id)
        assert list(told) == sorted(told, key=str.encode)


@given(st.lists(entries, max_size=12), st.data())
def test_every_entry_in_between_that_names_it_is_told(found: list[Entry], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(found)))
    second = data.draw(st.integers(first, len(found)))
    told = {
        (change.id, cause.position)
        for change in state_changes(placed(found)[:second], first, second, rules=1)
        if change.kind == "criterion"
        for cause in change.causes
    }
    between = range(first + 1, second + 1)
    assert told == {(found[n - 1].criterion_id, n) for n in between if found[n - 1].criterion_id}


def test_how_it_changed_has_a_word() -> None:
    def how(*statuses: str, first: int, second: int) -> str:
        made = placed([Entry(type="criterion", criterion_id="ac1", status=status) for status in statuses])
        (change,) = state_changes(made, first, second, rules=1)
        return change.how

    assert how("pass", first=0, second=1) == "appeared"
    assert how("pass", first=1, second=0) == "gone"
    assert how("pass", "fail", first=1, second=2) == "changed"
    assert how("pass", "fail", "pass", first=1, second=3) == "again"
