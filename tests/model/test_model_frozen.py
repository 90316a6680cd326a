"""Values that never change, and the JSON in them."""

from __future__ import annotations

import copy
import json
import pickle
from typing import ClassVar

import pytest

from tallystick.model import Entry, Origin, Session, StateRecord
from tallystick.model.frozen import EMPTY, FrozenDict, FrozenList, frozen_json

VALUES = [
    Entry(type="run", details={"run": {"argv": ["a"]}}),
    StateRecord(status="pass", position=3),
    Origin(format="scafld", dialect="2.3"),
    Session(task_id="t", entries=[Entry(type="run")], criterion_states={"ac1": StateRecord("pass")}),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
class TestValues:
    def test_no_field_can_be_set_or_deleted(self, value):
        for name in value.FIELDS:
            with pytest.raises(AttributeError):
                setattr(value, name, None)
            with pytest.raises(AttributeError):
                delattr(value, name)
        with pytest.raises(AttributeError):
            value.something_new = 1

    def test_pickling_and_copying_give_equal_values(self, value):
        for twin in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
            assert twin == value
            assert hash(twin) == hash(value)
            assert type(twin) is type(value)

    def test_replace_changes_one_field_of_a_copy(self, value):
        name = value.FIELDS[0]
        changed = value.replace(**{name: 7 if isinstance(getattr(value, name), int) else "other"})
        assert changed != value
        assert [n for n in value.FIELDS if getattr(changed, n) != getattr(value, n)] == [name]

    def test_it_equals_no_other_kind_of_value(self, value):
        assert value != value.FIELDS
        assert (value == object()) is False


def test_equal_values_hash_alike_whatever_order_their_keys_are_in():
    states = {"a": StateRecord("pass", position=1), "b": StateRecord("fail", position=2)}
    one = Session(task_id="t", criterion_states=states)
    other = Session(task_id="t", criterion_states=dict(reversed(states.items())))
    assert one == other
    assert hash(one) == hash(other)
    assert hash(Entry(details={"a": 1, "b": [2]})) == hash(Entry(details={"b": [2], "a": 1}))
    assert len({one, other}) == 1


class TestFrozenJson:
    VALUE: ClassVar = {"a": [1, {"b": None}], "c": {"d": (True, 2.5)}, "e": "text"}

    def test_it_equals_what_it_was_made_from_and_reads_as_json(self):
        value = frozen_json(self.VALUE)
        assert value == {"a": [1, {"b": None}], "c": {"d": [True, 2.5]}, "e": "text"}
        assert json.dumps(value) == json.dumps(self.VALUE)
        assert pickle.loads(pickle.dumps(value)) == value
        assert isinstance(pickle.loads(pickle.dumps(value))["a"], FrozenList)

    def test_the_source_can_change_without_it(self):
        source = {"a": [1]}
        entry = Entry(details=source)
        source["a"].append(2)
        source["b"] = 3
        assert entry.details == {"a": [1]}

    @pytest.mark.parametrize(
        "change",
        [
            lambda value: value.__setitem__("a", 1),
            lambda value: value.__delitem__("a"),
            lambda value: value.update(a=1),
            lambda value: value.setdefault("z", 1),
            lambda value: value.pop("a"),
            lambda value: value.popitem(),
            lambda value: value.clear(),
            lambda value: value.__ior__({"z": 1}),
            lambda value: value["a"].append(1),
            lambda value: value["a"].extend([1]),
            lambda value: value["a"].insert(0, 1),
            lambda value: value["a"].__setitem__(0, 1),
            lambda value: value["a"].__delitem__(0),
            lambda value: value["a"].__iadd__([1]),
            lambda value: value["a"].__imul__(2),
            lambda value: value["a"].pop(),
            lambda value: value["a"].remove(1),
            lambda value: value["a"].sort(),
            lambda value: value["a"].reverse(),
            lambda value: value["a"].clear(),
            lambda value: value["a"][1].__setitem__("b", 1),
        ],
    )
    def test_every_way_of_changing_it_is_refused(self, change):
        value = frozen_json(self.VALUE)
        with pytest.raises(TypeError):
            change(value)
        assert value == frozen_json(self.VALUE)

    def test_what_is_nested_in_itself_is_left_for_whoever_records_it_to_refuse(self):
        loop: dict[str, object] = {}
        loop["loop"] = loop
        assert "loop" in Entry(details=loop).details
        deep: list[object] = []
        for _ in range(100_000):
            deep = [deep]
        assert "deep" in Entry(details={"deep": deep}).details

    def test_entries_without_details_share_the_empty_object(self):
        assert Entry().details is Entry(details={}).details is EMPTY
        assert isinstance(Entry(details={"a": 1}).details, FrozenDict)
