"""Every key is found on the line where it stands, however TOML lets it be written."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.plans import as_toml, plans
from tallystick.gate import toml_text
from tallystick.gate.plan import Plan
from tallystick.gate.plan_lines import key_lines, line_of

SOURCE = '''\
# a comment with [brackets] and "quotes"
top.dotted."quo.ted".x = 1
'literal key' = { a = 1, b.c = [ 2, 3 ], d = { e = "}" } }
"esc\\u0061ped" = 'x' # ] = [

[table]
  [  table . "sub"  ]
text = """
[not.a.table]
not_a_key = 1 \\""" still ""\\"
"""
lit = \'\'\'
[nor.this]
it's''\'\'\'
after = [
  "one", # comment, with ] comma
  [ "nested",
    { key = 1979-05-27 07:32:00, other = "#" } ],

  "three",
]
[[array]]
a = 1
[array.inner]
b = 2
[[array]]
a = 1e5
[[array.deep]]
x = nan
[[array.deep]]
x = 0x1F
[[array.deep.er]]
y = 07:32:00.5
[last]
end = true'''

LINES: dict[tuple[str | int, ...], int] = {
    ("top",): 2,
    ("top", "dotted"): 2,
    ("top", "dotted", "quo.ted", "x"): 2,
    ("literal key",): 3,
    ("literal key", "b", "c"): 3,
    ("literal key", "b", "c", 1): 3,
    ("literal key", "d", "e"): 3,
    ("escaped",): 4,
    ("table",): 6,
    ("table", "sub"): 7,
    ("table", "sub", "text"): 8,
    ("table", "sub", "lit"): 12,
    ("table", "sub", "after"): 15,
    ("table", "sub", "after", 0): 16,
    ("table", "sub", "after", 1): 17,
    ("table", "sub", "after", 1, 0): 17,
    ("table", "sub", "after", 1, 1): 18,
    ("table", "sub", "after", 1, 1, "key"): 18,
    ("table", "sub", "after", 1, 1, "other"): 18,
    ("table", "sub", "after", 2): 20,
    ("array",): 22,
    ("array", 0): 22,
    ("array", 0, "a"): 23,
    ("array", 0, "inner", "b"): 25,
    ("array", 1): 26,
    ("array", 1, "a"): 27,
    ("array", 1, "deep", 0, "x"): 29,
    ("array", 1, "deep", 1, "x"): 31,
    ("array", 1, "deep", 1, "er", 0, "y"): 33,
    ("last",): 34,
    ("last", "end"): 35,
}


@pytest.mark.parametrize("path", LINES, ids=toml_text.dotted)
def test_the_line_of_a_key(path: tuple[str | int, ...]) -> None:
    assert line_of(SOURCE, path) == LINES[path]


def test_the_source_is_what_toml_takes() -> None:
    assert set(paths_in(tomllib.loads(SOURCE))) == set(key_lines(SOURCE))


def test_where_there_is_no_such_key_the_nearest_parent_counts() -> None:
    assert line_of(SOURCE, ("table", "sub", "missing", "more")) == 7
    assert line_of(SOURCE, ("missing",)) is None
    assert line_of("", ("a",)) is None


def paths_in(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    own = [path] if path else []
    return own + [found for key, item in items for found in paths_in(item, (*path, key))]


keys = st.text(min_size=1, max_size=6).filter(lambda text: text.isprintable()) | st.text(max_size=4).filter(
    lambda text: text.encode("utf-8", "ignore").decode() == text
)
scalars = st.integers(-9, 9) | st.booleans() | st.sampled_from(["", "]", "}", '"', "'", "#", "=", "\n", "a.b", "\\"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.tuples(st.lists(keys, min_size=1, max_size=3), values, st.integers(0, 2)), max_size=6))
def test_any_key_value_pair_is_found_on_its_line(pairs: list[tuple[list[str], Any, int]]) -> None:
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    for number, (parts, value, blanks) in enumerate(pairs):
        path = (f"k{number}", *parts)
        lines += [f"# [comment] {number} = '"] * blanks
        expected[path] = len(lines) + 1
        lines += f"{toml_text.dotted(path)} = {toml_text.value(value)}".split("\n")
    source = "\n".join(lines)
    tomllib.loads(source)
    assert {path: line_of(source, path) for path in expected} == expected
    assert set(key_lines(source)) == set(paths_in(tomllib.loads(source)))


@given(plans())
def test_every_key_of_a_plan_is_found_where_its_name_stands(plan: Plan) -> None:
    source = as_toml(plan).decode()
    lines = source.split("\n")
    for path in paths_in(tomllib.loads(source)):
        if isinstance(path[-1], str):
            line = line_of(source, path)
            assert line is not None
            assert toml_text.key(path[-1]) in lines[line - 1]


@given(st.text(alphabet="[]{}\"'=.,#ab1 \n\\", max_size=60))
def test_whatever_the_source_is_there_is_an_end_to_it(source: str) -> None:
    key_lines(source)
