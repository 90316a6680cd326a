"""Reuse never cites what is not the same, and misses nothing that is: random work against a slow oracle."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from reuse_world import World

EPISODES = int(os.environ.get("TALLYSTICK_TEST_REUSE_EPISODES", "3"))
STEPS = 40
STORM_SECONDS = float(os.environ.get("TALLYSTICK_TEST_STORM_SECONDS", "300"))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return World.template(tmp_path_factory.mktemp("template") / "repo")


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REUSE_CTL", "")
    monkeypatch.setenv("COLOUR", "")


def episode(root: Path, template: Path, seed: int) -> World:
    root.mkdir()
    world = World(root, template, seed)
    try:
        for _ in range(STEPS):
            world.step()
        world.ledger.verify()
    except BaseException as error:
        told = "\n".join(f"  {number}. {what}" for number, what in enumerate(world.done))
        raise AssertionError(f"seed {seed}, after\n{told}\n{error}") from error
    finally:
        world.ledger.close()
    return world


@pytest.mark.parametrize("seed", range(EPISODES))
def test_what_is_cited_is_the_same(tmp_path: Path, template: Path, seed: int) -> None:
    world = episode(tmp_path / "world", template, seed)
    assert world.seen.get("cited"), "an episode in which nothing was cited shows nothing"


@pytest.mark.storm
@pytest.mark.timeout(0)
def test_in_a_storm(tmp_path: Path, template: Path, capsys: pytest.CaptureFixture[str]) -> None:
    began, seed, episodes = time.monotonic(), int(time.time()), 0
    seen: dict[str, int] = {}
    while time.monotonic() - began < STORM_SECONDS:
        for what, count in episode(tmp_path / str(seed), template, seed).seen.items():
            seen[what] = seen.get(what, 0) + count
        seed, episodes = seed + 1, episodes + 1
    with capsys.disabled():
        print(f"\n{episodes * STEPS} steps: {seen}")
