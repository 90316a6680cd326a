"""A repository whose one check prints and ends as the environment says, and `notch` called in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from gate_project import Verdict

from support.inside import call_inside
from support.repository import GitRepo
from tallystick import Ledger

COMMAND = 'printf "$PRINTED"; exit ${CODE:-0}'


class Quick:
    """The repository on its branch `work`; `main` has the plan."""

    def __init__(self, root: Path, plan: str = "", *, base: bool = True) -> None:
        self.repo = GitRepo.create(root)
        self.root = root
        self.plan(plan)
        self.repo.write("src/one.py", "1\n")
        self.repo.write("README", "Read me\n")
        if base:
            self.repo.commit("First")
            self.repo.git("checkout", "-q", "-b", "work")

    def plan(self, text: str = "") -> None:
        """Write the plan; by default one criterion `tests` over `src/**`."""
        quoted = COMMAND.replace("'", "\\'")
        self.repo.write("tallystick.toml", text or f"[criteria.tests]\nrun = '{quoted}'\ninputs = [\"src/**\"]\n")

    def call(
        self, *args: str, cwd: Path | None = None, env: Mapping[str, str | None] | None = None
    ) -> CompletedProcess[str]:
        """`notch ARGS`, in this process: its exit code and what it printed. A value of None is unset."""
        return call_inside(cwd or self.root, *args, env=env)

    def run(self, printed: str = "", code: int = 0, *args: str, env: Mapping[str, str | None] | None = None) -> int:
        """Run the check, printing that and ending so; `args` come before its own."""
        done = self.call("run", *(args or ("-c", "tests")), env={"PRINTED": printed, "CODE": str(code), **(env or {})})
        return done.returncode

    def gate(self, *args: str, cwd: Path | None = None, env: Mapping[str, str | None] | None = None) -> Verdict:
        """The gate's answer."""
        done = self.call("gate", "--json", *args, cwd=cwd, env=env)
        assert done.stdout, done.stderr
        return Verdict(json.loads(done.stdout), done.returncode)

    def state(self, criterion: str = "tests", **options: Any) -> str:
        """The state of one criterion."""
        return self.gate(**options).states[criterion]

    def why(self, criterion: str = "tests", env: Mapping[str, str | None] | None = None) -> str:
        """What `notch why` prints."""
        return self.call("why", criterion, env=env).stdout

    @property
    def ledger_file(self) -> Path:
        return self.root / ".tallystick" / "ledger.db"

    def ledger(self) -> Ledger:
        """The ledger; close it."""
        return Ledger.open(str(self.ledger_file))
