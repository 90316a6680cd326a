"""Which CI pipeline run this is, if it is one: what evidence recorded in it is known by."""

from __future__ import annotations

import os

from tallystick.model.frozen import Frozen, set_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

CI_VARIABLE = "TALLYSTICK_CI"
RUN_VARIABLE = "TALLYSTICK_RUN_ID"


class _System:
    """How one CI system names a pipeline run in the environment."""

    __slots__ = ("attempt", "marker", "name", "repository", "run")

    def __init__(self, name: str, marker: tuple[str, str], run: str, repository: tuple[str, ...], attempt: str = ""):
        self.name = name
        self.marker = marker
        """A variable and the start of its value that only this system sets."""
        self.run = run
        """The variable with the id of the pipeline run, which every job of it has."""
        self.repository = repository
        self.attempt = attempt
        """The variable that counts how often the whole run was started; empty if the system has none."""


# Jobs of Azure, Buildkite and Bitbucket count their own attempts: that number differs within one run.
_SYSTEMS = (
    _System(
        "github",
        ("GITHUB_ACTIONS", "true"),
        "GITHUB_RUN_ID",
        ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY"),
        "GITHUB_RUN_ATTEMPT",
    ),
    _System("woodpecker", ("CI", "woodpecker"), "CI_PIPELINE_NUMBER", ("CI_FORGE_URL", "CI_REPO")),
    _System("gitlab", ("GITLAB_CI", ""), "CI_PIPELINE_ID", ("CI_PROJECT_URL",)),
    _System("jenkins", ("JENKINS_URL", ""), "BUILD_TAG", ("JENKINS_URL", "JOB_NAME")),
    _System("azure", ("TF_BUILD", ""), "BUILD_BUILDID", ("SYSTEM_COLLECTIONURI", "BUILD_REPOSITORY_NAME")),
    _System(
        "buildkite",
        ("BUILDKITE", "true"),
        "BUILDKITE_BUILD_ID",
        ("BUILDKITE_ORGANIZATION_SLUG", "BUILDKITE_PIPELINE_SLUG"),
    ),
    _System(
        "circleci", ("CIRCLECI", "true"), "CIRCLE_WORKFLOW_ID", ("CIRCLE_PROJECT_USERNAME", "CIRCLE_PROJECT_REPONAME")
    ),
    _System("bitbucket", ("BITBUCKET_WORKSPACE", ""), "BITBUCKET_BUILD_NUMBER", ("BITBUCKET_REPO_FULL_NAME",)),
)
_PULL_REQUEST_MARKERS = {"github": "GITHUB_HEAD_REF"}
_TOLD_BY = (CI_VARIABLE, "CI", *(variable for one in _SYSTEMS for variable in (one.run, one.marker[0])))


class Pipeline(Frozen):
    """One run of a CI pipeline. Two jobs of it have equal values, and no other run has."""

    __slots__ = FIELDS = ("system", "repository", "run", "attempt")

    system: str
    """`github`, `gitlab`, `jenkins`, `azure`, `buildkite`, `circleci`, `bitbucket`, `woodpecker` or `other`."""
    repository: str
    run: str
    """The system's id of the run."""
    attempt: str
    """How often the run was started; empty if the system does not count that."""

    def __init__(self, system: str, repository: str = "", run: str = "", attempt: str = "") -> None:
        set_once(self, "system", system)
        set_once(self, "repository", repository)
        set_once(self, "run", run)
        set_once(self, "attempt", attempt)

    def as_dict(self) -> dict[str, str]:
        """What `details.run.pipeline` says of it; empty fields left out."""
        return {name: value for name in self.FIELDS if (value := getattr(self, name))}

    @property
    def folder(self) -> str:
        """A file name for the run: `RUN-ATTEMPT`, with a digest if the system's id cannot be part of a path."""
        name = f"{self.run}-{self.attempt or 1}"
        if name.replace("-", "").replace("_", "").isalnum() and name.isascii() and len(name) <= 64:
            return name
        from hashlib import sha256

        return f"{self.system}-{sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:24]}"


def pipeline_of(environ: Mapping[str, str]) -> Pipeline | None:
    """The pipeline run that this process is part of; None outside CI.

    `TALLYSTICK_CI` decides (`1` or `0`); else it is CI if a known system's variables are set. A bare `CI` is not
    enough. A run that nobody names (`TALLYSTICK_CI=1` without `TALLYSTICK_RUN_ID`) is this process alone.
    """
    said = environ.get(CI_VARIABLE, "")
    if said and said.lower() in ("0", "false", "no", "off"):
        return None
    system = _system(environ)
    if system is None:
        return Pipeline("other", run=environ.get(RUN_VARIABLE) or _this_process()) if said else None
    repository = "/".join(filter(None, (environ.get(name, "").rstrip("/") for name in system.repository)))
    run = environ.get(system.run) or environ.get(RUN_VARIABLE) or _this_process()
    return Pipeline(system.name, repository, run, environ.get(system.attempt, "") if system.attempt else "")


def _system(environ: Mapping[str, str]) -> _System | None:
    """The system whose run id is set, else the one that marked the environment as its own."""
    for system in _SYSTEMS:
        if environ.get(system.run) and _is_its_own(system, environ):
            return system
    for system in _SYSTEMS:
        variable, start = system.marker
        if environ.get(variable, "") and environ[variable].startswith(start):
            return system
        more = _PULL_REQUEST_MARKERS.get(system.name)
        if more and environ.get("CI") and environ.get(more):
            return system
    return None


def _is_its_own(system: _System, environ: Mapping[str, str]) -> bool:
    """Whether the variable with the run's id is that system's: others have some of these names, too."""
    if system.name == "gitlab":
        return environ.get("CI") != "woodpecker"
    if system.name == "jenkins":
        return bool(environ.get("JENKINS_URL")) or environ[system.run].startswith("jenkins-")
    return system.name != "woodpecker" or environ.get("CI") == "woodpecker"


def may_be_ci(environ: Mapping[str, str]) -> bool:
    """Whether it pays to ask `pipeline_of`, found out by few look-ups."""
    return any(map(environ.get, _TOLD_BY))


def says_ci(environ: Mapping[str, str]) -> bool:
    """Whether a variable says outright that this is CI, rather than naming a run alone."""
    return any(map(environ.get, ("CI", CI_VARIABLE, *(one.marker[0] for one in _SYSTEMS))))


def is_unnamed(environ: Mapping[str, str]) -> bool:
    """Whether it is CI and nothing names the run, so that no other process can be part of it."""
    pipeline = pipeline_of(environ)
    return pipeline is not None and pipeline.run == _this_process()


_token = ""


def _this_process() -> str:
    global _token
    if not _token:
        _token = f"process-{os.urandom(8).hex()}"
    return _token
