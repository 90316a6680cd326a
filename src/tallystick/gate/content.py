"""The content and environment in front of us, as criteria ask about them."""

from __future__ import annotations

from tallystick.gate.attempts import as_object
from tallystick.gate.patterns import uncovered, whole_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from tallystick.gate.plan import Criterion, Environment
    from tallystick.workspace import Snapshot, Workspace
    from tallystick.workspace.changes import Change


def pathspecs(patterns: Sequence[str]) -> tuple[str, ...]:
    """The pathspecs as content is asked for them: none for the whole tree."""
    return () if whole_tree(patterns) else tuple(patterns)


class ContentInFront:
    """What the files are now, less what recorded runs left behind."""

    def __init__(self, workspace: Workspace, snapshot: Snapshot, products: Mapping[str, Sequence[str]]) -> None:
        self.workspace = workspace
        self.snapshot = snapshot
        self.products = products
        self._digests: dict[tuple[str, ...], str] = {}
        self._environments: dict[Environment, dict[str, Any]] = {}

    def digest(self, patterns: Sequence[str]) -> str:
        """The inputs digest of the files that the pathspecs match, products left out."""
        wanted = tuple(patterns)
        if wanted not in self._digests:
            self._digests[wanted] = self.snapshot.inputs_digest(wanted, without=self.products)
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
        """The values here of what the plan declares; empty where it declares nothing."""
        if not declared.as_dict():
            return {}
        if declared not in self._environments:
            from tallystick.capture.environment import observe_environment

            self._environments[declared] = observe_environment(
                declared.variables, declared.versions, platform=declared.platform, cwd=self.workspace.root
            )
        return self._environments[declared]

    def changed(self, content: Mapping[str, Any], patterns: Sequence[str]) -> list[Change] | None:
        """Which files that the pathspecs match are not as in that evidence; None where the commit is gone."""
        from tallystick.workspace import changed_paths

        then = (str(content.get("commit", "")), as_object(content.get("changes")))
        found = changed_paths(self.workspace, then, self.snapshot, pathspecs(patterns))
        if found is None:
            return None
        return [change for change in found if not self._is_product(change.path)]

    def _is_product(self, path: str) -> bool:
        left = self.products.get(path, ())
        return bool(left) and self.snapshot.blob(path) in ("", *left)


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
