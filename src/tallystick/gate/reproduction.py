"""Running recorded results again on the content that they were recorded for, and recording what that came to."""

from __future__ import annotations

import os
import re

from tallystick.errors import InputError, NotFoundError
from tallystick.gate.attempts import as_object
from tallystick.gate.content import environment_difference
from tallystick.gate.evidence import attempts_in
from tallystick.gate.history import SessionHistory
from tallystick.gate.judgement import says_not_run
from tallystick.gate.plan import PLAN_FILE, Criterion, Environment
from tallystick.gate.products import known_products
from tallystick.gate.reproduce import Comparison, Rate, compare, newest_of_each, on_the_same, reproducible, sampled
from tallystick.gate.rerun import Variables
from tallystick.workspace.worktree import TemporaryWorktree

NAMED_PATHS = 100
"""How many files an entry names that were put back."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Self

    from tallystick.capture.result import Finished
    from tallystick.capture.run import Judgement, RunResult
    from tallystick.gate.attempts import Attempt
    from tallystick.gate.case import Case
    from tallystick.gate.rerun import Reruns
    from tallystick.stores.base import Head
    from tallystick.workspace import Workspace


class Repeated:
    """What came of running one result again."""

    __slots__ = ("attempt", "comparisons", "rate", "refused", "results")

    def __init__(self, attempt: Attempt, refused: str = "") -> None:
        self.attempt = attempt
        self.refused = refused
        """Why it was not run; empty where it was."""
        self.results: list[RunResult] = []
        self.comparisons: list[Comparison] = []
        self.rate = Rate()

    @property
    def same(self) -> bool:
        """Whether it was run, and came to the same each time."""
        return bool(self.comparisons) and all(one.same for one in self.comparisons)


class Reproduction:
    """The results of one task, picked as of a head, and the temporary work trees that they are run in."""

    def __init__(
        self, case: Case, reruns: Reruns, *, at: int | None = None, setup: str = "", exclude: Iterable[str] = ()
    ) -> None:
        """`at`: as of that position, now by default. `setup`: a command to run in each fresh work tree first.

        Raises NotFoundError where the task has no entry there, InputError outside git.
        """
        own = case.evidence.own
        if own is None or case.ledger is None:
            raise NotFoundError("nothing is recorded for the task", where=case.task_id, advice="notch check records")
        case.workspace.git  # noqa: B018 (raises outside git)
        self.head: Head = case.ledger.root_at(case.task_id, own.head.position if at is None else at)
        """As of which the results are picked."""
        self._case = case
        self._reruns = reruns
        self._setup = setup
        self._exclude = list(exclude)
        self._worktree: TemporaryWorktree | None = None
        self._holds: tuple[str, str] = ("", "")
        self._session = whole = SessionHistory(case.ledger, own.key, window=max(own.head.position, 1))
        ids = case.ledger.state(case.task_id).criteria
        self._all = reproducible(
            (one for id in ids for one in attempts_in(whole, id, case.evidence.provenance)), self.head.position
        )

    def picked(self, sample: int | None = None) -> list[Attempt]:
        """Of each criterion the result that the gate counts, else the newest; or so many of all, by the head's root."""
        if sample is not None:
            return sampled(self._all, sample, self.head.root)
        counting = {
            state.deciding.criterion_id: state.deciding
            for state in self._case.states
            if state.ok and state.deciding is not None and state.deciding.position <= self.head.position
        }
        self._case.content.forget_environments()
        known = {(one.session, one.position) for one in self._all}
        return [
            counting[one.criterion_id]
            if (wanted := counting.get(one.criterion_id)) is not None and (wanted.session, wanted.position) in known
            else one
            for one in newest_of_each(self._all)
        ]

    def criterion_of(self, attempt: Attempt) -> Criterion:
        """The criterion as the plan has it now, if it still runs that command; else what the entry says."""
        planned = self._case.plan.task.criterion(attempt.criterion_id)
        if planned is not None and planned.command == attempt.command:
            return planned
        return Criterion(attempt.criterion_id, run=attempt.command)

    def is_flaky(self, attempt: Attempt) -> bool:
        """Whether the same has both passed and failed before."""
        criterion = self.criterion_of(attempt)
        outcomes = {bool(self._case.bench.failure(criterion, one)) for one in on_the_same(attempt, self._all)}
        return len(outcomes) > 1

    def repeat(self, attempt: Attempt, times: int, *, keep_tree: bool = False) -> Repeated:
        """Run it again, so often, each time recorded. `keep_tree`: see `notch reproduce --help`."""
        variables = as_object(attempt.environment.get("variables"))
        with Variables({name: value for name, value in variables.items() if value is None or isinstance(value, str)}):
            repeated = Repeated(attempt, self._refusal(attempt, keep_tree=keep_tree))
            for _ in range(times):
                if repeated.refused:
                    break
                workspace = self._fresh(attempt)
                if workspace is None:
                    repeated.refused = "what was checked out is not what it was bound to (submodules, or the setup)"
                    break
                self._once(repeated, workspace)
        return repeated

    def _refusal(self, attempt: Attempt, *, keep_tree: bool) -> str:
        declared = _declared(attempt.environment)
        here = self._case.content.environment(declared)
        if difference := environment_difference(here, attempt.environment):
            return f"the environment is another: {difference}"
        if attempt.moved:
            return f"{attempt.moved[0]} changed while it ran"
        if keep_tree and self._case.snapshot.tree == attempt.content.get("tree"):
            from tallystick.workspace.kept import keep_tree as keep

            keep(self._case.workspace, self._case.snapshot)
        if self._source(attempt) is None:
            return "it was on uncommitted content that was not kept (--keep-tree)"
        return ""

    def _source(self, attempt: Attempt) -> tuple[str, str] | None:
        """(commit, tree): what to check out to have its inputs; the tree is empty where the commit has them."""
        commit, tree = attempt.commit, str(attempt.content.get("tree", ""))
        if commit and self._has_inputs(commit, attempt):
            return commit, ""
        if tree and self._has_inputs(tree, attempt):
            return (commit if self._case.workspace.repository.has(commit) else self._case.snapshot.commit), tree
        return None

    def _has_inputs(self, name: str, attempt: Attempt) -> bool:
        try:
            content = self._case.workspace.tree_snapshot(name)
        except NotFoundError:
            return False
        left_out = known_products(
            self._case.ledger, self._case.evidence, content, protected=self._case.plan.protected
        ).left_out(content)
        return content.inputs_digest(attempt.patterns, without=left_out) == attempt.inputs

    def _fresh(self, attempt: Attempt) -> Workspace | None:
        """A work tree with the inputs that the result is bound to; None where that cannot be had."""
        source = self._source(attempt)
        if source is None:
            return None
        if self._worktree is None or self._holds != source or not self._holds_inputs(attempt):
            self.close()
            self._worktree = TemporaryWorktree(self._case.workspace, *source, exclude=self._exclude)
            self._holds = source
            if setup := setup_of(self._case, self.criterion_of(attempt), self._setup):
                self._reruns.prepare(self._worktree.workspace, setup)
        return self._worktree.workspace if self._holds_inputs(attempt) else None

    def _holds_inputs(self, attempt: Attempt) -> bool:
        assert self._worktree is not None
        with self._worktree.workspace.snapshot() as content:
            left_out = known_products(
                self._case.ledger, self._case.evidence, content, protected=self._case.plan.protected
            ).left_out(content)
            return content.inputs_digest(attempt.patterns, without=left_out) == attempt.inputs

    def _once(self, repeated: Repeated, workspace: Workspace) -> None:
        attempt = repeated.attempt
        criterion = self.criterion_of(attempt)
        failure = self._case.bench.failure(criterion, attempt)

        def told(finished: Finished, judgement: Judgement) -> dict[str, Any]:
            failure_now = judgement.reason if judgement.status != "pass" else ""
            tests = as_object(judgement.details.get("tests"))
            comparison = compare(attempt, failure, failure_now=failure_now, tests_now=tests)
            if failure_now and says_not_run(
                criterion.expect, finished.exit_code, as_object(tests.get("counts")).get("executed")
            ):
                comparison = Comparison(False, failure_now)
                repeated.refused = f"{failure_now}; make a fresh work tree able to run it (--setup 'npm ci')"
            repeated.comparisons.append(comparison)
            repeated.rate = repeated.rate.after(not failure_now)
            leaf = self._session.leaf_at(attempt.position)
            repeats = {"position": attempt.position, "leaf": leaf, "head": str(self.head), "same": comparison.same}
            rate = {"passed": repeated.rate.passed, "ran": repeated.rate.ran}
            setup = setup_of(self._case, criterion, self._setup)
            return {"reproduces": {**repeats, "rate": rate}, **recorded_setup(setup)}

        result = self._reruns.run(
            workspace,
            criterion,
            patterns=attempt.patterns,
            environment=_declared(attempt.environment).as_dict(),
            told=told,
        )
        repeated.results.append(result)

    def close(self) -> None:
        """Remove the work tree that is there."""
        if self._worktree is not None:
            self._worktree.close()
            self._worktree = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _declared(environment: Any) -> Environment:
    """The declaration that led to these values."""
    return Environment(
        tuple(as_object(environment.get("variables"))),
        tuple(as_object(environment.get("versions"))),
        bool(environment.get("platform")),
    )


class Falsification:
    """A criterion that is run where it has to pass, and then where it has to fail."""

    def __init__(self, case: Case, criterion_id: str, *, exclude: Iterable[str] = ()) -> None:
        """Raises NotFoundError for a criterion that the plan has not, InputError if nothing can be run."""
        criterion = case.plan.task.criterion(criterion_id)
        if criterion is None:
            names = ", ".join(one.id for one in case.plan.task.criteria) or "none"
            raise NotFoundError(
                f"the plan has no criterion {criterion_id!r}", where=case.task_id, advice=f"it has {names}"
            )
        if criterion.manual:
            raise InputError(f"{criterion_id!r} is shown by a person, so there is nothing to run")
        self.criterion = criterion
        self._case = case
        self._exclude = list(exclude)

    @property
    def base(self) -> str:
        """The base's commit. Raises InputError if there is none."""
        case = self._case
        case.workspace.git  # noqa: B018 (raises outside git)
        if not case.plan.base.commit:
            raise InputError("there is no commit to go back to", where=case.workspace.root, advice="commit first")
        return case.plan.base.commit

    def reverts(self, named: str = "") -> list[str]:
        """The files that are put back to the base: the one that is named, else all of its inputs that are no tests.

        Not put back are the plan and, if anything else changed, what the command itself runs and what steers tools:
        without those it would fail for want of a command. None if only tests changed: then all of the base's content
        is what it has to fail on. Raises InputError if nothing that the criterion depends on differs from the base, and
        if what the command runs is not there.
        """
        from tallystick.gate.content import pathspecs
        from tallystick.workspace import changed_states

        case, base = self._case, self.base
        states = changed_states(case.workspace, base, case.snapshot, pathspecs(self.criterion.inputs))
        changed = [path for path in sorted(states) if path not in case.content.left_out]
        run_by_it = run_by(self.criterion.command)
        missing = [path for path in changed if path in run_by_it and states[path][0] == ("", "")]
        if not named:
            if not changed:
                raise InputError(
                    f"what {self.criterion.id!r} depends on is the same on the base",
                    advice="change something, or name the file that it is to notice with --revert",
                )
            code = [path for path in changed if path not in (PLAN_FILE, *missing) and not is_test_file(path)]
            found = [path for path in code if path not in run_by_it and not steers_tools(path)] or code
            if missing and not found:
                raise self._without_its_command(missing[0])
            return found
        if named in missing:
            raise self._without_its_command(named)
        if named in changed:
            return [named]
        if named in changed_states(case.workspace, base, case.snapshot):
            raise InputError(
                f"{self.criterion.id!r} does not depend on it", where=named, advice="name one of its inputs"
            )
        raise InputError(
            f"it is the same on the base ({base[:12]})", where=named, advice="name a file that was changed"
        )

    def _without_its_command(self, path: str) -> InputError:
        return InputError(
            f"{self.criterion.id!r} runs it, and the base does not have it",
            where=path,
            advice="name a file that it is to notice with --revert",
        )

    def fresh(self, reverts: Sequence[str] = ()) -> TemporaryWorktree:
        """A fresh work tree with the content in front of us, but for files that are as on the base."""
        made = TemporaryWorktree(self._case.workspace, self._case.snapshot.commit, exclude=self._exclude)
        try:
            made.overlay(self._case.snapshot)
            for path in reverts:
                made.revert(path, self.base)
        except BaseException:
            made.close()
            raise
        return made

    def fresh_base(self) -> TemporaryWorktree:
        """A fresh work tree with the base's content."""
        return TemporaryWorktree(self._case.workspace, self.base, exclude=self._exclude)

    def control(self, reruns: Reruns, made: TemporaryWorktree, setup: str | tuple[str, ...]) -> RunResult:
        """Run it where it has to pass, and record that as what it is."""
        return self._run(reruns, made, {"base": self.base, "control": True}, setup)

    def run(
        self, reruns: Reruns, made: TemporaryWorktree, reverts: Sequence[str], setup: str | tuple[str, ...]
    ) -> RunResult:
        """Run it where it has to fail, with these files as on the base, and record what it showed as what it is."""
        told: dict[str, Any] = {"base": self.base}
        if len(reverts) == 1:
            told["reverted"] = reverts[0]
        elif reverts:
            told["reverts"] = list(reverts[:NAMED_PATHS])
        return self._run(reruns, made, told, setup)

    def _run(
        self, reruns: Reruns, made: TemporaryWorktree, told: dict[str, Any], setup: str | tuple[str, ...]
    ) -> RunResult:
        from tallystick.gate.content import pathspecs

        return reruns.run(
            made.workspace,
            self.criterion,
            patterns=pathspecs(self.criterion.inputs),
            environment=self.criterion.environment.as_dict(),
            told=lambda _finished, _judgement: {"falsifies": told, **recorded_setup(setup)},
        )


_TEST_FOLDERS = frozenset(("test", "tests", "testing", "spec", "specs", "__tests__", "testdata", "fixtures"))


def is_test_file(path: str) -> bool:
    """Whether a path is that of a test, or of what only tests use, as the common runners name them."""
    *folders, name = path.lower().split("/")
    stem = name.partition(".")[0]
    return (
        not _TEST_FOLDERS.isdisjoint(folders)
        or stem.startswith("test_")
        or stem.endswith(("_test", "_spec", "tests"))
        or ".test." in name
        or ".spec." in name
        or name in ("conftest.py", "test.sh", "test.py", "test.js", "test.mjs", "tests.rs")
    )


_STEERING = frozenset(
    (
        ".gitignore", "build.gradle", "build.gradle.kts", "cargo.toml", "cmakelists.txt", "composer.json", "deno.json",
        "dockerfile", "gemfile", "gnumakefile", "go.mod", "go.sum", "go.work", "justfile", "makefile", "meson.build",
        "mix.exs", "noxfile.py", "package-lock.json", "package.json", "pnpm-lock.yaml", "pom.xml", "pyproject.toml",
        "pytest.ini", "rakefile", "settings.gradle", "settings.gradle.kts", "setup.cfg", "setup.py", "taskfile.yml",
        "tox.ini", "tsconfig.json",
    )
)  # fmt: skip


def steers_tools(path: str) -> bool:
    """Whether a file tells build tools and test runners what to do: without its change they may not know the tests."""
    *folders, name = path.lower().split("/")
    started = name.startswith(("requirements", "jest.config.", "vitest.config.", "playwright.config.", "karma.conf."))
    return name in _STEERING or started or name.endswith(".lock") or folders[:1] == [".github"]


_INTERPRETERS = re.compile(r"(?:ba|da|z|k)?sh|python[\d.]*|pypy[\d.]*|node|deno|bun|ruby|perl|php|source|\.")


def run_by(command: str) -> set[str]:
    """The files that a command runs, from the root of the work tree: first words, and scripts of interpreters."""
    found: set[str] = set()
    for simple in re.split(r"[;&|(){}\n]+", command):
        words = [word for word in simple.replace('"', " ").replace("'", " ").split() if "=" not in word]
        if words and words[0] in ("exec", "env", "time", "if", "then", "while", "!"):
            words = words[1:]
        if not words:
            continue
        found.add(os.path.normpath(words[0]))
        if _INTERPRETERS.fullmatch(words[0].rpartition("/")[2] or words[0]):
            found |= (
                {os.path.normpath(word) for word in words[1:] if not word.startswith("-")} if len(words) > 1 else set()
            )
    return found


def setup_of(case: Case, criterion: Criterion, given: str = "") -> str | tuple[str, ...]:
    """What makes a fresh work tree able to run the criterion: what is given, or what the plan says; empty for none."""
    return given or criterion.setup or case.plan.whole.gate.setup


def recorded_setup(setup: str | tuple[str, ...]) -> dict[str, Any]:
    """What `details.run` says of it."""
    return {"setup": setup if isinstance(setup, str) else list(setup)} if setup else {}
