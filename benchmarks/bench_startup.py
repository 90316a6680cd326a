"""Whole commands over `python3 -c pass`, and the fingerprint over `git status`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from measure import Figure, command_seconds, folder, git, median, notch

FILES = 50_000
TEN = "".join(f'[criteria.c{n}]\nrun = "true"\ninputs = ["part{n}/**"]\n' for n in range(10))


def figures(scale: float) -> Iterator[Figure]:
    """Every figure of this file."""
    yield from _commands(scale)
    yield from _gate_here(scale)
    yield from _large_tree(scale)


def _ratio(argv: list[str], cwd: Path, peer: list[str], rounds: int) -> list[float]:
    command_seconds(argv, cwd)
    command_seconds(peer, cwd)
    return [command_seconds(argv, cwd) / command_seconds(peer, cwd) for _ in range(rounds)]


def _commands(scale: float) -> Iterator[Figure]:
    bare, rounds = [sys.executable, "-c", "pass"], max(7, int(21 * scale))
    with folder() as place:
        git("init", "-q", ".", cwd=place)
        _write_files(place, 400)
        git("add", ".", cwd=place)
        git("commit", "-qm", "files", cwd=place)
        subprocess.run([notch(), "run", "-t", "t", "-c", "a", "--", "true"], cwd=place, capture_output=True, check=True)
        for name, argv, target in (
            ("notch status", ["status", "t"], "<= 5"),
            ("notch run -- true", ["run", "-t", "t", "-c", "a", "--", "true"], "<= 6"),
        ):
            found = _ratio([notch(), *argv], place, bare, rounds)
            yield Figure(f"{name} ÷ python3 -c pass", median(found), target, "a repository of 400 files", found)


def _gate_here(scale: float) -> Iterator[Figure]:
    here = Path(__file__).resolve().parent.parent
    with folder() as place:
        git("clone", "-q", str(here), "clone", cwd=place)
        clone = place / "clone"
        subprocess.run([notch(), "record", "-t", "t", "--type", "note"], cwd=clone, capture_output=True, check=True)
        found = _ratio([notch(), "gate", "t"], clone, [sys.executable, "-c", "pass"], max(7, int(21 * scale)))
    yield Figure("notch gate on this repository ÷ python3 -c pass", median(found), "<= 6", "", found)


def _write_files(place: Path, number: int) -> None:
    for part in range(10):
        (place / f"part{part}").mkdir()
    for n in range(number):
        (place / f"part{n % 10}" / f"file{n}.txt").write_text(f"{n}\n", encoding="ascii")


SNAPSHOT = "from tallystick.workspace import Workspace\nwith Workspace.find('.').snapshot() as s: s.inputs_digest()\n"
FINGERPRINT = """import time
from tallystick.workspace import Workspace
workspace = Workspace.find('.')
def once():
    with workspace.snapshot() as snapshot:
        return snapshot.tree
once()
print(min(timed for timed in [(lambda s: (once(), time.perf_counter() - s)[1])(time.perf_counter()) for _ in range(5)]))
"""


def _large_tree(scale: float) -> Iterator[Figure]:
    total = int(FILES * max(scale, 0.2))
    with folder() as place:
        git("init", "-q", ".", cwd=place)
        _write_files(place, total)
        (place / "tallystick.toml").write_text(TEN, encoding="ascii")
        git("add", ".", cwd=place)
        git("commit", "-qm", "files", cwd=place)
        for n in range(25):
            (place / f"part{n % 10}" / f"file{n}.txt").write_text("dirty\n", encoding="ascii")
        status = ["git", "status", "--porcelain"]
        found = []
        for _ in range(7):
            base = command_seconds(status, place)
            done = subprocess.run(
                [sys.executable, "-c", FINGERPRINT], cwd=place, capture_output=True, text=True, check=True
            )
            found.append(float(done.stdout) / base)
        yield Figure(f"fingerprint of {total:,} files, 25 dirty ÷ git status", median(found), "<= 2", "", found)
        for n in range(10):
            argv = [notch(), "run", "-t", "t", "-c", f"c{n}"]
            subprocess.run(argv, cwd=place, capture_output=True, check=True)
        found = _ratio([notch(), "gate", "t"], place, status, 7)
        yield Figure(f"freshness of ten criteria over {total:,} files ÷ git status", median(found), "<= 3", "", found)
