"""The state of a criterion, for the content and environment in front of it.

A result counts by what it is bound to, not by when it arrived: a slow pass on an old tree never hides a newer
failure, and a killed attempt never leaves an older pass standing.
"""

from __future__ import annotations

from tallystick.capture.products import is_editors
from tallystick.gate.attempts import Attempt, as_object
from tallystick.gate.content import environment_difference, pathspecs
from tallystick.gate.expectation import EXIT_ZERO
from tallystick.gate.grades import Grade
from tallystick.gate.judgement import failure_of, says_not_run
from tallystick.gate.reasons import (
    CHANGED,
    changes_since,
    described,
    interruption,
    listed,
    named,
    not_run,
    refusal,
    since,
    under_way,
)
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.text import decode_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from tallystick.gate.content import ContentInFront
    from tallystick.gate.plan import Criterion
    from tallystick.workspace.changes import Change

RUNNING, INTERRUPTED, NOT_RUN, FLAKY = "running", "interrupted", "not run", "flaky"
PASS, FAIL, STALE, MISSING = "pass", "fail", "stale", "missing"
NO_FILES = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The inputs digest where no file matches: the SHA-256 of nothing."""
LOOKED_AT = 3
"""How many results on other content are compared file by file before they are called stale."""


class CriterionState(Frozen):
    """What is known about a criterion, for what is in front of it."""

    __slots__ = FIELDS = (
        "criterion", "state", "ok", "grade", "reason", "deciding", "newest", "changed", "changed_paths", "passes",
        "fails", "unfalsified", "failing", "flaky", "unseen",
    )  # fmt: skip

    criterion: Criterion
    state: str
    """`running`, `interrupted`, `not run`, `flaky`, `pass`, `fail`, `stale` or `missing`."""
    ok: bool
    """Whether it has what it needs: a fresh pass of a sufficient grade."""
    grade: Grade | None
    """The grade of the result that decides; None where there is none."""
    reason: str
    """Why it stands so, in a line."""
    deciding: Attempt | None
    """The attempt that decides: the newest that counts; for `stale` the newest there is."""
    newest: Attempt | None
    """The newest result of a watched run on this content, whatever its grade."""
    changed: tuple[str, ...]
    """For `stale`: which files changed since, and how, such as `src/a.py (modified)`."""
    changed_paths: tuple[str, ...]
    """The same files, their paths alone: of a renamed one both."""
    passes: int
    fails: int
    """How many results on this very content passed and failed."""
    unfalsified: bool
    """Whether no attempt on it ever failed in the ledger: nobody has seen that it can."""
    failing: tuple[str, ...]
    """The tests that failed in the newest result on this content that failed, as far as their names are known."""
    flaky: tuple[str, ...]
    """The tests that failed and passed on this content, as far as their names are known."""
    unseen: bool
    """Whether it is `running` by the word of the ledger alone: nobody here can see whether that run still lives."""

    def __init__(self, *, newest: Attempt | None = None, unseen: bool = False, **fields: Any) -> None:
        for name, value in {**fields, "newest": newest, "unseen": unseen}.items():
            set_once(self, name, value)


class _Standing:
    """A criterion's attempts, sorted by what they say about the content in front of it."""

    __slots__ = ("current", "cut_short", "elsewhere", "newest", "not_run", "open", "refused", "weak")

    def __init__(self) -> None:
        self.current: list[tuple[Attempt, str]] = []
        """Results on this content that count, newest first, each with why it fails (empty: it passes)."""
        self.open: list[Attempt] = []
        """Runs on this content that began and have no end, newest first."""
        self.cut_short: list[Attempt] = []
        """Results on this content of runs that somebody ended before their end."""
        self.not_run: list[Attempt] = []
        """Results on this content of commands that could not be run."""
        self.weak: list[Attempt] = []
        """Results on this content of too low a grade."""
        self.elsewhere: list[tuple[Attempt, str]] = []
        """Results of the command on other content, with why they do not count here."""
        self.refused: list[Attempt] = []
        """Results of another command."""
        self.newest: Attempt | None = None
        """The newest result of a watched run on this content."""

    @property
    def passes(self) -> int:
        return sum(not failure for _, failure in self.current)

    @property
    def fails(self) -> int:
        return sum(bool(failure) for _, failure in self.current)


class Bench:
    """What a criterion's attempts are judged with."""

    __slots__ = ("content", "flaky_passes", "interrupted", "output", "unseen")

    def __init__(
        self,
        content: ContentInFront,
        *,
        output: Callable[[Attempt], bytes],
        interrupted: Callable[[Attempt], bool],
        unseen: Callable[[Attempt], bool],
        flaky_passes: int,
    ) -> None:
        self.content = content
        self.output = output
        """Reads a result's output."""
        self.interrupted = interrupted
        """Tells of a run without an end whether it can no longer come to one."""
        self.unseen = unseen
        """Tells of a run without an end whether nobody here can see its process."""
        self.flaky_passes = flaky_passes

    def failure(self, criterion: Criterion, one: Attempt) -> str:
        """Why a result does not pass; empty where it does."""
        return failure_of(one, criterion.expect, lambda: decode_text(self.output(one)))


def judge_criterion(criterion: Criterion, attempts: Sequence[Attempt], bench: Bench) -> CriterionState:
    """The criterion's state. `attempts` are newest first."""
    standing = _sort(criterion, attempts, bench)
    if not (standing.current or standing.open or standing.cut_short or standing.not_run):
        _look_closer(standing, criterion, bench)
    state, ok, reason, deciding = _state(standing, criterion, bench)
    changed: list[Change] = []
    named: tuple[str, ...] = ()
    if state == STALE and deciding is not None:
        reason, changed = since(deciding, reason, criterion, bench.content)
        named = tuple(described(change.path, change.how, change.was) for change in changed) or deciding.moved
    return CriterionState(
        criterion=criterion,
        state=state,
        ok=ok,
        grade=deciding.grade if deciding is not None and deciding.kind == "result" else None,
        reason=reason + _not_asked(criterion, deciding, bench.content),
        deciding=deciding,
        newest=standing.newest,
        changed=named,
        changed_paths=tuple(path for change in changed for path in (change.was, change.path) if path) or named,
        passes=standing.passes,
        fails=standing.fails,
        unfalsified=not standing.fails and not any(_has_failed(criterion, one) for one in attempts),
        failing=_failing(standing) if state in (FAIL, FLAKY) else (),
        flaky=_flaky(standing) if state in (PASS, FLAKY) else (),
        unseen=state == RUNNING and deciding is not None and bench.unseen(deciding),
    )


def _failing(standing: _Standing) -> tuple[str, ...]:
    return next((one.names("failed") for one, failure in standing.current if failure), ())


def _flaky(standing: _Standing) -> tuple[str, ...]:
    """Tests that a runner repeated until they passed; and those that failed in one run if another one passed."""
    told = {name for one, _ in standing.current for name in one.names("flaky")}
    if standing.passes:
        told |= {name for one, failure in standing.current if failure for name in one.names("failed")}
    return tuple(sorted(told))


def _not_asked(criterion: Criterion, deciding: Attempt | None, content: ContentInFront) -> str:
    """Which declared versions nobody asked for here, in words for the reason; empty for none."""
    commands = content.not_asked(criterion.environment) if deciding is not None else ()
    if not commands:
        return ""
    return f"; {listed(commands)} was not run to judge it: taken as its newest run recorded it"


def _has_failed(criterion: Criterion, one: Attempt) -> bool:
    decided = one.kind == "result" and one.status == "fail" and not one.cut_short and not one.is_control
    return decided and is_its_command(criterion, one) and not could_not_run(criterion, one)


def could_not_run(criterion: Criterion, one: Attempt) -> bool:
    """Whether the shell, or what starts the command, said that it cannot be run: then it shows nothing.

    See `says_not_run`; what was printed tells, too, if what started the command ended with a code of its own (see
    `why_not_run`).
    """
    if not one.watched:
        return False
    if one.not_run:
        return criterion.expect.exit == EXIT_ZERO or not criterion.expect.exit.allows(one.exit_code)
    return says_not_run(criterion.expect, one.exit_code, one.executed)


def is_its_command(criterion: Criterion, attempt: Attempt) -> bool:
    """Whether the attempt ran what the plan says, where the plan runs it: at the root."""
    return criterion.manual or (attempt.command == criterion.command and not attempt.cwd)


def _sort(criterion: Criterion, attempts: Sequence[Attempt], bench: Bench) -> _Standing:
    standing = _Standing()
    ended = set(_ended(attempts))
    here = environment_of(criterion, attempts, bench.content)
    for one in attempts:
        if one.on_purpose:
            continue
        if one.kind == "started":
            is_open = (one.session, one.position) not in ended and one.command == criterion.command and not one.cwd
            if is_open and not _why_not_here(criterion, one, bench.content, here):
                standing.open.append(one)
        elif one.grade < criterion.grade and not one.watched and "details" not in one.erased:
            standing.weak.append(one)
        elif not is_its_command(criterion, one):
            standing.refused.append(one)
        elif why_not := _why_not_here(criterion, one, bench.content, here):
            if not one.cut_short and not could_not_run(criterion, one):
                standing.elsewhere.append((one, why_not))
        else:
            _count(standing, criterion, one, bench)
    _drop_outweighed(standing)
    return standing


def _drop_outweighed(standing: _Standing) -> None:
    """Nobody's word that it failed outweighs a pass that was watched: else a stricter grade would let more through."""
    if any(one.grade >= Grade.OBSERVED and not failure for one, failure in standing.current):
        standing.current = [(one, failure) for one, failure in standing.current if one.watched or not failure]


def environment_of(criterion: Criterion, attempts: Sequence[Attempt], content: ContentInFront) -> dict[str, Any]:
    """What results are compared with: the environment here, and for versions that nobody asks for here those of the
    newest run."""
    here = content.environment(criterion.environment)
    not_asked = content.not_asked(criterion.environment)
    if not not_asked:
        return here
    runs = (one for one in attempts if one.kind == "result" and one.watched and is_its_command(criterion, one))
    newest = next((as_object(one.environment.get("versions")) for one in runs), as_object(None))
    known = {command: newest[command] for command in not_asked if command in newest}
    return {**here, "versions": {**here.get("versions", {}), **known}}


def _count(standing: _Standing, criterion: Criterion, one: Attempt, bench: Bench) -> None:
    """A grade is asked of what speaks for the criterion. A run that speaks against it counts whatever its grade."""
    if one.cut_short:
        standing.cut_short.append(one)
        return
    if could_not_run(criterion, one):
        standing.not_run.append(one)
        return
    if one.watched and standing.newest is None:
        standing.newest = one
    failure = bench.failure(criterion, one)
    if failure or one.grade >= criterion.grade:
        standing.current.append((one, failure))
    else:
        standing.weak.append(one)


def _ended(attempts: Sequence[Attempt]) -> Iterator[tuple[tuple[str, str], int]]:
    """The runs that have an end, by session and position.

    A result whose details were erased no longer says which it ends: the last one before it that nothing else ends.
    """
    told = {(one.session, one.began) for one in attempts if one.kind == "result" and one.began}
    yield from told
    for number, one in enumerate(attempts):
        if one.kind == "result" and "details" in one.erased:
            for earlier in attempts[number + 1 :]:
                same = earlier.kind == "started" and earlier.session == one.session
                if same and (earlier.session, earlier.position) not in told:
                    yield earlier.session, earlier.position
                    break


def _why_not_here(criterion: Criterion, one: Attempt, content: ContentInFront, here: dict[str, Any]) -> str:
    """Why an attempt says nothing about the content and environment in front; empty where it does."""
    if one.lapsed:
        return one.lapsed
    if one.moved:
        more = f" and {len(one.moved) - 1} more" if len(one.moved) > 1 else ""
        return f"{one.moved[0]}{more} changed while it ran"
    if "details" in one.erased:
        return "what it was bound to was erased"
    holds = content.holds(one.inputs, one.patterns, criterion)
    if holds is None:
        return "it is not known for which content it was" if not one.inputs else "its inputs were declared otherwise"
    if not holds:
        return CHANGED
    return environment_difference(one.environment, here)


def _look_closer(standing: _Standing, criterion: Criterion, bench: Bench) -> None:
    """Takes the newest results whose inputs are the same after all for what they are.

    A file that counted as input then and is a product by now (or the other way round, an editor's that was added)
    changes the digest, but not the content.
    """
    for one, why_not in standing.elsewhere[:LOOKED_AT]:
        if why_not == CHANGED and _is_same_after_all(criterion, one, bench.content):
            standing.elsewhere.remove((one, why_not))
            _count(standing, criterion, one, bench)


def _is_same_after_all(criterion: Criterion, one: Attempt, content: ContentInFront) -> bool:
    if one.patterns != pathspecs(criterion.inputs) or not (content.left_out or any(map(is_editors, one.changes))):
        return False
    here = environment_of(criterion, [one], content)
    return not environment_difference(one.environment, here) and changes_since(criterion, one, content) == []


def _state(standing: _Standing, criterion: Criterion, bench: Bench) -> tuple[str, bool, str, Attempt | None]:
    unsettled = [
        one
        for one in (*standing.open, *standing.cut_short, *standing.not_run)
        if not any(_is_later(other, one) for other, _ in standing.current)
    ]
    for one in standing.open:
        if not one.given_up and not bench.interrupted(one) and (one in unsettled or not bench.unseen(one)):
            return RUNNING, False, under_way(one, unseen=bench.unseen(one)), one
    for one in unsettled:
        if not any(_is_later(other, one) for other in unsettled):
            ran = one.kind == "started" or one.cut_short
            return (INTERRUPTED, False, interruption(one), one) if ran else (NOT_RUN, False, not_run(one), one)
    if standing.current:
        return _of_results(standing, bench.flaky_passes)
    if standing.elsewhere:
        one, why_not = standing.elsewhere[0]
        return STALE, False, why_not, one
    if standing.weak:
        weak = standing.weak[0]
        why = f"a result that is only {weak.grade} does not count, it asks for {criterion.grade}"
        return MISSING, False, f"{why}: {weak.doubt}" if weak.doubt else why, weak
    if standing.refused:
        return MISSING, False, refusal(standing.refused[0]), None
    return MISSING, False, "nothing was recorded for it", None


def _is_later(one: Attempt, other: Attempt) -> bool:
    """Whether an attempt began after the other one."""
    if one.session == other.session:
        return (one.began or one.position) > (other.began or other.position)
    return (one.at, one.position) > (other.at, other.position)


def _of_results(standing: _Standing, flaky_passes: int) -> tuple[str, bool, str, Attempt | None]:
    newest, failure = standing.current[0]
    passes, fails = standing.passes, standing.fails
    if passes and fails:
        streak = next((n for n, (_, why) in enumerate(standing.current) if why), len(standing.current))
        told = f"{passes} passed and {fails} failed on the same inputs"
        if streak >= flaky_passes:
            return FLAKY, True, f"{told}; the newest {streak} passed", newest
        if not failure:
            told += f"; passed on attempt {passes + fails}, {flaky_passes} passes in a row are needed"
        return FLAKY, False, told, newest
    if fails:
        return FAIL, False, failure + named(newest), newest
    reason = newest.reason or "recorded as pass"
    if newest.status != "pass":
        reason = f"exit code was {newest.exit_code}, as expected"
    if newest.touched:
        more = f" and {len(newest.touched) - 1} more" if len(newest.touched) > 1 else ""
        reason += f"; {newest.touched[0]}{more} was written while it ran and was the same after"
    if newest.inputs == NO_FILES:
        reason += "; no file is an input of it, so no edit makes it stale"
    return PASS, True, reason, newest
