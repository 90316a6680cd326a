"""Who knows what still holds? Two checks, A on a/** and B on b/**, both proved; then something happens.

For each scenario that a tool can run, its answer (which of the two have to run again) is compared with the right one.
`doit` and `dvc` track what to run again; neither is made to be a gate, so scenarios about evidence are not asked of
them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from measure import Figure, folder, git, is_installed, notch

PLAN = '[criteria.A]\nrun = "cat a/one"\ninputs = ["a/**"]\n[criteria.B]\nrun = "cat b/one"\ninputs = ["b/**"]\n'
DODO = """import glob
def task_A(): return {"actions": ["cat a/one"], "file_dep": sorted(glob.glob("a/*")), "targets": [], "verbosity": 0}
def task_B(): return {"actions": ["cat b/one"], "file_dep": sorted(glob.glob("b/*")), "targets": [], "verbosity": 0}
"""
DVC = "stages:\n  A:\n    cmd: cat a/one\n    deps: [a]\n  B:\n    cmd: cat b/one\n    deps: [b]\n"


def _edit(place: Path) -> None:
    (place / "a/one").write_text("edited\n", encoding="ascii")


def _undo(place: Path) -> None:
    before = (place / "a/one").read_bytes()
    _edit(place)
    (place / "a/one").write_bytes(before)


def _commit(place: Path) -> None:
    git("commit", "-qm", "nothing new", "--allow-empty", cwd=place)


def _amend(place: Path) -> None:
    git("commit", "-q", "--amend", "-m", "another message", cwd=place)


def _squash(place: Path) -> None:
    git("checkout", "-q", "-b", "side", cwd=place)
    _commit(place)
    git("checkout", "-q", "-", cwd=place)
    git("merge", "-q", "--squash", "side", cwd=place)
    git("commit", "-qm", "squashed", "--allow-empty", cwd=place)


SCENARIOS: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "an edit in a/": (_edit, {"A"}),
    "README edited": (lambda place: (place / "README").write_text("other\n", encoding="ascii"), set()),
    "touch": (lambda place: os.utime(place / "a/one"), set()),
    "an edit undone": (_undo, set()),
    "commit": (_commit, set()),
    "amend": (_amend, set()),
    "squash merge of the same tree": (_squash, set()),
    "chmod in a/": (lambda place: (place / "a/one").chmod(0o755), {"A"}),
    "rename in a/": (lambda place: (place / "a/two").rename(place / "a/three"), {"A"}),
    "delete in a/": (lambda place: (place / "a/two").unlink(), {"A"}),
    "a new untracked file in a/": (lambda place: (place / "a/new").write_text("new\n", encoding="ascii"), {"A"}),
}


class Tallystick:
    name = "tallystick"

    @staticmethod
    def available() -> bool:
        return True

    @staticmethod
    def prove(place: Path) -> None:
        for criterion in "AB":
            subprocess.run([notch(), "run", "-t", "t", "-c", criterion], cwd=place, capture_output=True, check=True)

    @staticmethod
    def stale(place: Path) -> set[str]:
        done = subprocess.run([notch(), "gate", "t", "--json"], cwd=place, capture_output=True, text=True, check=False)
        return {one["id"] for one in json.loads(done.stdout)["criteria"] if not one["ok"]}


class Doit:
    name = "doit"

    @staticmethod
    def available() -> bool:
        return is_installed("doit")

    @staticmethod
    def prove(place: Path) -> None:
        subprocess.run(["doit"], cwd=place, capture_output=True, check=True)

    @staticmethod
    def stale(place: Path) -> set[str]:
        done = subprocess.run(["doit", "list", "-s"], cwd=place, capture_output=True, text=True, check=True)
        return {line.split()[1] for line in done.stdout.splitlines() if line.startswith("R ")}


class Dvc:
    name = "dvc"

    @staticmethod
    def available() -> bool:
        return is_installed("dvc")

    @staticmethod
    def prove(place: Path) -> None:
        for argv in (["dvc", "init", "-q"], ["dvc", "repro", "-q"]):
            subprocess.run(argv, cwd=place, capture_output=True, check=True)

    @staticmethod
    def stale(place: Path) -> set[str]:
        done = subprocess.run(["dvc", "status", "--json"], cwd=place, capture_output=True, text=True, check=True)
        return {name for name in json.loads(done.stdout or "{}") if name in "AB"}


def figures(scale: float) -> Iterator[Figure]:
    """How many of the scenarios each tool gets right; `scale` does not matter."""
    del scale
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for tool in (Tallystick, Doit, Dvc):
        if not tool.available():
            continue
        wrong = [name for name, (change, right) in SCENARIOS.items() if _answer(tool, change) != right]
        target = f">= {len(SCENARIOS)}" if tool is Tallystick else ""
        detail = f"of {len(SCENARIOS)}" + (f"; wrong on: {', '.join(wrong)}" if wrong else "")
        yield Figure(f"scenarios right: {tool.name}", len(SCENARIOS) - len(wrong), target, detail)


def _answer(tool: type[Tallystick | Doit | Dvc], change: Callable[[Path], object]) -> set[str]:
    with folder() as place:
        git("init", "-q", ".", cwd=place)
        for name, text in (("tallystick.toml", PLAN), ("dodo.py", DODO), ("dvc.yaml", DVC), ("README", "readme\n")):
            (place / name).write_text(text, encoding="ascii")
        (place / ".gitignore").write_text(".doit*\n__pycache__\n", encoding="ascii")
        for part in "ab":
            (place / part).mkdir()
            for name in ("one", "two"):
                (place / part / name).write_text(f"{part} {name}\n", encoding="ascii")
        for key, value in (("user.name", "bench"), ("user.email", "bench@example.org")):
            git("config", key, value, cwd=place)
        git("add", ".", cwd=place)
        git("commit", "-qm", "first", cwd=place)
        tool.prove(place)
        change(place)
        return tool.stale(place)
