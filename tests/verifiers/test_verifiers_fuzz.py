"""Both verifiers judge alike whatever was done to a file: a few seconds of it, and a storm behind `--storm`.

`VERIFIER_MUTATIONS` and `VERIFIER_SEED` say how many of each kind the storm makes, and which ones.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.mutations import KINDS, STATEMENTS, Honest
from support.tamper_world import World
from support.verifiers import NODE, JavaScript, python_verdict
from tallystick import TallystickError
from tallystick.proof.keys import VerifierKey
from tallystick.proof.note import SignedNote
from tallystick.trust.statements import parse_statement

FEW = 150
MANY = int(os.environ.get("VERIFIER_MUTATIONS", "100000"))
SEED = int(os.environ.get("VERIFIER_SEED", "1"))

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Honest:
    world = World(tmp_path_factory.mktemp("world"))
    bundles, absences = (
        ["".join(world.bundles[name]).encode() for name in names]
        for names in (("t", "u", "old"), ("absent", "absent then"))
    )
    kept = [world.notes["first"], world.notes["second"], "2020-01-01T00:00:00Z"]
    return Honest(bundles, absences, world.vkey, {"t", "u", "late"}, kept)


@pytest.fixture
def javascript() -> Iterator[JavaScript]:
    with JavaScript() as running:
        yield running


def _storm(kind: str, count: int, seed: int, honest: Honest, javascript: JavaScript, folder: Path) -> dict[str, int]:
    """How many mutations were accepted and refused; fails at the first that is judged otherwise by one of them."""
    chance = random.Random(f"{kind} {seed}")
    told = {"mutations": 0, "accepted": 0, "refused": 0, "closed": 0}
    for number in range(count):
        case, expected = KINDS[kind](chance, honest)
        where = f"{kind}, seed {seed}, mutation {number}: {case}"
        ours, theirs = python_verdict(case, folder), javascript.verdict(case)
        assert ours[0] == theirs[0], (where, ours, theirs)
        if ours[0] == 0:
            assert ours[1] == theirs[1], (where, ours, theirs)
            _require_unchanged(case, ours[1], expected, honest, where)
        told["mutations"] += 1
        told[{0: "accepted", 4: "closed"}.get(ours[0], "refused")] += 1
    return told


def _require_unchanged(
    case: dict[str, Any], found: Any, expected: dict[str, Any] | None, honest: Honest, where: str
) -> None:
    """What is accepted is what the honest file said: the same history, or a task of which nothing is recorded."""
    if case["what"] == "note":
        texts = {SignedNote.parse(one).text for one in STATEMENTS}
        assert SignedNote.parse(case["data"]).text in texts, where
    if expected is None:
        return
    if case["what"] == "bundle" and found["position"] is None:
        assert found["task_id"] == expected["task_id"] or found["task_id"] not in honest.tasks, where
        expected = {"ledger_id": expected["ledger_id"]}
    differs = {name: found[name] for name in expected if found[name] != expected[name]}
    assert not differs, where


@pytest.mark.parametrize("kind", KINDS)
def test_both_verifiers_judge_alike(kind: str, honest: Honest, javascript: JavaScript, tmp_path: Path) -> None:
    told = _storm(kind, FEW, 1, honest, javascript, tmp_path)
    assert told["refused"] > FEW // 4, told


@pytest.mark.storm
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", KINDS)
def test_both_verifiers_judge_a_storm_alike(kind: str, honest: Honest, javascript: JavaScript, tmp_path: Path) -> None:
    print(kind, _storm(kind, MANY, SEED, honest, javascript, tmp_path))


def test_statements_are_read_or_refused(honest: Honest) -> None:
    """A changed statement is never taken for another one, and never ends in a traceback."""
    _statements(2_000, 1, honest)


@pytest.mark.storm
def test_a_storm_of_statements_is_read_or_refused(honest: Honest) -> None:
    _statements(MANY, SEED, honest)


def _statements(count: int, seed: int, honest: Honest) -> None:
    chance = random.Random(f"statements {seed}")
    texts = {SignedNote.parse(one).text for one in STATEMENTS}
    for _ in range(count):
        case, _ = KINDS["statement"](chance, honest)
        try:
            statement = parse_statement(case["data"].decode("utf-8", "replace"))
            signed = statement.signers([VerifierKey.parse(vkey) for vkey in case["keys"]])
        except TallystickError:
            continue
        assert not signed or statement.note.text in texts
