"""A project whose criteria count how often they are run, and checks of it in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.command import Notch, notch_argv
from support.inside import ReadingInside
from support.repository import GitRepo
from tallystick import Ledger

PATIENCE = 30.0


class Project:
    """A repository with a plan. A criterion made by `counted` notes each of its runs outside the work tree."""

    def __init__(self, repo: GitRepo, outside: Path) -> None:
        self.repo = repo
        self.root = repo.root
        self.outside = outside
        outside.mkdir(exist_ok=True)
        self.notch: Notch = ReadingInside(repo.root)

    def counted(self, name: str, then: str = "true") -> str:
        """A command that notes that it ran, and then does something."""
        return f"echo x >> {self.outside}/{name}; {then}"

    def runs(self, name: str) -> int:
        """How often it ran."""
        file = self.outside / name
        return len(file.read_text().split()) if file.exists() else 0

    def plan(self, criteria: Mapping[str, str], *, more: str = "") -> None:
        """Write the plan: criterion -> the lines of its table."""
        tables = [f"[criteria.{name}]\n{lines}\n" for name, lines in criteria.items()]
        self.repo.write("tallystick.toml", "\n".join([*tables, more]))

    def begin(self, branch: str = "work") -> None:
        """Commit all of it and go on a branch, whose name is the task's."""
        self.repo.commit()
        self.repo.git("checkout", "-q", "-b", branch)

    def states(self, *args: str) -> dict[str, str]:
        """What the gate says of each criterion."""
        done = self.notch("gate", *args, "--json", check=False)
        return {one["id"]: one["state"] for one in json.loads(done.stdout)["criteria"]}

    def types(self, task: str = "work") -> list[tuple[str, str]]:
        """Type and criterion of every entry; none where there is no such task yet."""
        if not (self.root / ".tallystick/ledger.db").exists():
            return []
        with Ledger.open(str(self.root / ".tallystick/ledger.db"), read_only=True) as ledger:
            known = ledger.store.find(task) is not None
            entries = [recorded.entry for recorded in ledger.entries(task, outputs=False)] if known else []
        return [(entry.type, entry.criterion_id) for entry in entries]

    def start(self, *args: str, **options: Any) -> Started:
        """`notch ARGS` in the background."""
        return Started(self.root, *args, **options)


class Started:
    """A `notch` that is under way."""

    def __init__(self, root: Path, *args: str, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            notch_argv(*args),
            cwd=root,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def result(self, timeout: float = 60) -> tuple[int, str, str]:
        """Exit code, standard output and error, once it has ended; a traceback is never right."""
        out, err = self.process.communicate(timeout=timeout)
        assert "Traceback" not in err, err
        return self.process.returncode, out, err


def wait_for(path: Path) -> None:
    """Returns once the file is there."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def wait_for_line(path: Path) -> str:
    """The file's first line, once it is there whole: a shell makes the file before it writes into it."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists() or "\n" not in (text := path.read_text()):
        assert time.monotonic() < deadline, f"{path} got no line"
        time.sleep(0.01)
    return text.partition("\n")[0]


def is_gone(pid: int) -> bool:
    """Whether a process has ended, waiting for that a moment."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.02)
    return False
