"""The trailer that a commit's message gets: what was shown for its content when it was made, and as of which head."""

from __future__ import annotations

from tallystick.model.text import printable
from tallystick.workspace.tree_snapshot import TreeSnapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.gate.verdict import Verdict
    from tallystick.workspace import Snapshot, Workspace

TRAILER = "Evidence"
NAMED = 3
_SCISSORS = b" >8 "


def trailer(verdict: Verdict) -> str:
    """`Evidence: open TASK HEAD`, or `Evidence: shut TASK HEAD (tests stale, …)`; empty where nothing is recorded.

    The head pins the whole history up to then, the ledger's id in it: `notch gate --head HEAD` holds a ledger to it.
    """
    if verdict.head is None:
        return ""
    line = f"{TRAILER}: {'open' if verdict.open else 'shut'} {printable(verdict.task_id)} {verdict.head}"
    if verdict.open:
        return line
    lacking = [f"{state.criterion.id} {state.state}" for state in verdict.states if not state.ok]
    lacking += dict.fromkeys(one.rule for one in verdict.objections if one.rule != "criteria")
    more = f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
    return f"{line} ({', '.join(lacking[:NAMED])}{more})"


def staged(workspace: Workspace, index: str) -> Snapshot:
    """The content that is about to be committed; `index` is the index file that git commits from."""
    git = workspace.git
    tree = git.on(index).run("write-tree").decode("ascii").strip()
    head = git.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}", ok=(0, 1)).decode("ascii").strip()
    return TreeSnapshot(workspace.repository, tree, commit=head)


def add_trailer(workspace: Workspace, path: str, line: str) -> bool:
    """Write the trailer into the message in the file, in place of an earlier one; returns whether it was done.

    A message without a word stays as it is, since git gives such a commit up.
    """
    git = workspace.git
    with open(path, "rb") as file:
        message = file.read()
    cut = next((line for line in message.split(b"\n") if _SCISSORS in line), None)
    words = message.partition(cut)[0] if cut else message
    if not git.run("stripspace", "--strip-comments", stdin=words).strip():
        return False
    if not message.endswith(b"\n"):  # of a merge; git would take the trailer for the subject's second line
        with open(path, "ab") as file:
            file.write(b"\n")
    how = ("--if-exists=replace", "--if-missing=add", "--where=end")
    git.run("interpret-trailers", "--in-place", "--no-divider", *how, f"--trailer={line}", path)
    return True
