"""What the commands that we start inherit of our environment."""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.stores.postgres_url import SCHEMES, without_secrets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SIGNING_KEY = "TALLYSTICK_SIGNING_KEY"
LEDGER = "TALLYSTICK_LEDGER"
INSIDE = "TALLYSTICK_INSIDE_RUN"
"""Set for what `notch` runs: a `notch` in there records, and never judges."""

# What `git rev-parse --local-env-vars` names, in any version from 2.25 on: a hook's variables would make the command
# work on the repository that the hook was called in.
GIT_LOCAL = frozenset(
    (
        "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS",
        "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_NO_REPLACE_OBJECTS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    )
)  # fmt: skip
# With these a command could sign, publish, or set the results of the CI step that it runs in.
_CI_STEP = frozenset(
    (
        "GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE", "GITHUB_STEP_SUMMARY",
        "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL",
    )
)  # fmt: skip
NOT_INHERITED = GIT_LOCAL | _CI_STEP | {SIGNING_KEY}


def child_environment(environ: Mapping[str, str], keep: Collection[str] = ()) -> dict[str, str]:
    """The environment for a command of the user's: ours without what is not its business.

    `keep` names variables that stay all the same, but never the signing key.
    """
    dropped = NOT_INHERITED.difference(keep) | {SIGNING_KEY}
    found = {name: value for name, value in environ.items() if name not in dropped}
    if LEDGER in found and LEDGER not in keep and holds_password(found[LEDGER]):
        del found[LEDGER]
    return found


def without_our_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for git and other helpers of ours, which may run filters and hooks of the user's."""
    dropped = _CI_STEP | {SIGNING_KEY}
    found = {name: value for name, value in environ.items() if name not in dropped}
    if LEDGER in found and holds_password(found[LEDGER]):
        del found[LEDGER]
    return found


def holds_password(url: str) -> bool:
    """Whether a ledger's URL has a password in it; one that cannot be read may have."""
    if not url.startswith(SCHEMES):
        return False
    try:
        return bool(without_secrets(url)[1])
    except InputError:
        return True
