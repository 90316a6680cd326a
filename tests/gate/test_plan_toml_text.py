"""What is written as TOML reads back as it was."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.gate import toml_text

text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    text | st.booleans() | st.integers(-(2**63), 2**63 - 1),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=10,
)


@given(text, values)
def test_pairs_read_back(name: str, value: Any) -> None:
    assert tomllib.loads(toml_text.pair(name, value)) == {name: value}


@given(st.lists(text, min_size=1, max_size=3), text)
def test_tables_read_back(path: list[str], item: str) -> None:
    read = tomllib.loads(toml_text.table(path, {"x": item, "wide": [item, "y" * 120]}))
    for part in path:
        read = read[part]
    assert read == {"x": item, "wide": [item, "y" * 120]}


@given(text)
def test_patterns_read_back(item: str) -> None:
    assert tomllib.loads(f"x = {toml_text.pattern(item)}") == {"x": item}


@given(st.text())
def test_comments_hold_anything_and_mean_nothing(words: str) -> None:
    comment = toml_text.comment(words)
    assert tomllib.loads(comment) == {}
    assert all(line.startswith("#") for line in comment.splitlines())


def test_how_it_looks() -> None:
    assert toml_text.string('a"b\\\n\x7f\u202e') == '"a\\"b\\\\\\n\\u007f\\u202e"'
    assert toml_text.string("\ud800") == '"\ufffd"'
    assert toml_text.pattern(r"\d+ passed") == r"'\d+ passed'"
    assert toml_text.dotted(("tasks", "fix/login", "criteria", "ac1", "inputs", 0)) == (
        'tasks."fix/login".criteria.ac1.inputs[0]'
    )
    assert toml_text.pair("expect", {"exit": 0, "tests": ">= 1"}) == 'expect = { exit = 0, tests = ">= 1" }'
    assert toml_text.pair("a", {}) == "a = {}"
    assert toml_text.comment("one two three", width=9) == "# one two\n# three\n"
    assert toml_text.comment("") == "#\n"


def test_what_has_no_place_in_a_plan_is_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        toml_text.value(1.5)
