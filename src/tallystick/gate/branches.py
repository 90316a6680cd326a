"""Names of branches: which refs they stand for, and which of them a plan's patterns match."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

REMOTE = "refs/remotes/origin/"
LOCAL = "refs/heads/"
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|^[./-]|[./]$|\.lock(/|$)")


def is_ref_name(name: str) -> bool:
    """Whether git takes this as the name of a branch or ref (git-check-ref-format(1))."""
    return bool(name) and name != "@" and not _FORBIDDEN.search(name)


def is_pattern(name: str) -> bool:
    """Whether a plan's entry may match several branches."""
    return "*" in name or "?" in name


def remote_ref(name: str) -> str:
    """The full name of the remote-tracking ref that a branch's name stands for: one of `origin`.

    `origin/x` is branch `x` of `origin`, too. A full ref name stands for itself.
    """
    return name if name.startswith("refs/") else f"refs/remotes/{name}" if name.startswith("origin/") else REMOTE + name


def local_refs(name: str) -> tuple[str, ...]:
    """The full names that a branch's name can stand for at home, the first one first."""
    if name.startswith(("refs/", "origin/")):
        return (remote_ref(name),)
    other = (f"refs/remotes/{name}",) if "/" in name else ()
    return (*other, remote_ref(name), LOCAL + name)


def branch_of(ref: str) -> str:
    """The branch that a full ref name is, without the remote it is of."""
    if ref.startswith(LOCAL):
        return ref.removeprefix(LOCAL)
    rest = ref.removeprefix("refs/remotes/")
    return rest.split("/", 1)[-1] if rest != ref else ref


def matches(branch: str, patterns: Iterable[str]) -> bool:
    """Whether one of a plan's entries names the branch: `*` matches within a part of the name, `**` across parts."""
    return any(_expression(pattern).fullmatch(branch) for pattern in patterns)


def _expression(pattern: str) -> re.Pattern[str]:
    plain = branch_of(pattern) if pattern.startswith("refs/") else pattern.removeprefix("origin/")
    wild = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(wild.get(part) or re.escape(part) for part in re.split(r"(\*\*|[*?])", plain)))
