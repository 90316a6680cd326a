"""The product's promise, held against a slow oracle on a real git repository: never stale without a change, never
passing on content that did not pass."""

from __future__ import annotations

import os
import time
from pathlib import Path

import gate_oracle
import pytest
from gate_random_work import RandomWork, prepared

from tallystick.gate import freshness, products

EPISODES = 25
STEPS = 80
STORM_SECONDS = float(os.environ.get("TALLYSTICK_TEST_STORM_SECONDS", "600"))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("template") / "repo")


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an episode sets goes away with the test."""
    monkeypatch.setenv("GATE_CTL", "")
    monkeypatch.setenv("GATE_VALUE", "")


def test_the_oracle_looks_as_far_as_the_gate() -> None:
    assert (gate_oracle.RECALLED, gate_oracle.LOOKED_AT) == (products.ENTRIES, freshness.LOOKED_AT)


def episode(root: Path, template: Path, seed: int, steps: int) -> RandomWork:
    root.mkdir()
    world = RandomWork(root, template, seed)
    try:
        world.check("nothing")
        for _ in range(steps):
            world.step()
    except BaseException as error:
        told = "\n".join(f"  {number}. {what}" for number, what in enumerate(world.done))
        raise AssertionError(f"seed {seed}, after\n{told}\n{error}") from error
    finally:
        world.close()
    return world


@pytest.mark.parametrize("seed", range(EPISODES))
def test_states_are_what_a_walk_of_all_files_says(tmp_path: Path, template: Path, variables: None, seed: int) -> None:
    episode(tmp_path / "world", template, seed, STEPS)


@pytest.mark.storm
@pytest.mark.timeout(0)
def test_states_in_a_storm(tmp_path: Path, template: Path, variables: None, capsys: pytest.CaptureFixture[str]) -> None:
    began, seed, steps = time.monotonic(), int(time.time()), 0
    seen: dict[str, int] = {}
    while time.monotonic() - began < STORM_SECONDS:
        world = episode(tmp_path / str(seed), template, seed, STEPS)
        steps += world.checked
        for state, count in world.seen.items():
            seen[state] = seen.get(state, 0) + count
        seed += 1
    with capsys.disabled():
        print(f"\n{steps} steps, {sum(seen.values())} states: {seen}")
