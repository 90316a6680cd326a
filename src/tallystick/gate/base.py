"""The base: the protected branch whose plan judges, and the commit at which the work left it.

The plan, `[keys]` and `[gate]` come from the branch's newest commit. The merge base only tells whose change something
is. In CI the branch is the one that the CI system or an option names, by its full ref name, and nothing else will do;
elsewhere it is looked for, and a verdict without one is advisory.
"""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.gate.branches import (
    REMOTE,
    branch_of,
    is_pattern,
    is_ref_name,
    local_refs,
    matches,
    remote_ref,
)
from tallystick.gate.plan import PLAN_FILE, Plan, read_plan
from tallystick.gate.refs import read_refs
from tallystick.model.frozen import Frozen, set_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tallystick.gate.event import Event
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
_SYMBOLIC = ("refs/remotes/origin/HEAD", "refs/remotes/upstream/HEAD")
"""What a clone sets to the remote's default branch. A branch of that name, which anybody can push, is another thing."""
_SYSTEMS_ADVICE = "name the default branch: --base BRANCH (base: of the action, TALLYSTICK_BASE)"


class BaseRules(Frozen):
    """How the base is found."""

    __slots__ = FIELDS = ("event", "named", "allow_no_plan")

    event: Event | None
    """What CI says of the change; None outside CI."""
    named: str
    """The default branch as somebody named it; empty if nobody did."""
    allow_no_plan: bool
    """Whether a base without a plan is taken in CI, for an advisory verdict."""

    def __init__(self, event: Event | None = None, named: str = "", allow_no_plan: bool = False) -> None:
        set_once(self, "event", event)
        set_once(self, "named", named)
        set_once(self, "allow_no_plan", allow_no_plan)


class Base(Frozen):
    """The base that the content in front of us is judged by."""

    __slots__ = FIELDS = ("commit", "branch", "plan", "word", "tasks", "tip", "before", "reviewed")

    commit: str
    """The merge base; empty if there is no commit yet, and outside git."""
    branch: str
    """The full ref name of the protected branch; empty if there is none."""
    plan: Plan | None
    """The plan at the protected branch's newest commit; None if it has none."""
    word: str
    """What a person should know about how it was found; may be empty."""
    tasks: tuple[str, ...]
    """The tasks whose name may be the branch's: their sessions hold what was shown on it."""
    tip: str
    """The newest commit of the protected branch; the merge base itself if there is no such branch."""
    before: Plan | None
    """The plan at the merge base; None if it has none."""
    reviewed: bool
    """Whether CI runs this for the protected branch itself or for a merge queue, and not for a proposed change."""

    def __init__(
        self,
        commit: str = "",
        branch: str = "",
        plan: Plan | None = None,
        word: str = "",
        tasks: tuple[str, ...] = (),
        *,
        tip: str = "",
        before: Plan | None = None,
        reviewed: bool = False,
    ) -> None:
        set_once(self, "commit", commit)
        set_once(self, "branch", branch)
        set_once(self, "plan", plan)
        set_once(self, "word", word)
        set_once(self, "tasks", tasks)
        set_once(self, "tip", tip)
        set_once(self, "before", before)
        set_once(self, "reviewed", reviewed)

    @property
    def protected_tip(self) -> str:
        """The newest commit of the protected branch; empty if there is none."""
        return self.tip if self.branch else ""


class PendingBase:
    """The search for the base, begun in the background."""

    def __init__(self, workspace: Workspace, rules: BaseRules | None = None) -> None:
        self._workspace = workspace
        self._rules = rules or BaseRules()
        self._refs: Refs | None = None
        self._asked: Child | None = None
        if workspace.is_git:
            self._refs = read_refs(workspace.repository.location.common_dir, self._names())
            if self._refs is None:
                self._asked = self._ask(self._names())

    def discard(self) -> None:
        """Give it up."""
        if self._asked is not None:
            self._asked.discard()

    def result(self, commit: str, tree_plan: Plan | None, tree_data: bytes | None, *, changed: bool) -> Base:
        """The base for content that stands on `commit`, with the work tree's own plan, as it is read and as bytes.

        `changed`: whether that is not the commit's. Raises InputError if the protected branch is not known or not
        here, or has no plan though it is CI; PlanError for a base's plan that cannot be read.
        """
        if self._asked is not None:
            self._refs, self._asked = _parsed(self._asked), None
        plans = _Plans(self._workspace, commit, tree_plan, tree_data, changed=changed)
        if self._rules.event is not None:
            return self._in_ci(commit, plans)
        if self._refs is None or not commit:
            return Base()
        return self._elsewhere(commit, plans)

    # --- in CI

    def _in_ci(self, commit: str, plans: _Plans) -> Base:
        event = self._rules.event
        assert event is not None, "it is CI"
        if not self._workspace.is_git or not commit:
            raise InputError("there is no commit here to judge", where=self._workspace.root, advice="check one out")
        branch = self._default()
        tip = self._tip(branch)
        if not tip:
            raise self._missing(branch)
        plan = plans.at(tip)
        wanted = event.target or event.branch
        if wanted and wanted != branch_of(branch) and plan is not None and matches(wanted, plan.gate.base):
            branch = REMOTE + wanted
            tip = self._tip(branch)
            if not tip:
                raise self._missing(branch)
            plan = plans.at(tip)
        if plan is None and not self._rules.allow_no_plan:
            raise InputError(
                f"the base has no {PLAN_FILE}, so nothing but the change itself would say what to show",
                where=branch,
                advice="merge a plan first, or judge for advice alone: --allow-no-plan-on-base",
            )
        found, word = self._merge_base(commit, branch, tip)
        reviewed = event.queued or (not event.target and event.branch == branch_of(branch) and found == commit)
        tasks = (branch_of(branch),)
        return Base(found, branch, plan, word, tasks, tip=tip, before=plans.at(found), reviewed=reviewed)

    def _default(self) -> str:
        """The full name of the default branch. Raises InputError if nothing says which it is."""
        rules, event = self._rules, self._rules.event
        if rules.named:
            ref = remote_ref(rules.named)
            if not is_ref_name(rules.named) or not ref.startswith("refs/remotes/"):
                raise InputError(f"{rules.named!r} is not a branch of a remote", where="--base", advice="--base main")
            return ref
        if event is not None and is_ref_name(event.default):
            return REMOTE + event.default
        head = (self._refs or {}).get(_SYMBOLIC[0])
        if head is not None and head[1].startswith(REMOTE):
            return head[1]
        raise InputError("nothing here says which branch is the default one", where="base", advice=_SYSTEMS_ADVICE)

    @staticmethod
    def _missing(ref: str) -> InputError:
        name = branch_of(ref)
        return InputError(
            f"the protected branch {name!r} is not here",
            where="base",
            advice=f"git fetch origin '+refs/heads/{name}:{ref}' (fetch-depth: 0), or name another: --base BRANCH",
        )

    # --- elsewhere

    def _elsewhere(self, commit: str, plans: _Plans) -> Base:
        refs = self._refs or {}
        named = self._rules.named
        if named:
            ref = next((ref for ref in local_refs(named) if self._tip(ref)), "") if is_ref_name(named) else ""
            if not ref:
                raise InputError(f"the branch {named!r} is not here", where="--base", advice="fetch it")
            return self._on(commit, plans, ref, self._tip(ref))
        usable = [name for name in _DEFAULTS if name in refs and (name not in _SYMBOLIC or refs[name][1])]
        if not usable:
            word = "no protected branch is here, so the commit that is checked out is its own base"
            plan = plans.at(commit)
            found = Base(commit, "", plan, word, tip=commit, before=plan)
        else:
            tip, target = refs[usable[0]]
            found = self._on(commit, plans, target or usable[0], tip)
        asked = (found.plan or plans.tree or Plan()).gate.base
        return self._nearest(commit, plans, asked, found) if asked else found

    def _nearest(self, commit: str, plans: _Plans, asked: Sequence[str], default: Base) -> Base:
        """The base of the protected branch that the work left last: the default one, or one that the plan names."""
        if len(asked) == 1 and not is_pattern(asked[0]):
            names = local_refs(asked[0])
            if default.branch in names:
                return default
            ref = next((ref for ref in names if self._tip(ref)), "")
            if not ref:
                raise InputError(
                    f"the protected branch {asked[0]!r} is not here",
                    where=f"{PLAN_FILE}: gate.base",
                    advice="fetch it, or name a branch that is",
                )
            return self._on(commit, plans, ref, self._tip(ref))
        found = [default] if default.branch else []
        for ref, (tip, _) in sorted(self._of_remote().items()):
            if ref != default.branch and matches(branch_of(ref), asked):
                found.append(self._on(commit, plans, ref, tip))
        return min(found, key=lambda base: self._distance(base.commit, commit), default=default)

    def _distance(self, base: str, commit: str) -> int:
        return 0 if base == commit else int(self._workspace.git.run("rev-list", "--count", f"{base}..{commit}"))

    def _on(self, commit: str, plans: _Plans, branch: str, tip: str) -> Base:
        """The base if that is the protected branch."""
        found, word = self._merge_base(commit, branch, tip)
        plan, before = plans.both(tip, found)
        return Base(found, branch, plan, word, (branch_of(branch),), tip=tip, before=before)

    # --- refs

    def _names(self) -> tuple[str, ...]:
        """The refs that will be needed for certain."""
        rules = self._rules
        if rules.event is None:
            return _DEFAULTS
        events = (rules.event.default, rules.event.target, rules.event.branch)
        return (_SYMBOLIC[0], *(REMOTE + name for name in events if is_ref_name(name)))

    def _tip(self, ref: str) -> str:
        """The commit that a ref leads to; empty if there is no such ref."""
        if self._refs is None or ref not in self._refs:
            found = read_refs(self._workspace.repository.location.common_dir, (ref,))
            self._refs = {**(self._refs or {}), **(_parsed(self._ask((ref,))) if found is None else found)}
        return self._refs.get(ref, ("", ""))[0]

    def _of_remote(self) -> Refs:
        return {ref: value for ref, value in _parsed(self._ask((REMOTE,))).items() if ref not in _SYMBOLIC}

    def _ask(self, names: Iterable[str]) -> Child:
        return self._workspace.git.start("for-each-ref", "--format=%(refname) %(objectname) %(symref)", *names)

    def _merge_base(self, commit: str, branch: str, tip: str) -> tuple[str, str]:
        if tip == commit:
            return commit, ""
        asked = ("merge-base", "--all", commit, tip)
        found = self._workspace.git.run(*asked, ok=(0, 1, 128)).decode("ascii", "replace").split()
        if len(found) == 1:
            return found[0], ""
        why = "no commit in common with {0} is here (a shallow clone?)"
        if found:
            # The author chose the merges, and with them which of the two would tell what is his.
            why = "it was merged with {0} crosswise, so no single commit is the merge base (rebase)"
        return tip, f"{why.format(branch)}, so its newest is the base"


class _Plans:
    """The plans at commits, each read once; one that is the work tree's own is not read again."""

    def __init__(
        self, workspace: Workspace, commit: str, tree: Plan | None, tree_data: bytes | None, *, changed: bool
    ) -> None:
        self._workspace = workspace
        self.tree = tree
        self._tree_data = tree_data
        self._known: dict[str, Plan | None] = {} if changed else {commit: tree}

    def at(self, commit: str) -> Plan | None:
        """The plan at the commit; None if it has none. Raises PlanError."""
        return self.both(commit, commit)[0]

    def both(self, one: str, other: str) -> tuple[Plan | None, Plan | None]:
        """The plans at two commits. Raises PlanError."""
        asked = [commit for commit in dict.fromkeys((one, other)) if commit not in self._known]
        blobs = read_blobs(self._workspace, [f"{commit}:{PLAN_FILE}" for commit in asked]) if asked else []
        for commit, data in zip(asked, blobs, strict=True):
            if data is None:
                self._known[commit] = None
            elif data == self._tree_data:
                self._known[commit] = self.tree
            else:
                self._known[commit] = read_plan(data, where=f"{PLAN_FILE} of {commit[:12]}")
        return self._known[one], self._known[other]


def base_of(workspace: Workspace, rules: BaseRules) -> Base:
    """The base of what is checked out. Raises what `PendingBase.result` raises."""
    commit = ""
    if workspace.is_git:
        printed = workspace.git.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}", ok=(0, 1))
        commit = printed.decode("ascii").strip()
    return PendingBase(workspace, rules).result(commit, None, None, changed=True)


def read_blobs(workspace: Workspace, names: Sequence[str]) -> list[bytes | None]:
    """The bytes of blobs that git knows under these names (`commit:path`); None for each that there is not."""
    asked = "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
    printed = workspace.git.run("cat-file", "--batch", stdin=asked)
    found: list[bytes | None] = []
    for _ in names:
        head, _, rest = printed.partition(b"\n")
        fields = head.split(b" ")
        if len(fields) == 3 and fields[2].isdigit():
            size = int(fields[2])
            found.append(rest[:size] if fields[1] == b"blob" else None)
            printed = rest[size + 1 :]
        else:
            found.append(None)
            printed = rest
    return found


def _parsed(asked: Child) -> Refs:
    printed = asked.result().decode("utf-8", "replace").splitlines()
    return {name: (oid, target) for name, oid, target in (line.split(" ") for line in printed)}
