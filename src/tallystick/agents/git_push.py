"""What a `git push` publishes, as its hook is told: which content to judge, as which task."""

from __future__ import annotations

from tallystick.gate.content import pathspecs
from tallystick.model.frozen import Frozen, set_once
from tallystick.workspace.changes import changed_paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tallystick.gate.case import Case

_BRANCH = "refs/heads/"
_NO_WORK = ("refs/tags/", "refs/notes/", "refs/tallystick/")
"""What is pushed there says nothing new about a task: its commits are judged when a branch is pushed."""
NAMED_FILES = 5


class Push(Frozen):
    """One ref that is about to be pushed."""

    __slots__ = FIELDS = ("local_ref", "commit", "remote_ref")

    local_ref: str
    """What is pushed, as git names it: `refs/heads/x`, `HEAD`, or what the user wrote."""
    commit: str
    """The object id."""
    remote_ref: str
    """Where it goes."""

    def __init__(self, local_ref: str, commit: str, remote_ref: str) -> None:
        set_once(self, "local_ref", local_ref)
        set_once(self, "commit", commit)
        set_once(self, "remote_ref", remote_ref)

    def task(self, current: str) -> str:
        """The branch whose work it is; empty where it is the one that is checked out, `current`."""
        for ref in (self.local_ref, "" if current else self.remote_ref):
            if ref.startswith(_BRANCH):
                name = ref.removeprefix(_BRANCH)
                return "" if name == current else name
        return ""


def pushes(lines: str, environ: Mapping[str, str]) -> Iterator[Push]:
    """What is pushed, from git's lines on standard input (githooks(5), pre-push), deletions, tags and notes left out.

    The pre-commit framework tells the same in variables; where it runs the hook by hand it is `HEAD`.
    """
    told = [line.split(" ") for line in lines.splitlines() if line.strip()]
    found = [Push(words[0], words[1], words[2]) for words in told if len(words) == 4]
    if not found and environ.get("PRE_COMMIT"):
        branch, remote = environ.get("PRE_COMMIT_LOCAL_BRANCH", "HEAD"), environ.get("PRE_COMMIT_REMOTE_BRANCH", "")
        found = [Push(branch, environ.get("PRE_COMMIT_TO_REF", "HEAD"), remote)]
    for push in found:
        if push.commit.strip("0") and not push.remote_ref.startswith(_NO_WORK):
            yield push


def differing_files(case: Case) -> tuple[list[str], list[str]]:
    """Inputs of what is not shown that differ in the work tree from the commit judged: files git knows, and others.

    Where there are any, a run in the work tree shows nothing about that commit.
    """
    known: dict[str, None] = {}
    unknown: dict[str, None] = {}
    with case.workspace.snapshot() as now:
        untracked = {path.decode("utf-8", "surrogateescape") for path in now.untracked()}
        for state in case.states:
            patterns = pathspecs(state.criterion.inputs)
            left_out = case.content.left_out
            if state.ok or now.inputs_digest(patterns, without=left_out) == case.content.digest(patterns):
                continue
            for change in changed_paths(case.workspace, (case.snapshot.commit, {}), now, patterns) or ():
                if now.blob(change.path) not in left_out.get(change.path, ()):
                    (unknown if change.path in untracked else known)[change.path] = None
    return list(known), list(unknown)


def how_to_match(case: Case, *, checked_out: bool) -> str:
    """What has to be done before a run in the work tree is about the commit judged; empty where nothing."""
    known, unknown = differing_files(case)
    if (known or unknown) and not checked_out:
        return "the commit that is pushed is not checked out: a run shows something about it only once it is"
    said = []
    if known:
        said.append(f"commit or stash {_listed(known)}")
    if unknown:
        said.append(f"add {_listed(unknown)}, or have git ignore it")
    if not said:
        return ""
    return f"the work tree is not what is pushed, so a run there shows nothing about it: {'; '.join(said)}"


def _listed(paths: list[str]) -> str:
    shown = ", ".join(paths[:NAMED_FILES])
    return shown if len(paths) <= NAMED_FILES else f"{shown} and {len(paths) - NAMED_FILES} more"
