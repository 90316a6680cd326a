"""Which results are run again, and what comes of comparing."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from typing import Any

import pytest

from tallystick.gate.attempts import Attempt
from tallystick.gate.grades import Grade
from tallystick.gate.reproduce import (
    Comparison,
    Rate,
    compare,
    newest_of_each,
    on_the_same,
    reproducible,
    sampled,
)


def attempt(position: int, criterion_id: str = "c", **changes: Any) -> Attempt:
    fields: dict[str, Any] = {
        "position": position,
        "ledger_id": "l",
        "task_id": "t",
        "at": f"{position:04}",
        "kind": "result",
        "criterion_id": criterion_id,
        "command": "make",
        "status": "pass",
        "reason": "",
        "exit_code": 0,
        "grade": Grade.OBSERVED,
        "run": {"exit_code": 0, "started": position - 1},
        "content": {"inputs": "i1"},
        "erased": (),
        "output_known": True,
    }
    return Attempt(**{**fields, **changes})


def test_only_watched_runs_on_known_content_can_be_repeated() -> None:
    good = attempt(4)
    others = [
        attempt(5, kind="started"),
        attempt(6, grade=Grade.CLAIMED),
        attempt(7, content={}),
        attempt(8, run={"exit_code": 130, "cut_short": 2}),
        attempt(9, run={"exit_code": 0, "cwd": "sub"}),
        attempt(12),
    ]
    assert reproducible([*others, good], 11) == [good]


def test_the_newest_of_each_criterion() -> None:
    first, second, third = attempt(2, "a"), attempt(4, "b"), attempt(6, "a")
    assert newest_of_each([first, second, third]) == [second, third]


def test_a_sample_depends_on_the_root_alone() -> None:
    attempts = [attempt(position) for position in range(2, 202, 2)]
    roots = [sha256(str(n).encode()).hexdigest() for n in range(40)]
    picks = [tuple(one.position for one in sampled(attempts, 5, root)) for root in roots]
    assert picks == [tuple(one.position for one in sampled(attempts, 5, root)) for root in roots]
    assert len(set(picks)) == len(picks)
    assert all(list(pick) == sorted(pick) and len(pick) == 5 for pick in picks)
    often = Counter(position for pick in picks for position in pick)
    assert max(often.values()) < 12, "no result is likelier than another"
    assert sampled(attempts, 1000, roots[0]) == attempts


def test_a_sample_is_what_the_page_says() -> None:
    """SHA-256(root ‖ position as 8 bytes, big-endian), the smallest first."""
    root = sha256(b"head").digest()
    lots = {position: sha256(root + position.to_bytes(8, "big")).digest() for position in range(1, 30)}
    wanted = sorted(sorted(lots, key=lots.__getitem__)[:4])
    assert [one.position for one in sampled([attempt(n) for n in range(1, 30)], 4, root.hex())] == wanted


def test_what_is_the_same() -> None:
    one = attempt(4)
    same = attempt(6, status="fail")
    others = [
        attempt(8, "other"),
        attempt(10, command="make test"),
        attempt(12, content={"inputs": "i2"}),
        attempt(14, content={"inputs": "i1", "patterns": ["a"]}),
        attempt(16, run={"exit_code": 0, "started": 1, "environment": {"platform": "x"}}),
    ]
    assert on_the_same(one, [one, same, *others]) == [one, same]


@pytest.mark.parametrize(
    ("failure", "failure_now", "counts", "counts_now", "expected"),
    [
        ("", "", {}, {}, Comparison(True)),
        ("exit code 1", "exit code 2", {}, {}, Comparison(True)),
        ("", "exit code 1", {}, {}, Comparison(False, "it passed then, now: exit code 1")),
        ("exit code 1", "", {}, {}, Comparison(False, "it failed then, it passes now")),
        ("", "", {"executed": 3}, {"executed": 3}, Comparison(True)),
        ("", "", {"executed": 3}, {"executed": 2}, Comparison(False, "executed: 3 tests then, 2 now")),
        ("", "", {"executed": 3}, {}, Comparison(False, "executed: 3 tests then, no now")),
        (
            "", "", {"executed": 3, "skipped": 0}, {"executed": 3, "skipped": 1},
            Comparison(False, "skipped: 0 tests then, 1 now"),
        ),
    ],
)  # fmt: skip
def test_comparing(
    failure: str, failure_now: str, counts: dict[str, int], counts_now: dict[str, int], expected: Comparison
) -> None:
    recorded = attempt(4, run={"exit_code": 0, "started": 3, "tests": {"counts": counts}})
    assert compare(recorded, failure, failure_now=failure_now, tests_now={"counts": counts_now}) == expected


def test_a_rate() -> None:
    rate = Rate().after(True).after(False).after(True)
    assert (rate.passed, rate.ran, str(rate)) == (2, 3, "2 of 3 passed")
