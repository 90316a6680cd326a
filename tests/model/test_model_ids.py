"""Which names can be given to what is ours, and which tasks can be known by."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick import InputError
from tallystick.model.ids import ID_LIMIT, require_id, require_task_id

GOOD = [
    "ac1",
    "feature/ü",
    "12",
    "a-b",
    "a.b:c",
    "🎋",
    "x" * ID_LIMIT,
    "é" * (ID_LIMIT // 2),
    "HEAD~1",
    "'",
    '"',
    "%00",
]


@pytest.mark.parametrize("value", GOOD)
def test_names_that_are_taken(value: str) -> None:
    assert require_id(value, "the criterion") == value
    assert require_task_id(value) == value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "is empty"),
        ("-t", "starts with a dash; options come before it, ids do not"),
        ("--", "starts with a dash"),
        ("a b", "white space or a control character"),
        ("a\tb", "white space"),
        ("a\nb", "white space"),
        ("a\u00a0b", "white space"),
        ("a\u2028b", "white space"),
        ("a\u3000b", "white space"),
        ("\0", "control character"),
        ("\x1b[31m", "control character"),
        ("\x7f", "control character"),
        ("\x85", "control character"),
        ("\ud800", "control character"),
        ("x" * (ID_LIMIT + 1), "is 513 bytes, over 512"),
        ("é" * 257, "is 514 bytes, over 512"),
        (5, "is int, not text"),
        (None, "is NoneType, not text"),
        (b"a", "is bytes, not text"),
    ],
)
def test_names_that_are_refused(value: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        require_id(value, "the criterion")
    assert str(caught.value).startswith("the criterion ")
    assert "\n" not in str(caught.value)
    str(caught.value).encode()


@pytest.mark.parametrize("value", [*GOOD, "-t", "a b", "a\nb", "\x1b", " "])
def test_an_imported_task_can_have_any_name(value: str) -> None:
    assert require_task_id(value) == value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "the task id is empty; name the task with -t"),
        ("a\0", "NUL"),
        ("\ud800", "lone surrogate"),
        ("x" * (ID_LIMIT + 1), "is 513 bytes"),
        (5, "is int, not text"),
    ],
)
def test_tasks_that_cannot_be_known(value: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        require_task_id(value)
    str(caught.value).encode()
