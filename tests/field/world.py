"""A repository with a plan, and the real `notch`: all that the tests here know of the product is its command and files.

Nothing is imported from the package. What is judged is what a user sees: the state of each criterion at the gate.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

NOTCH = Path(sys.executable).with_name("notch")
Files = Mapping[str, bytes | str]


class Judged(NamedTuple):
    """What the gate says of a criterion, and what was counted."""

    state: str
    reason: str
    counts: Mapping[str, int]
    names: Mapping[str, Sequence[str]]

    @property
    def passed(self) -> int:
        return self.counts.get("passed", 0)


class World:
    """A repository in which `main` has the plan, and the work stands on a branch of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        home = folder / "home"
        for path in (self.root, home):
            path.mkdir(parents=True)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GIT_", "TALLYSTICK_", "XDG_", "CI_", "GITHUB_")) and name != "CI"
        }
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _WHO.items()}
        path = os.pathsep.join([str(NOTCH.parent), kept.get("PATH", os.defpath)])
        self.environment = {**kept, **who, "HOME": str(home), "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}

    def command(self, *words: str | Path, code: int | None = None) -> str:
        """What a command prints on its standard output; `code` is what it has to end with."""
        done = subprocess.run(
            list(map(str, words)), cwd=self.root, env=self.environment, capture_output=True, check=False, timeout=120
        )
        assert code is None or done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout.decode("utf-8", "replace")

    def begin(self, plan: str, files: Files) -> None:
        """Commit the files with the plan on `main`, and go on on a branch."""
        for name, content in {**files, "tallystick.toml": plan}.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        self.command("git", "init", "-q", "-b", "main", ".", code=0)
        self.command("git", "add", "-A", "-f", code=0)
        self.command("git", "commit", "-q", "-m", "Begin", code=0)
        self.command("git", "checkout", "-q", "-b", "work", code=0)

    def judged(self) -> dict[str, Judged]:
        """What the gate says of each criterion."""
        gate = json.loads(self.command(NOTCH, "gate", "--json"))
        counted = self._counted()
        return {
            one["id"]: Judged(one["state"], one["reason"], *counted.get(one["id"], ({}, {})))
            for one in gate["criteria"]
        }

    def _counted(self) -> dict[str, tuple[Mapping[str, int], Mapping[str, Sequence[str]]]]:
        """What was counted for each criterion, from the exported entries."""
        found = {}
        for line in self.command(NOTCH, "export", "work", "--format", "jsonl").splitlines():
            entry = json.loads(line).get("entry") or json.loads(line)
            details = entry.get("details") or {}
            report = details.get("report") or (details.get("run") or {}).get("tests")
            if report and entry.get("criterion_id"):
                found[entry["criterion_id"]] = (report.get("counts") or {}, report.get("names") or {})
        return found


_WHO = {"NAME": "a", "EMAIL": "a@example.org"}


def imported(
    folder: Path, reports: Mapping[str, bytes | str | Sequence[bytes | str]], suffix: str
) -> dict[str, Judged]:
    """Each report imported for a criterion of its own; several are the files of one run.

    `suffix` is that of the files' names. One that is refused leaves its criterion `missing`.
    """
    world = World(folder)
    files: dict[str, bytes | str] = {}
    named: dict[str, list[str]] = {}
    for name, report in reports.items():
        for number, content in enumerate([report] if isinstance(report, (bytes, str)) else report):
            path = f"reports/{name}-{number}{suffix}"
            files[path] = content
            named.setdefault(name, []).append(path)
    world.begin(
        "".join(f'[criteria.{name}]\nrun = "true"\ngrade = "claimed"\ninputs = ["x"]\n' for name in reports), files
    )
    for name, paths in named.items():
        world.command(NOTCH, "import", "-c", name, *paths)
    return world.judged()


def printed(folder: Path, outputs: Mapping[str, bytes | str], command: str = "cat {}") -> dict[str, Judged]:
    """Each output as what a command prints that ends with exit code 0. `command` is given the file's name for `{}`."""
    files = {f"out/{name}.txt": output for name, output in outputs.items()}
    return ran(folder, {name: command.replace("{}", f"out/{name}.txt") for name in outputs}, files)


def ran(folder: Path, commands: Mapping[str, str], files: Files) -> dict[str, Judged]:
    """Each command as the plan's for a criterion of its own, all run by `notch check`."""
    world = World(folder)
    world.begin(
        "".join(f"[criteria.{name}]\nrun = {json.dumps(command)}\n" for name, command in commands.items()), files
    )
    world.command(NOTCH, "check", "-q")
    return world.judged()


def states(judged: Mapping[str, Judged]) -> dict[str, str]:
    """The state of each criterion."""
    return {name: one.state for name, one in judged.items()}


def tool(name: str) -> str | None:
    """Where the program is; None if this machine does not have it."""
    return shutil.which(name)
