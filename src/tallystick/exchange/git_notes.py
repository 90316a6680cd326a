"""Checkpoints in git notes (`refs/notes/tallystick`), so that every clone can hold the ledger to them."""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.note import SignedNote
from tallystick.stores.checkpoints import epoch_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.workspace import Workspace
    from tallystick.workspace.git import Git

REF = "refs/notes/tallystick"
_REFSPEC = f"{REF}:{REF}"
_PUSHES_THE_BRANCH = frozenset(("", "simple", "current"))


def write_note(workspace: Workspace, note: str) -> str:
    """Put the checkpoint on the commit that is checked out, in place of an older one; returns a word for the user.

    A plain `git push` then takes it along. Raises InputError outside git, GitError where git refuses.
    """
    git = _git(workspace)
    commit = git.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}", ok=(0, 1)).decode().strip()
    if not commit:
        raise InputError("there is no commit yet to put a note on", where=workspace.root, advice="commit first")
    blob = git.run("hash-object", "-w", "--stdin", stdin=note.encode()).decode().strip()
    git.run("notes", f"--ref={REF}", "add", "-f", "-C", blob, commit)
    return f"noted on commit {commit[:12]} ({_have_it_pushed(git)})"


def newest_note(workspace: Workspace, ledger_id: str) -> bytes | None:
    """The newest checkpoint of that ledger among the notes that are here; None where there is none.

    Raises InputError outside git.
    """
    found = notes_by_age(workspace, ledger_id)
    return found[0] if found else None


def notes_by_age(workspace: Workspace, ledger_id: str) -> list[bytes]:
    """Every checkpoint of that ledger among the notes that are here, the newest first. Raises InputError outside git.

    Whoever can push can put any there: their signatures are not checked here.
    """
    git = _git(workspace)
    listed = git.run("notes", f"--ref={REF}", "list").split()
    found: list[tuple[tuple[int, int], bytes]] = []
    for data in _blobs(git, listed[::2]):
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


def _have_it_pushed(git: Git) -> str:
    """Have a plain `git push` take the notes along; what to tell the user about it.

    A remote with push refspecs pushes those alone, so the branch that is checked out becomes one of them.
    """
    remotes = git.run("remote").decode("utf-8", "replace").split()
    remote = "origin" if "origin" in remotes else remotes[0] if len(remotes) == 1 else ""
    if not remote:
        return f"no remote to push it to by itself: git push REMOTE {REF}"
    name = f"remote.{remote}.push"
    kept = git.run("config", "--get-all", name, ok=(0, 1)).decode("utf-8", "replace").split()
    if any(one.removeprefix("+").startswith((REF, "refs/notes/*")) for one in kept):
        return "git push takes it along"
    default = git.run("config", "--get", "push.default", ok=(0, 1)).decode("utf-8", "replace").strip()
    if not kept and default not in _PUSHES_THE_BRANCH:
        return f"push.default is {default}, so push it by hand: git push {remote} {REF}"
    for refspec in (_REFSPEC,) if kept else ("HEAD", _REFSPEC):
        git.run("config", "--add", name, refspec)
    return "git push takes it along from now on"


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
