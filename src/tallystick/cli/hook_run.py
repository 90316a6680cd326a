"""hook run: what a git hook asks, quickly, and never in the way for a fault of our own.

Only a verdict stops a push. It is told by the word `shut` on standard output besides the exit code, so that a broken
installation, whose exit code may be anything, stops nothing.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from tallystick.agents.hook_script import COMMIT_MSG, HOOKS, PRE_PUSH
from tallystick.cli.context import ledger_files, ledger_place, open_ledger, remember, task_of
from tallystick.cli.gate import interrupted, judged
from tallystick.cli.judging import base_rules, provenance, require_outside_run
from tallystick.errors import InputError, NotFoundError, TallystickError, TamperedError
from tallystick.location import current_branch
from tallystick.model.text import printable
from tallystick.workspace import PendingSnapshot, Workspace

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from tallystick.agents.git_push import Push
    from tallystick.gate.case import Case
    from tallystick.gate.memory import SeenHeads
    from tallystick.gate.verdict import Verdict
    from tallystick.ledger import Ledger
    from tallystick.workspace import Snapshot


def run_hook(options: argparse.Namespace) -> int:
    """Answer the hook that git runs. Raises InputError for one that there is not."""
    _enter_work_tree(options)
    if options.what == PRE_PUSH:
        return _pre_push(options)
    if options.what == COMMIT_MSG and options.arguments:
        return _commit_msg(options)
    raise InputError(f"there is no such hook: {options.what or 'none is named'}", advice=f"hooks: {', '.join(HOOKS)}")


def _enter_work_tree(options: argparse.Namespace) -> None:
    """Go where git was told that the work tree is: it runs hooks where it was called itself."""
    told = os.environ.get("GIT_WORK_TREE")
    if not told or not os.path.isdir(told):
        return
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        if name in os.environ:
            os.environ[name] = os.path.abspath(os.environ[name])
    if options.what == COMMIT_MSG:
        options.arguments = [os.path.abspath(path) for path in options.arguments]
    os.chdir(told)


def _pre_push(options: argparse.Namespace) -> int:
    """1 where the gate is shut for something that is pushed, 3 where evidence was changed, else 0."""
    codes = {0}
    try:
        from tallystick.agents.git_push import pushes

        lines = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
        for push in pushes(lines, os.environ):
            codes.add(_judge_push(push, options))
    except Exception as error:  # a fault of ours must not stop anybody's push
        _say(f"{_told(error)}; so nothing more is judged, and the push goes on")
    code = max(codes)
    print("shut" if code else "open")
    return code


def _judge_push(push: Push, options: argparse.Namespace) -> int:
    try:
        task_id = push.task(current_branch(os.getcwd())) or task_of(None)
        workspace = Workspace.find(os.getcwd(), exclude=ledger_files(options))
        with _case(options, workspace, task_id, workspace.tree_snapshot(push.commit)) as case:
            if not case.plan.known:
                return 0
            verdict = _verdict(case, options)
            _show(verdict, case, push)
            return verdict.exit_code
    except TamperedError as error:
        _say(_told(error))
        return error.exit_code
    except TallystickError as error:
        _say(f"{_told(error)}; so {push.local_ref} is not judged, and the push goes on")
        return 0


def _case(options: argparse.Namespace, workspace: Workspace, task_id: str, snapshot: Snapshot) -> Case:
    """The task as it would stand with that content in front."""
    from tallystick.clock import now
    from tallystick.gate.case import Case, PendingPlan

    require_outside_run()
    ledger: Ledger | None = None
    with suppress(NotFoundError):
        ledger = open_ledger(options, judge=True)
    return Case(
        ledger,
        workspace,
        task_id,
        snapshot=_Taken(snapshot),
        plan=PendingPlan(workspace, base_rules(options)),
        interrupted=interrupted,
        provenance=provenance(options, ledger),
        now=now(),
    )


class _Taken(PendingSnapshot):
    """A snapshot that is there already, where a pending one is wanted."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def result(self) -> Snapshot:
        """It."""
        return self._snapshot

    def discard(self) -> None:
        """Nothing is under way."""


def _seen(options: argparse.Namespace) -> SeenHeads:
    from tallystick.gate.memory import SeenHeads

    return SeenHeads(ledger_place(options), os.environ)


def _verdict(case: Case, options: argparse.Namespace) -> Verdict:
    verdict = judged(case, _seen(options))
    if case.ledger is not None and verdict.head is not None and not verdict.tampered:
        remember(options, case.ledger, case.task_id, verdict.head)
    return verdict


def _show(verdict: Verdict, case: Case, push: Push) -> None:
    from tallystick.gate import render

    if verdict.open:
        _say(f"gate open  {printable(verdict.task_id)}  {render.as_of(verdict)}")
        return
    print("\n".join(render.text(verdict)), file=sys.stderr)
    from tallystick.agents.git_push import how_to_match

    head = case.workspace.git.run("rev-parse", "--verify", "--quiet", "HEAD", ok=(0, 1)).decode("ascii").strip()
    if word := how_to_match(case, checked_out=head == case.snapshot.commit):
        print(f"  {printable(word)}", file=sys.stderr)
    print(f"  not pushed: {printable(push.local_ref)}; git push --no-verify pushes it all the same", file=sys.stderr)


def _commit_msg(options: argparse.Namespace) -> int:
    """Always 0: a message without a trailer is still a message."""
    try:
        _add_evidence(options)
    except Exception as error:
        _say(f"{_told(error)}; so the message gets no trailer")
    return 0


def _add_evidence(options: argparse.Namespace) -> None:
    from tallystick.agents.git_message import add_trailer, staged, trailer

    message = os.path.abspath(options.arguments[0])
    workspace = Workspace.find(os.getcwd(), exclude=ledger_files(options))
    index = os.path.abspath(os.environ.get("GIT_INDEX_FILE") or workspace.repository.index)
    with _case(options, workspace, task_of(None), staged(workspace, index)) as case:
        if case.ledger is None or not case.plan.known:
            return
        line = trailer(_verdict(case, options))
    if line:
        add_trailer(workspace, message, line)


def _told(error: Exception) -> str:
    if isinstance(error, TallystickError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _say(words: str) -> None:
    print(f"notch: {printable(words)}", file=sys.stderr)
