"""Content that is not committed, kept in the repository's objects so that it can be checked out again.

Its tree is stored under a ref of ours, `refs/tallystick/trees/<tree id>`: git keeps it until somebody deletes the ref,
and pushes it nowhere unless told to. The user's index is not written.
"""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.workspace.paths import path_bytes
from tallystick.workspace.scratch import Scratch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.workspace.content import Workspace
    from tallystick.workspace.snapshot import Snapshot

REFS = "refs/tallystick/trees"


def keep_tree(workspace: Workspace, snapshot: Snapshot) -> str:
    """Stores the files and the tree of uncommitted content; returns the ref, empty where a commit has it all.

    Raises InputError outside git, where a submodule has uncommitted content, and where the files are no longer those of
    the snapshot; GitError where git cannot write.
    """
    git = workspace.git
    if not snapshot.dirty:
        return ""
    if unkept := snapshot.fingerprint().get("submodules"):
        raise InputError("uncommitted content of a submodule cannot be kept", where=next(iter(unkept)))
    scratch = Scratch()
    try:
        copy = git.on(index=scratch.file("index"))
        copy.run("read-tree", *([snapshot.commit] if snapshot.commit else ["--empty"]))
        paths = b"".join(path_bytes(path) + b"\0" for path in snapshot.own_changes)
        copy.run("update-index", "-z", "--add", "--remove", "--replace", "--stdin", stdin=paths)
        tree = copy.run("write-tree").decode("ascii").strip()
    finally:
        scratch.close()
    if tree != snapshot.tree:
        raise InputError("the files changed while they were kept", where=workspace.root, advice="try again")
    ref = f"{REFS}/{tree}"
    git.run("update-ref", "-m", "tallystick: kept", ref, tree)
    return ref
