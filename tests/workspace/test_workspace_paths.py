"""Paths as evidence names them: always Unicode, and exact."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.model.text import clean_text
from tallystick.workspace.paths import named_path, path_bytes, path_text, recorded_path

ODD = [
    b'"',
    b'"a"',
    b"\xff",
    b'"\xff',
    b"a\\b",
    b"\n\t\x1b",
    b"\xed\xb3\xbf",
    b"caf\xc3\xa9",
    b'"\\',
    b'"\\377"',
    b"\x7f\xff",
]


@given(
    st.one_of(
        st.sampled_from(ODD),
        st.binary(min_size=1),
        st.text(min_size=1).map(lambda text: text.encode("utf-8", "replace")),
    )
)
def test_a_path_comes_back_from_evidence_as_it_was(path: bytes) -> None:
    recorded = recorded_path(path_text(path))
    assert clean_text(recorded) == recorded == json.loads(json.dumps(recorded, ensure_ascii=False).encode())
    assert path_bytes(named_path(recorded)) == path


@pytest.mark.parametrize("path", ["a", "a b", "ä", "new\nline", "back\\slash", 'in"side', "-dash", "\\377"])
def test_unicode_paths_stand_as_they_are(path: str) -> None:
    assert recorded_path(path) == path == named_path(path)


@pytest.mark.parametrize("said", ['"', '""', '"plain"', '"a\\', '"\\400"', '"\\z"', '"\\3"', '"a" b'])
def test_what_was_never_written_so_is_taken_as_it_is(said: str) -> None:
    assert named_path(said) == said


def test_the_quotes_are_git_s() -> None:
    assert recorded_path(path_text(b'a/\xff\n"x\\')) == r'"a/\377\n\"x\\"'
