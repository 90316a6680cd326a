"""What CI says about the change in front of it: which branch is the default one, and where the change goes.

Only names of branches are taken from here, each from a variable or file that the CI system itself writes.
"""

from __future__ import annotations

import json

from tallystick.model.frozen import Frozen, set_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from tallystick.pipeline import Pipeline

EVENT_LIMIT = 32 << 20
"""The largest event file that is read, in bytes."""
_BRANCH = "refs/heads/"


class Event(Frozen):
    """The event that started a pipeline run; every field may be empty."""

    __slots__ = FIELDS = ("default", "target", "branch", "queued")

    default: str
    """The repository's default branch."""
    target: str
    """The branch that a pull or merge request goes into."""
    branch: str
    """The branch that was pushed, or that the run was started for."""
    queued: bool
    """Whether a merge queue or merge train runs it: the change was reviewed and is about to be merged."""

    def __init__(self, default: str = "", target: str = "", branch: str = "", queued: bool = False) -> None:
        set_once(self, "default", default)
        set_once(self, "target", target)
        set_once(self, "branch", branch)
        set_once(self, "queued", queued)


def event_of(pipeline: Pipeline, environ: Mapping[str, str]) -> Event:
    """The event that started this pipeline run, as far as its system tells."""
    reader = _READERS.get(pipeline.system)
    return reader(environ) if reader else Event()


def _github(environ: Mapping[str, str]) -> Event:
    told = _event_file(environ.get("GITHUB_EVENT_PATH", ""))
    kind = environ.get("GITHUB_EVENT_NAME", "")
    branch = _without_prefix(environ.get("GITHUB_REF", ""))
    default = _text(told, "repository", "default_branch")
    if kind == "schedule":
        # A schedule always runs on the default branch, and its event names no repository.
        default = default or branch
    queued = kind == "merge_group"
    target = _text(told, "merge_group", "base_ref") if queued else environ.get("GITHUB_BASE_REF", "")
    target = target or _text(told, "pull_request", "base", "ref")
    return Event(default, target.removeprefix(_BRANCH), "" if target else branch, queued)


def _gitlab(environ: Mapping[str, str]) -> Event:
    return Event(
        environ.get("CI_DEFAULT_BRANCH", ""),
        environ.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", ""),
        environ.get("CI_COMMIT_BRANCH", ""),
        environ.get("CI_MERGE_REQUEST_EVENT_TYPE", "") == "merge_train",
    )


def _jenkins(environ: Mapping[str, str]) -> Event:
    target = environ.get("CHANGE_TARGET", "")
    return Event("", target, "" if target else environ.get("BRANCH_NAME", ""))


def _azure(environ: Mapping[str, str]) -> Event:
    target = environ.get("SYSTEM_PULLREQUEST_TARGETBRANCHNAME", "")
    target = target or environ.get("SYSTEM_PULLREQUEST_TARGETBRANCH", "").removeprefix(_BRANCH)
    return Event("", target, "" if target else _without_prefix(environ.get("BUILD_SOURCEBRANCH", "")))


def _buildkite(environ: Mapping[str, str]) -> Event:
    pulled = environ.get("BUILDKITE_PULL_REQUEST", "false") not in ("", "false")
    target = environ.get("BUILDKITE_PULL_REQUEST_BASE_BRANCH", "") if pulled else ""
    branch = "" if pulled or environ.get("BUILDKITE_TAG") else environ.get("BUILDKITE_BRANCH", "")
    return Event(environ.get("BUILDKITE_PIPELINE_DEFAULT_BRANCH", ""), target, branch)


def _bitbucket(environ: Mapping[str, str]) -> Event:
    target = environ.get("BITBUCKET_PR_DESTINATION_BRANCH", "")
    return Event("", target, "" if target else environ.get("BITBUCKET_BRANCH", ""))


def _circleci(environ: Mapping[str, str]) -> Event:
    return Event("", "", environ.get("CIRCLE_BRANCH", ""))


def _woodpecker(environ: Mapping[str, str]) -> Event:
    pulled = environ.get("CI_PIPELINE_EVENT", "").startswith("pull_request")
    target = environ.get("CI_COMMIT_TARGET_BRANCH", "") if pulled else ""
    branch = "" if pulled or environ.get("CI_COMMIT_TAG") else environ.get("CI_COMMIT_BRANCH", "")
    return Event(environ.get("CI_REPO_DEFAULT_BRANCH", ""), target, branch)


_READERS: dict[str, Callable[[Mapping[str, str]], Event]] = {
    "github": _github,
    "gitlab": _gitlab,
    "jenkins": _jenkins,
    "azure": _azure,
    "buildkite": _buildkite,
    "bitbucket": _bitbucket,
    "circleci": _circleci,
    "woodpecker": _woodpecker,
}


def _without_prefix(ref: str) -> str:
    """The branch that a full ref name is; empty for a tag or a pull request's own ref."""
    return ref.removeprefix(_BRANCH) if ref.startswith(_BRANCH) else ""


def _event_file(path: str) -> Any:
    """What the file of a GitHub event says; None if it cannot be read."""
    if not path:
        return None
    try:
        with open(path, "rb") as file:
            data = file.read(EVENT_LIMIT + 1)
        return json.loads(data) if len(data) <= EVENT_LIMIT else None
    except (OSError, ValueError, RecursionError):
        return None


def _text(value: Any, *names: str) -> str:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
