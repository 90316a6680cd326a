"""A ledger that is lost is news, one that was changed is tampered with; a run whose machine is gone is settled."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from field.world import NOTCH, World

PLAN = """
[criteria.tests]
run = "grep -q good a.txt"
inputs = ["a.txt"]
"""
SLOW = f"""{PLAN}
[criteria.slow]
run = "sh slow.sh"
inputs = ["a.txt"]
"""


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> World:
    made = World(tmp_path)
    made.begin(
        SLOW if request.node.name.startswith(("test_a_run_whose", "test_a_run_that")) else PLAN,
        {"a.txt": "good\n", ".gitignore": ".tallystick/\n"},
    )
    made.command(NOTCH, "init", "--no-plan")
    made.command(NOTCH, "run", "-c", "tests", code=0)
    made.command(NOTCH, "gate")
    return made


def ledger(world: World) -> Path:
    return world.root / ".tallystick" / "ledger.db"


def advice(world: World, *words: str, code: int) -> list[str]:
    found: list[str] = json.loads(world.command(NOTCH, *words, "--json", code=code))["advisory_because"]
    return found


LOST = {
    "cleaned": lambda world: world.command("git", "clean", "-fdxq"),
    "folder removed": lambda world: shutil.rmtree(world.root / ".tallystick"),
    "file removed": lambda world: [path.unlink() for path in (world.root / ".tallystick").glob("ledger.db*")],
    "made again": lambda world: (shutil.rmtree(world.root / ".tallystick"), world.command(NOTCH, "init", "--no-plan")),
    "another in its place": lambda world: (
        shutil.rmtree(world.root / ".tallystick"),
        world.command(NOTCH, "init", "--no-plan", code=0),
        world.command(NOTCH, "record", "--type", "note", "--reason", "x", code=0),
    ),
}


@pytest.mark.parametrize("how", sorted(LOST))
def test_a_lost_ledger_is_told_and_what_is_missing_is_run(world: World, how: str) -> None:
    LOST[how](world)  # type: ignore[no-untyped-call]
    said = [line for line in advice(world, "gate", code=1) if "earlier evidence lost on 2" in line]
    assert len(said) == 1
    (world.root / "a.txt").write_text("bad\n")
    assert any("lost on" in line for line in advice(world, "check", code=1)), "until a gate opened"
    (world.root / "a.txt").write_text("good\n")
    assert any("lost on" in line for line in advice(world, "check", code=0))
    assert not any("lost on" in line for line in advice(world, "gate", code=0))


def test_check_alone_does_what_is_missing(world: World) -> None:
    world.command("git", "clean", "-fdxq")
    assert "1 run" in world.command(NOTCH, "check", code=0)


def test_the_lost_ledger_comes_back_and_is_known_again(world: World) -> None:
    shutil.copytree(world.root / ".tallystick", world.root.parent / "kept")
    world.command(NOTCH, "record", "--type", "note", "--reason", "later", code=0)
    world.command(NOTCH, "gate", code=0)
    shutil.rmtree(world.root / ".tallystick")
    world.command(NOTCH, "gate", code=1)
    shutil.copytree(world.root.parent / "kept", world.root / ".tallystick")
    assert "rolled back" in world.command(NOTCH, "gate", code=3)


def test_the_same_ledger_with_less_is_tampered_with(world: World) -> None:
    shutil.copy(ledger(world), world.root.parent / "older.db")
    world.command(NOTCH, "record", "--type", "note", "--reason", "later", code=0)
    world.command(NOTCH, "gate", code=0)
    for path in (world.root / ".tallystick").glob("ledger.db*"):
        path.unlink()
    shutil.copy(world.root.parent / "older.db", ledger(world))
    assert "was rolled back" in world.command(NOTCH, "gate", code=3)


def test_a_head_that_was_kept_is_held_against_a_new_ledger(world: World) -> None:
    at = json.loads(world.command(NOTCH, "gate", "--json", code=0))["as_of"]
    world.command("git", "clean", "-fdxq")
    world.command(NOTCH, "check", code=0)
    world.command(NOTCH, "gate", "--head", f"{at['position']}:{at['root']}", code=3)


def begun_elsewhere(world: World) -> None:
    """A run in a container (a process namespace) that is gone with all that ran in it."""
    began = world.root.parent / "began"
    (world.root / "slow.sh").write_text(f"test -e {began} || {{ touch {began}; sleep 60; }}\n")
    contained = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*contained, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine makes no process namespaces for its users")
    process = subprocess.Popen([*contained, NOTCH, "run", "-c", "slow"], cwd=world.root, env=world.environment)
    deadline = time.monotonic() + 30
    while not began.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()


def test_a_run_whose_container_is_gone_is_settled_by_a_later_one(world: World) -> None:
    begun_elsewhere(world)
    it = world.judged()["slow"]
    assert (it.state, "nobody here can see whether it still runs" in it.reason) == ("running", True)
    world.command(NOTCH, "run", "-c", "slow", code=0)
    assert world.judged()["slow"].state == "pass"


def test_a_run_that_nobody_can_see_is_abandoned_by_hand(world: World) -> None:
    begun_elsewhere(world)
    assert "notch run" in world.command(NOTCH, "gate", code=1), "there is a way on"
    assert "abandoned slow" in world.command(NOTCH, "run", "--abandon", "-c", "slow", code=0)
    assert world.judged()["slow"].state == "interrupted"
    world.command(NOTCH, "run", "--abandon", "-c", "slow", code=2)
    assert "1 run" in world.command(NOTCH, "check", code=0)


def test_nothing_is_made_by_looking(world: World) -> None:
    """The gate of a lost ledger makes none."""
    shutil.rmtree(world.root / ".tallystick")
    world.command(NOTCH, "gate", code=1)
    assert not ledger(world).exists()


def test_a_run_of_another_task_finds_the_ledger_lost(world: World) -> None:
    shutil.rmtree(world.root / ".tallystick")
    world.command("git", "checkout", "-q", "-b", "other", code=0)
    world.command(NOTCH, "run", "-c", "tests", code=0)
    world.command("git", "checkout", "-q", "work", code=0)
    assert any("lost on" in line for line in advice(world, "check", code=0))


def test_it_comes_back_shorter_after_another_ledgers_gate_opened(world: World) -> None:
    shutil.copytree(world.root / ".tallystick", world.root.parent / "kept")
    world.command(NOTCH, "record", "--type", "note", "--reason", "later", code=0)
    world.command(NOTCH, "gate", code=0)
    for _ in range(3):
        shutil.rmtree(world.root / ".tallystick")
        world.command(NOTCH, "check", code=0)
    shutil.rmtree(world.root / ".tallystick")
    shutil.copytree(world.root.parent / "kept", world.root / ".tallystick")
    assert "rolled back" in world.command(NOTCH, "gate", code=3)


def test_where_nothing_can_be_kept_a_lost_ledger_is_not_tampered_with(world: World) -> None:
    state = world.root.parent / "home" / ".local" / "state" / "tallystick" / "heads"
    shutil.rmtree(world.root / ".tallystick")
    for lock in state.glob("*.lock"):
        lock.unlink()
        lock.mkdir()
    world.command(NOTCH, "gate", code=1)
    world.command(NOTCH, "check", code=0)
