"""Why a criterion stands as it does, in words: a line each."""

from __future__ import annotations

from tallystick.gate.expectation import SHELLS_WORD
from tallystick.model.text import printable
from tallystick.workspace.paths import path_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from tallystick.gate.attempts import Attempt
    from tallystick.gate.content import ContentInFront
    from tallystick.gate.plan import Criterion
    from tallystick.workspace.changes import Change

CHANGED = "the inputs changed since"
NAMED_TESTS = 3
"""How many tests a reason names."""


def changes_since(criterion: Criterion, one: Attempt, content: ContentInFront) -> list[Change] | None:
    return content.changed(one.content, criterion.inputs, one.products)


def under_way(one: Attempt, *, unseen: bool) -> str:
    if not unseen:
        return f"began at {one.at} and is under way"
    host = printable(str(one.run.get("host") or "another machine"))
    return f"began at {one.at} on {host}, where nobody here can see whether it still runs"


def not_run(one: Attempt) -> str:
    why = one.not_run or f"exit code {one.exit_code}{SHELLS_WORD.get(one.exit_code, '')}"
    return f"it could not be run: {printable(why)}"


def interruption(one: Attempt) -> str:
    if one.cut_short:
        return f"the run that ended at {one.at} was cut short by signal {one.cut_short}"
    return f"the run that began at {one.at} has no end"


def refusal(other: Attempt) -> str:
    if "text" in other.erased:
        return "the command of its newest result was erased"
    if other.cwd:
        return f"it was run in {other.cwd}, not at the root of the work tree"
    return f"only another command was run: {other.command or 'none'}"


def named(one: Attempt) -> str:
    """The tests that failed, by name, if the reason does not have them anyway."""
    names = one.names("failed") if one.exit_code and "files" not in one.tests else ()
    if not names:
        return ""
    listed = ", ".join(map(printable, names[:NAMED_TESTS]))
    return f": {listed}" + (f" and {len(names) - NAMED_TESTS} more" if len(names) > NAMED_TESTS else "")


def since(attempt: Attempt, reason: str, criterion: Criterion, content: ContentInFront) -> tuple[str, list[Change]]:
    """The reason with the files that changed since, as far as they can be named."""
    if attempt.moved:
        return reason + _how_to_settle(attempt.moved[0], content), []
    if not attempt.content or "details" in attempt.erased:
        return reason, []
    found = changes_since(criterion, attempt, content)
    if found is None:
        if reason == CHANGED and attempt.content.get("changes_left_out"):
            reason = f"{CHANGED}; more files differed from the commit than were kept, so they cannot be named"
        elif reason == CHANGED:
            reason = f"{CHANGED}, and {attempt.commit[:12] or 'git'} is gone, so the files cannot be named"
        return reason, []
    if reason == CHANGED and found:
        reason = f"{listed([change.path for change in found])} changed since"
    return reason, found


def _how_to_settle(path: str, content: ContentInFront) -> str:
    """What helps where the run itself writes a file that was there before."""
    if path_bytes(path) not in content.snapshot.untracked():
        return ""
    return "; if the run itself writes it, have git ignore it, or remove it once"


def described(path: str, how: str, was: str) -> str:
    """A changed file in words: `src/a.py (modified)`."""
    return f"{path} (renamed from {was})" if was else f"{path} ({how})"


def listed(names: Iterable[str]) -> str:
    first, *rest = names
    if not rest:
        return first
    return f"{first} and {rest[0]}" if len(rest) == 1 else f"{first} and {len(rest)} more files"
