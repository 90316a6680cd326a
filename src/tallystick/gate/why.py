"""Why a criterion stands as it does: which run, which content, which files, and who could have made it up."""

from __future__ import annotations

from tallystick.gate.attempts import as_object
from tallystick.gate.content import pathspecs
from tallystick.gate.freshness import STALE
from tallystick.gate.policies import supplying_command
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from tallystick.gate.attempts import Attempt
    from tallystick.gate.case import Case
    from tallystick.gate.freshness import CriterionState

NAMED_FILES = 10


def explain(case: Case, state: CriterionState) -> Iterator[str]:
    """A few lines that tell why, for a person."""
    criterion = state.criterion
    yield f"{printable(criterion.id)} is {state.state}: {printable(state.reason)}"
    if criterion.shows:
        yield f"shows     {printable(criterion.shows)}"
    yield f"plan      {_planned(state)}"
    if state.deciding is not None:
        yield from _attempt(state.deciding, state, case.task_id)
        if state.deciding.content and state.deciding.content.get("excludes", "") != case.snapshot.excludes:
            yield "ignored   by other local rules than now (info/exclude, core.excludesFile), which hide files"
    if state.passes or state.fails:
        yield f"results   {state.passes} passed, {state.fails} failed on this content"
    for name, tests in (("failing", state.failing), ("flaky", state.flaky)):
        if tests:
            yield f"{name:<9} {_listed(tests)}"
    if left_out := _left_out(case, state):
        yield f"left out  {_listed(left_out)}: as a run left it, so it is no input"
    if state.unfalsified and state.passes:
        yield "caution   unfalsified: it never failed in this ledger, so nobody has seen that it can"
    for weakening in case.weakened:
        if weakening.criterion == criterion.id:
            yield f"weakened  {weakening}"
    if command := supplying_command(case.task_id, state, case.command):
        yield f"next      {printable(command)}"


def _left_out(case: Case, state: CriterionState) -> tuple[str, ...]:
    """What the criterion's inputs match and what does not count, because a run left it."""
    known = case.content.left_out
    if not known:
        return ()
    matched = case.snapshot.paths(pathspecs(state.criterion.inputs))
    return tuple(path for path in matched if path in known and case.snapshot.blob(path) in known[path])


def _planned(state: CriterionState) -> str:
    criterion = state.criterion
    inputs = ", ".join(pathspecs(criterion.inputs)) or "the whole tree"
    command = "shown by a person" if criterion.manual else criterion.command
    return printable(f"{command}  (inputs: {inputs}; at least {criterion.grade})")


def _attempt(attempt: Attempt, state: CriterionState, task_id: str) -> Iterator[str]:
    what = "run that began" if attempt.kind == "started" else f"result {attempt.status}"
    yield f"entry     #{attempt.position}, {what}, recorded {attempt.at}, ledger {attempt.ledger_id}"
    if attempt.task_id != task_id:
        yield f"cited     from the session of {printable(attempt.task_id)}, where the same was shown"
    if attempt.kind == "result":
        yield f"grade     {attempt.grade}: could have been made up by {attempt.grade.forgeable_by}"
    yield f"content   {_content(attempt)}"
    if attempt.run.get("duration_ms") is not None:
        yield printable(f"took      {attempt.run['duration_ms']} ms, exit code {attempt.exit_code}")
    yield from _executable(as_object(attempt.run.get("executable")))
    if attempt.executed is not None:
        yield f"tests     {attempt.executed} executed, {attempt.skipped or 0} skipped"
    for name, paths in (("moved", attempt.moved), ("touched", attempt.touched)):
        if paths:
            yield f"{name:<9} {_listed(paths)} while it ran"
    if state.state == STALE and state.changed:
        yield f"changed   {_listed(state.changed)}"


def _content(attempt: Attempt) -> str:
    content = attempt.content
    if not content:
        return "not known"
    commit = str(content.get("commit", ""))[:12] or "no commit"
    dirty = " with uncommitted changes" if content.get("dirty") else ""
    inputs = attempt.inputs[:12] or "not bound: they moved"
    return printable(f"tree {str(content.get('tree', ''))[:12]} on {commit}{dirty}, inputs {inputs}")


def _executable(executable: Any) -> Iterator[str]:
    if not executable:
        return
    yield f"ran       {printable(str(executable.get('path', '')))}  sha256 {str(executable.get('sha256', ''))[:16]}…"
    command = as_object(executable.get("command"))
    if command:
        path, digest = printable(str(command.get("path", ""))), str(command.get("sha256", ""))[:16]
        yield f"          for {path}  sha256 {digest}…"


def _listed(paths: tuple[str, ...]) -> str:
    shown = ", ".join(printable(path) for path in paths[:NAMED_FILES])
    return shown if len(paths) <= NAMED_FILES else f"{shown} and {len(paths) - NAMED_FILES} more"
