"""The base: the commit whose plan whoever is judged could not have changed.

It is the merge base with the protected branch: what `[gate] base` on that branch says, else the default branch.
"""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.gate.plan import PLAN_FILE, Plan, read_plan
from tallystick.gate.refs import read_refs
from tallystick.model.frozen import Frozen, set_once
from tallystick.workspace.git import GitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from tallystick.gate.refs import Refs
    from tallystick.workspace import Workspace
    from tallystick.workspace.git import Child

_DEFAULTS = (
    "refs/remotes/origin/HEAD",
    "refs/remotes/origin/main",
    "refs/remotes/origin/master",
    "refs/remotes/upstream/HEAD",
    "refs/heads/main",
    "refs/heads/master",
)


class Base(Frozen):
    """The base that the content in front of us is judged by."""

    __slots__ = FIELDS = ("commit", "branch", "plan", "word", "tasks")

    commit: str
    """The base commit; empty where there is no commit yet, and outside git."""
    branch: str
    """The protected branch as git names it; empty where there is none."""
    plan: Plan | None
    """The plan on the base; None where there is none."""
    word: str
    """What a person should know about how it was found; may be empty."""
    tasks: tuple[str, ...]
    """The tasks whose name may be the branch's: their sessions hold what was shown on it."""

    def __init__(
        self,
        commit: str = "",
        branch: str = "",
        plan: Plan | None = None,
        word: str = "",
        tasks: tuple[str, ...] = (),
    ) -> None:
        set_once(self, "commit", commit)
        set_once(self, "branch", branch)
        set_once(self, "plan", plan)
        set_once(self, "word", word)
        set_once(self, "tasks", tasks)


class PendingBase:
    """The search for the base, begun in the background."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._refs: Refs | None = None
        self._asked: Child | None = None
        if workspace.is_git:
            self._refs = read_refs(workspace.repository.location.common_dir, _DEFAULTS)
            if self._refs is None:
                form = "--format=%(refname) %(objectname) %(symref)"
                self._asked = workspace.git.start("for-each-ref", form, *_DEFAULTS)

    def discard(self) -> None:
        """Give it up."""
        if self._asked is not None:
            self._asked.discard()

    def result(self, commit: str, tree_plan: Plan | None, tree_data: bytes | None, *, changed: bool) -> Base:
        """The base for content that stands on `commit`, with the work tree's own plan, as it is read and as bytes.

        `changed`: whether that is not the commit's. Raises InputError where the protected branch that the plan names
        is not here, PlanError for a base's plan that cannot be read.
        """
        if self._asked is not None:
            printed = self._asked.result().decode("utf-8", "replace").splitlines()
            self._refs = {name: (oid, target) for name, oid, target in (line.split(" ") for line in printed)}
        refs = self._refs
        if refs is None or not commit:
            return Base()
        branch = next((name for name in _DEFAULTS if name in refs), "")
        found, word = commit, "no protected branch is here, so the commit that is checked out is its own base"
        if branch:
            tip, target = refs[branch]
            branch = target or branch
            found, word = self._merge_base(commit, branch, tip)

        def plan_at(base: str) -> Plan | None:
            if base == commit and not changed:
                return tree_plan
            data = read_blob(self._workspace, f"{base}:{PLAN_FILE}")
            if data is None or data == tree_data:
                return None if data is None else tree_plan
            return read_plan(data, where=f"{PLAN_FILE} of {base[:12]}")

        plan = plan_at(found)
        named = (plan or tree_plan or Plan()).gate.base
        if named and branch not in (named, f"refs/heads/{named}", f"refs/remotes/{named}"):
            branch = named
            found, word = self._merge_base(commit, named, self._resolve(named))
            plan = plan_at(found)
        return Base(found, branch, plan, word, tuple(_tasks_of(branch)))

    def _resolve(self, revision: str) -> str:
        git = self._workspace.git
        try:
            printed = git.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        except GitError:
            raise InputError(
                f"the protected branch {revision!r} is not here",
                where=f"{PLAN_FILE}: gate.base",
                advice="fetch it, or name a branch that is",
            ) from None
        return printed.decode("ascii", "replace").strip()

    def _merge_base(self, commit: str, branch: str, tip: str) -> tuple[str, str]:
        if tip == commit:
            return commit, ""
        printed = self._workspace.git.run("merge-base", commit, tip, ok=(0, 1, 128)).decode("ascii", "replace")
        found = printed.split("\n", 1)[0].strip()
        if found:
            return found, ""
        return tip, f"no commit in common with {branch} is here (a shallow clone?), so its newest is the base"


def plan_of_base(workspace: Workspace) -> Plan | None:
    """The plan on the base of what is checked out; None where there is none, no commit, or no git.

    Raises what `PendingBase.result` raises.
    """
    if not workspace.is_git:
        return None
    printed = workspace.git.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}", ok=(0, 1))
    return PendingBase(workspace).result(printed.decode("ascii").strip(), None, None, changed=True).plan


def _tasks_of(branch: str) -> Iterator[str]:
    """Which tasks a branch may stand for: `refs/remotes/origin/main` for `main`; `a/b` for itself and for `b`."""
    for prefix, of_remote in (("refs/heads/", False), ("refs/remotes/", True)):
        if branch.startswith(prefix):
            name = branch.removeprefix(prefix)
            yield name.split("/", 1)[-1] if of_remote else name
            return
    if branch:
        yield branch
    if "/" in branch:
        yield branch.split("/", 1)[1]


def read_blob(workspace: Workspace, name: str) -> bytes | None:
    """The bytes of a blob that git knows under that name (`commit:path`); None where there is none."""
    printed = workspace.git.run("cat-file", "--batch", stdin=name.encode("utf-8", "surrogateescape") + b"\n")
    head, _, rest = printed.partition(b"\n")
    fields = head.split(b" ")
    if len(fields) != 3 or fields[1] != b"blob":
        return None
    return rest[: int(fields[2])]
