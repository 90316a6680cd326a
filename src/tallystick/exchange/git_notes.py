"""Checkpoints in git notes (`refs/notes/tallystick`), so that every clone can hold the ledger to them."""

from __future__ import annotations

import re

from tallystick.errors import InputError
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.note import SignedNote
from tallystick.stores.checkpoints import epoch_of
from tallystick.workspace.git import GitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.workspace import Workspace
    from tallystick.workspace.git import Git

REF = "refs/notes/tallystick"
_FETCHED = "refs/notes/remotes/"
"""Below it lie the notes of each remote as they were fetched last, so that a fetch never meets notes made here."""
_TRIES = 5
_BETWEEN = re.compile(rb"\n\n+(?=tallystick/)")


def write_note(workspace: Workspace, note: str) -> str:
    """Put the checkpoint on the commit that is checked out, and share the notes; returns a word for the user.

    An older checkpoint of the same ledger there is replaced; those of other ledgers stay. The notes are merged with
    those of the remote (`origin`, or the only one there is) and pushed there; if that fails, the word says why. Raises
    InputError outside git, GitError if git refuses the note.
    """
    git = _git(workspace)
    commit = git.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}", ok=(0, 1)).decode().strip()
    if not commit:
        raise InputError("there is no commit yet to put a note on", where=workspace.root, advice="commit first")
    content = b"\n".join([*_of_other_ledgers(git, commit, note.encode()), note.encode()])
    blob = git.run("hash-object", "-w", "--stdin", stdin=content).decode().strip()
    git.run("notes", f"--ref={REF}", "add", "-f", "-C", blob, commit)
    return f"noted on commit {commit[:12]} ({_share(git)})"


def _of_other_ledgers(git: Git, commit: str, note: bytes) -> list[bytes]:
    """The checkpoints that the commit's note holds already, without those of the ledger that `note` is of."""
    own = _ledger_of(note)
    listed = git.run("notes", f"--ref={REF}", "list", commit, ok=(0, 1)).split()
    found = (part for data in _blobs(git, listed) for part in _parts(data))
    return [part for part in found if _ledger_of(part) not in (own, "")]


def _ledger_of(note: bytes) -> str:
    """The id of the ledger that a checkpoint is of; empty if it is none."""
    try:
        return Checkpoint.parse(SignedNote.parse(note).text).origin.split("/")[1]
    except (InputError, IndexError):
        return ""


def _parts(data: bytes) -> list[bytes]:
    """The notes in what git keeps for one commit: several once notes of several clones were united."""
    parts = _BETWEEN.split(data)
    return [part.rstrip(b"\n") + b"\n" for part in parts] if len(parts) > 1 else parts


def _share(git: Git) -> str:
    """Unite the notes with those of the remote and push them; what to tell the user about it.

    Nothing is configured: a plain `git push` and `git fetch` do what they did before.
    """
    remotes = git.run("remote").decode("utf-8", "replace").split()
    remote = "origin" if "origin" in remotes else remotes[0] if len(remotes) == 1 else ""
    if not remote:
        return f"no remote to push it to by itself: git push REMOTE {REF}"
    refused: GitError | None = None
    for _ in range(_TRIES):
        try:
            _unite(git, remote)
        except GitError as error:
            return f"not pushed: {error.what}"
        try:
            git.run("push", "--quiet", "--no-verify", remote, f"{REF}:{REF}")
        except GitError as error:
            refused = error  # often another clone pushed its notes meanwhile
        else:
            return f"pushed to {remote}"
    return f"not pushed: {refused.what if refused else remote}; git push {remote} {REF} tries again"


def _unite(git: Git, remote: str) -> None:
    """Fetch the remote's notes and merge them into those made here; both stay where one commit has two."""
    fetched = f"{_FETCHED}{remote}/tallystick"
    # With a pattern a remote that has no notes yet is no error.
    git.run("fetch", "--quiet", "--no-tags", remote, f"+{REF}*:{fetched}*")
    if git.run("rev-parse", "--verify", "--quiet", fetched, ok=(0, 1)).strip():
        git.run("notes", f"--ref={REF}", "merge", "--quiet", "--strategy=union", fetched)


def newest_note(workspace: Workspace, ledger_id: str) -> bytes | None:
    """The newest checkpoint of that ledger among the notes that are here; None where there is none.

    Raises InputError outside git.
    """
    found = notes_by_age(workspace, ledger_id)
    return found[0] if found else None


def notes_by_age(workspace: Workspace, ledger_id: str) -> list[bytes]:
    """Every checkpoint of that ledger among the notes made or fetched here, the newest first.

    Raises InputError outside git.

    Whoever can push can put any there: their signatures are not checked here.
    """
    git = _git(workspace)
    named = git.run("for-each-ref", "--format=%(refname)", REF, f"{_FETCHED}*/tallystick").decode("utf-8", "replace")
    listed = dict.fromkeys(
        name for ref in named.splitlines() for name in git.run("notes", f"--ref={ref}", "list").split()[::2]
    )
    found: list[tuple[tuple[int, int], bytes]] = []
    for data in (part for blob in _blobs(git, list(listed)) for part in _parts(blob)):
        try:
            checkpoint = Checkpoint.parse(SignedNote.parse(data).text)
        except InputError:
            continue
        rank = (epoch_of(checkpoint.origin, ledger_id), checkpoint.size)
        if rank[0]:
            found.append((rank, data))
    return [data for _, data in sorted(found, key=lambda one: one[0], reverse=True)]


def _git(workspace: Workspace) -> Git:
    if not workspace.is_git:
        raise InputError("this is no git work tree", where=workspace.root, advice="use --to FILE")
    return workspace.git


def _blobs(git: Git, names: list[bytes]) -> list[bytes]:
    """The contents of these blobs."""
    printed = git.run("cat-file", "--batch", stdin=b"".join(name + b"\n" for name in names)) if names else b""
    found = []
    while printed:
        head, _, rest = printed.partition(b"\n")
        fields = head.split(b" ")
        size = int(fields[2]) if len(fields) == 3 else 0
        if len(fields) == 3:
            found.append(rest[:size])
        printed = rest[size + 1 :] if len(fields) == 3 else rest
    return found
