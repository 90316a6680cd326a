"""A repository whose one check prints and ends as the environment says, and `notch` called in this process."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryFile
from typing import Any
from unittest import mock

from gate_project import Verdict

from support.repository import GitRepo
from tallystick import Ledger
from tallystick.cli import main

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
        before = os.getcwd()
        wanted = {name: value for name, value in (env or {}).items() if value is not None}
        with mock.patch.dict(os.environ, wanted), TemporaryFile() as out, TemporaryFile() as err:
            for name in set(env or {}) - set(wanted):
                os.environ.pop(name, None)
            os.chdir(cwd or self.root)
            try:
                with _redirected(1, out.fileno()), _redirected(2, err.fileno()):
                    code = main(list(args))
            finally:
                os.chdir(before)
            printed = [self._read(file.fileno()) for file in (out, err)]
        assert "Traceback" not in printed[1], printed[1]
        return CompletedProcess(args, code, *printed)

    @staticmethod
    def _read(descriptor: int) -> str:
        return os.pread(descriptor, 1 << 20, 0).decode()

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


@contextmanager
def _redirected(number: int, target: int) -> Any:
    """Descriptor and Python stream of that number (1, 2) lead to `target` meanwhile."""
    stream = sys.stdout if number == 1 else sys.stderr
    stream.flush()
    kept = os.dup(number)
    os.dup2(target, number)
    redirect: Any = redirect_stdout if number == 1 else redirect_stderr
    try:
        with open(number, "w", encoding="utf-8", closefd=False) as file, redirect(file):
            yield
    finally:
        os.dup2(kept, number)
        os.close(kept)
