"""The content and environment in front of us, as criteria ask about them."""

from __future__ import annotations

from tallystick.capture.products import is_editors
from tallystick.errors import NotFoundError
from tallystick.gate.attempts import as_object, named_files
from tallystick.gate.patterns import uncovered, whole_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from typing import Any

    from tallystick.capture.products import Products
    from tallystick.gate.plan import Criterion, Environment
    from tallystick.gate.versions import VersionCommands
    from tallystick.workspace import Snapshot, Workspace
    from tallystick.workspace.changes import Change
    from tallystick.workspace.snapshot import State


def pathspecs(patterns: Sequence[str]) -> tuple[str, ...]:
    """The pathspecs as content is asked for them: none for the whole tree."""
    return () if whole_tree(patterns) else tuple(patterns)


OUTSIDE_KEPT = 256
"""How many files outside a run's inputs are kept that differ from the base; of more, nobody knows which they are."""


def files_outside(
    workspace: Workspace, tip: str, patterns: Sequence[str]
) -> Callable[[Snapshot], Mapping[str, State] | None]:
    """What tells of some content which files outside these inputs differ from the base's newest commit `tip`.

    It gives None if there is no base, or if there are more than `OUTSIDE_KEPT`.
    """

    def outside(snapshot: Snapshot) -> Mapping[str, State] | None:
        from tallystick.workspace.changes import changed_outside

        try:
            found = changed_outside(workspace, tip, snapshot, patterns) if tip else None
        except NotFoundError:
            return None
        return found if found is not None and len(found) <= OUTSIDE_KEPT else None

    return outside


class ContentInFront:
    """What the files are now, less what recorded runs left behind."""

    def __init__(self, workspace: Workspace, snapshot: Snapshot, products: Products, versions: VersionCommands) -> None:
        self.workspace = workspace
        self._versions = versions
        self.snapshot = snapshot
        self.left_out = products.left_out(snapshot)
        """What is no input while it is that: path -> blob ids."""
        self._digests: dict[tuple[str, ...], str] = {}
        self._environments: dict[Environment, dict[str, Any]] = {}
        self._earlier: dict[str, Snapshot] = {}
        self._changes: dict[tuple[int, tuple[str, ...]], list[Change] | None] = {}

    def forget_environments(self) -> None:
        """Look at the environment again the next time: what is run again is given that of its first run."""
        self._environments.clear()

    def digest(self, patterns: Sequence[str]) -> str:
        """The inputs digest of the files that the pathspecs match, products left out."""
        wanted = tuple(patterns)
        if wanted not in self._digests:
            self._digests[wanted] = self.snapshot.inputs_digest(wanted, without=self.left_out)
        return self._digests[wanted]

    def holds(self, inputs: str, patterns: Sequence[str], criterion: Criterion) -> bool | None:
        """Whether the criterion's inputs are what they were in evidence with these; None where nobody can tell.

        Evidence about other pathspecs decides only where those provably cover the criterion's.
        """
        wanted, had = pathspecs(criterion.inputs), tuple(patterns)
        if not inputs:
            return None
        if had == wanted:
            return inputs == self.digest(wanted)
        covered = not had or (wanted and not uncovered(wanted, had))
        if covered and inputs == self.digest(had):
            return True
        return None

    def environment(self, declared: Environment) -> dict[str, Any]:
        """The values here of what the plan declares; empty if it declares nothing.

        Versions whose commands are not run here (`not_asked`) are left out.
        """
        if not declared.as_dict():
            return {}
        if declared not in self._environments:
            from tallystick.capture.environment import observe_environment

            refused = self.not_asked(declared)
            self._environments[declared] = observe_environment(
                declared.variables,
                [command for command in declared.versions if command not in refused],
                platform=declared.platform,
                cwd=self.workspace.root,
            )
        return self._environments[declared]

    def not_asked(self, declared: Environment) -> tuple[str, ...]:
        """The version commands that are not run here, since the branch in front could have brought what they run."""
        return tuple(command for command in declared.versions if not self._versions.may_run(command))

    def take_environment_of(self, other: ContentInFront) -> None:
        """Take the environment for what it was found to be there: looking again may be slow."""
        self._environments = other._environments

    def changed(
        self, content: Mapping[str, Any], patterns: Sequence[str], left: Collection[str] = ()
    ) -> list[Change] | None:
        """Which inputs are not as in that evidence, products apart; None where nobody can name them all.

        That is so where the commit is gone, or where more had changed than was kept. `left` are paths that the run
        of that evidence left itself: whatever stood there before it was no input. `content` must outlive this.
        """
        key = (id(content), tuple(patterns))
        if key not in self._changes:
            self._changes[key] = self._compared(content, patterns, left)
        return self._changes[key]

    def _compared(
        self, content: Mapping[str, Any], patterns: Sequence[str], left: Collection[str]
    ) -> list[Change] | None:
        from tallystick.workspace import changed_paths

        then = (str(content.get("commit", "")), named_files(content.get("changes")))
        found = changed_paths(self.workspace, then, self.snapshot, pathspecs(patterns))
        if found is None or content.get("changes_left_out"):
            return None

        def counts(path: str) -> bool:
            if not self._no_input(path, self.snapshot.blob(path)):
                return True
            if path in left:
                return False
            if is_editors(path):
                return bool(self._then(path, then[0], {}))
            return not self._no_input(path, self._then(path, *then))

        return [part for change in found for part in _counted(change, counts)]

    def _no_input(self, path: str, blob: str) -> bool:
        return not blob or blob in self.left_out.get(path, ())

    def _then(self, path: str, commit: str, changes: Mapping[str, Any]) -> str:
        """The blob id that the path had in that evidence; empty where there was no such file."""
        if path in changes:
            return str(changes[path]).partition(" ")[0]
        if not commit:
            return ""
        if commit not in self._earlier:
            self._earlier[commit] = self.workspace.tree_snapshot(commit)
        return self._earlier[commit].blob(path)


def _counted(change: Change, counts: Callable[[str], bool]) -> Iterator[Change]:
    """What of a change concerns inputs. A product can look like the new name of a file that went away."""
    from tallystick.workspace import Change

    came, went = counts(change.path), bool(change.was) and counts(change.was)
    if came and (went or not change.was):
        yield change
    elif came:
        yield Change(change.path, "added")
    elif went:
        yield Change(change.was, "deleted")


def environment_difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first declared thing that is not as it was, in words; empty where all is the same."""
    for kind in ("variables", "versions"):
        values = now.get(kind, {})
        had = as_object(then.get(kind))
        for name, value in values.items():
            if name not in had:
                return f"{name} was not recorded"
            if had[name] != value:
                return f"{name} was {_shown(had[name])}, is {_shown(value)}"
    if now.get("platform") != then.get("platform") and now.get("platform"):
        return f"the platform was {_shown(then.get('platform'))}, is {_shown(now['platform'])}"
    return ""


def _shown(value: Any) -> str:
    return "not set" if value is None else repr(value)
