"""Work on a real git repository with runs, in one process, and what the oracle makes of it.

A run's command is always the same, `. "$GATE_CTL/<criterion>"`; what is in that file (outside the repository) is
written before each run, so that the plan's command can pass, fail, leave files, be killed, or wait while others work.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

from gate_oracle import Attempt, Criterion, File, Moment, Oracle, read_content

from support.repository import GitRepo
from tallystick import Ledger
from tallystick.capture import identity
from tallystick.capture.identity import is_interrupted
from tallystick.capture.run import Run, run_command
from tallystick.cli import main
from tallystick.clock import seconds_from_now
from tallystick.gate.base import Base
from tallystick.gate.case import Case, PlanInForce
from tallystick.gate.content import pathspecs
from tallystick.gate.evidence import Evidence
from tallystick.gate.freshness import CriterionState
from tallystick.gate.judgement import judge_run
from tallystick.gate.plan import Plan, read_plan
from tallystick.gate.products import known_products
from tallystick.gate.provenance import OUTSIDE_CI
from tallystick.workspace import Snapshot, Workspace

PLAN = b"""\
[criteria.a]
run = '. "$GATE_CTL/a"'
inputs = ["a/**"]
[criteria.ab]
run = '. "$GATE_CTL/ab"'
inputs = ["b/**", "a/one", "a/made"]
environment = { variables = ["GATE_VALUE"] }
[criteria.all]
run = '. "$GATE_CTL/all"'
"""
CRITERIA = (
    Criterion("a", lambda path: path.startswith("a/")),
    Criterion("ab", lambda path: path.startswith("b/") or path in ("a/one", "a/made"), "GATE_VALUE"),
    Criterion("all", bool),
)
FILES = ("a/one", "a/two", "a/deep/three", "b/one", "b/two", "README", "b/new", "a/new", "a/.one.swp")
MADE = ("out.bin", "a/made", "b/deep/made")

NOW = "2026-11-30T00:00:00.000000Z"


class FixedPlan:
    """The plan as it is in `PLAN`, whatever the tree has: finding it is tested elsewhere."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def result(self, task_id: str, _snapshot: Snapshot) -> PlanInForce:
        return PlanInForce(task_id, self._plan, Base())


class World:
    """A repository, its ledger, and the oracle that sees all that happens."""

    def __init__(self, root: Path, template: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        shutil.copytree(template, root / "repo", symlinks=True)
        self.repo = GitRepo(root / "repo")
        self.root = self.repo.root
        self.ctl = root / "ctl"
        self.ctl.mkdir()
        os.environ["GATE_CTL"] = str(self.ctl)
        os.environ.pop("GATE_VALUE", None)
        (self.root / ".tallystick").mkdir()
        (self.root / ".tallystick" / ".gitignore").write_text("*\n")
        self.place = str(self.root / ".tallystick" / "ledger.db")
        self.ledger = Ledger.open(self.place)
        self.workspace = Workspace.find(str(self.root))
        self.plan = read_plan(PLAN)
        self.oracle = Oracle()
        self.running: list[Attempt] = []
        self.done: list[str] = []
        self.checked = 0
        self.seen: dict[str, int] = {}
        """How often each state was expected."""
        self._task = "main"
        self._tracked: tuple[object, frozenset[str]] = (None, frozenset())

    @staticmethod
    def template(root: Path) -> Path:
        repo = GitRepo.create(root)
        repo.write(".gitignore", "*.log\nignored/\n")
        repo.write("tallystick.toml", PLAN)
        for path in FILES[:-3]:
            repo.write(path, "1\n")
        repo.commit("First")
        return root

    def close(self) -> None:
        self.ledger.close()

    @property
    def task(self) -> str:
        """The task that the branch stands for; on a detached head the last one."""
        head = self.repo.read(".git/HEAD").strip()
        if head.startswith("ref: refs/heads/"):
            self._task = head.removeprefix("ref: refs/heads/")
        return self._task

    def moment(self) -> Moment:
        content = read_content(self.root)
        told = {path: (self.root / path).lstat() for path in content}
        times = {path: (one.st_mtime_ns, one.st_ctime_ns, one.st_ino) for path, one in told.items()}
        return Moment(content, self._known_to_git(), times)

    def _known_to_git(self) -> frozenset[str]:
        told = (self.root / ".git" / "index").stat()
        key = (told.st_ino, told.st_mtime_ns, told.st_ctime_ns, told.st_size)
        if self._tracked[0] != key:
            self._tracked = key, frozenset(self.repo.git("ls-files", "-z").split("\0")[:-1])
        return self._tracked[1]

    # --- checking

    def check(self, what: str) -> None:
        """Hold what the gate says of every criterion against the oracle."""
        self.done.append(what)
        task, now, value = self.task, self.moment(), os.environ.get("GATE_VALUE")
        plan = FixedPlan(self.plan)
        with Case(
            self.ledger,
            self.workspace,
            task,
            plan=plan,
            provenance=OUTSIDE_CI,
            now=NOW,
            interrupted=_interrupted,  # type: ignore[arg-type]
        ) as case:
            case.ledger = None  # it stays open
            for criterion in CRITERIA:
                found = case.plan.task.criterion(criterion.id)
                assert found is not None
                self._compare(case.state(found), task, criterion, now, value)
        self.checked += 1

    def _compare(self, got: CriterionState, task: str, criterion: Criterion, now: Moment, value: str | None) -> None:
        expected = self.oracle.expected(task, criterion, now, value, running=self.running)
        self.seen[expected.state] = self.seen.get(expected.state, 0) + 1
        told = f"{criterion.id} in {task}: {got.state} ({got.reason}), expected {expected.state}"
        disguised = self.oracle.disguised(task, criterion, now, value)
        if disguised:
            self.seen["disguised"] = self.seen.get("disguised", 0) + 1
            plain = self.oracle.expected(task, criterion, now, value, running=self.running, but=disguised)
            newest = self.oracle.newest_elsewhere(task, criterion, now, value, but=disguised)
            overlooked = [one for one in disguised if one not in newest]
            partly = self.oracle.expected(task, criterion, now, value, running=self.running, but=overlooked)
            at_a_glance = plain.state not in ("stale", "missing")
            assert got.state in (expected.state, plain.state if at_a_glance else partly.state), told
            return
        assert got.state == expected.state, told
        assert got.ok == expected.ok, told
        assert got.unfalsified == expected.unfalsified, told
        if got.state in ("pass", "fail", "flaky"):
            assert (got.passes, got.fails) == (expected.passes, expected.fails), told
        if got.state == "pass" and expected.deciding is not None:
            assert ("was written while it ran" in got.reason) == expected.deciding.touched, told
        if got.state == "stale" and expected.deciding is not None:
            self._compare_names(got, expected.deciding, now, told)

    def _compare_names(self, got: CriterionState, deciding: Attempt, now: Moment, told: str) -> None:
        """The files that changed since are named, all of them; a renamed one by its new name."""
        if deciding.moved:
            assert "while it ran" in got.reason, told
            return
        changed = self.oracle.changed(deciding, now)
        if not changed or "is gone" in got.reason:
            return  # another environment, or nothing to compare with
        changed.discard("a/.one.swp")  # whether it was staged then is not known any more
        named = set(got.changed_paths) - {"a/.one.swp"}
        # That another task's run had left what is gone by now is not looked up again.
        named = {path for path in named if path in changed or path in now.content or path in now.tracked}
        assert named <= changed, f"{told}: names {named}, changed {changed}"
        assert changed <= named, f"{told}: names {named}, changed {changed}"

    # --- runs

    def run(
        self,
        criterion: Criterion,
        lines: str,
        outcome: str,
        *,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """Run a criterion's command, whose script is these lines; `meanwhile` is done while it waits."""
        task, value = self.task, os.environ.get("GATE_VALUE")
        code = {"pass": "exit 0", "fail": "exit 1", "cut": "exit 130", "absent": "exit 127"}[outcome]
        waiting = [self._gate()] if meanwhile else []
        waits = f'echo waiting; read _ < "{waiting[0]}"\n' if waiting else ""
        (self.ctl / criterion.id).write_text(f"{lines}\n{waits}{code}\n")
        attempt = self.oracle.begin(task, criterion, self.moment(), value)
        self.running.append(attempt)

        def on_output(_data: bytes) -> None:
            while waiting and meanwhile:
                gate = waiting.pop()
                self.check(f"{criterion.id} is under way")
                meanwhile()
                gate.write_text("\n")

        run = self._run_of(criterion, task)
        result = run_command(
            self.ledger, self.workspace, run, now=seconds_from_now, streams=(None, None, None), on_output=on_output
        )
        self.running.remove(attempt)
        self.oracle.end(attempt, self.moment(), outcome, self._committed)
        assert result.status == ("pass" if outcome == "pass" else "fail")

    def _committed(self, path: str) -> File | None:
        listed = self.repo.git("ls-tree", "HEAD", "--", path)
        if not listed:
            return None
        kind = {"100644": "file", "100755": "program", "120000": "link"}[listed[:6]]
        command = ["git", "-C", self.root, "cat-file", "blob", f"HEAD:{path}"]
        return kind, subprocess.run(command, check=True, capture_output=True).stdout

    def killed_run(self, criterion: Criterion, *, elsewhere: bool = False) -> None:
        """A run whose watcher is killed; `elsewhere`: on another machine, where nobody here can see that."""
        task = self.task
        (self.ctl / criterion.id).write_text("kill -9 $PPID\n")
        attempt = self.oracle.begin(task, criterion, self.moment(), os.environ.get("GATE_VALUE"))
        child = os.fork()
        if child == 0:
            try:
                if elsewhere:
                    identity._boot, identity._host = (lambda: "another boot"), (lambda: "another-machine")
                with Ledger.open(self.place) as ledger:
                    run = self._run_of(criterion, task)
                    run_command(ledger, self.workspace, run, now=seconds_from_now, streams=(None, None, None))
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"the watcher was not killed: {status}"
        attempt.outcome = "unseen" if elsewhere else "killed"

    def abandon_runs(self) -> str:
        """Say that the runs of other machines come to no end."""
        task = self.task
        if any(one.task == task for one in self.running):
            return "nothing"
        words = ["run", "--abandon", "--task", task, "--ledger", self.place]
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            code = main(words)
        assert code == (0 if self.oracle.abandon(task) else 2)
        return f"abandon what other machines ran for {task}"

    def lose_the_ledger(self) -> str:
        """Another one is made in its place, as after `git clean -fdx`."""
        if self.running:
            return "nothing"
        self.ledger.close()
        for file in Path(self.place).parent.glob("ledger.db*"):
            file.unlink()
        self.ledger = Ledger.open(self.place)
        self.oracle.lose()
        return "the ledger is lost"

    def _run_of(self, criterion: Criterion, task: str) -> Run:
        planned = self.plan.for_task(task).criterion(criterion.id)
        assert planned is not None
        assert isinstance(planned.run, str)
        return Run(
            task,
            planned.run,
            criterion_id=criterion.id,
            cwd=str(self.root),
            patterns=pathspecs(planned.inputs),
            environment=planned.environment.as_dict(),
            judge=judge_run(planned.expect),
            products=lambda *snapshots: known_products(
                self.ledger, Evidence(self.ledger, task, OUTSIDE_CI), *snapshots
            ),
        )

    def _gate(self) -> Path:
        """A pipe with a name that a script reads a line from, one for each level of waiting."""
        path = self.ctl / f"gate{len(self.running)}"
        if not path.exists():
            os.mkfifo(path)
        return path


def _interrupted(attempt: object) -> bool:
    run = attempt.run  # type: ignore[attr-defined]
    return is_interrupted(run, datetime.now(UTC))
