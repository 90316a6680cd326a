"""Where branches stand, read from git's own files: starting git for that takes longer than all that follows."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Refs = dict[str, tuple[str, str]]
    """Name -> (commit, the ref that it only stands for, else empty)."""

PACKED_LIMIT = 1 << 20
_SYMBOLIC = "ref: "


def read_refs(common_dir: str, names: Iterable[str]) -> Refs | None:
    """Those of the refs that exist; None where only git can tell (reftable, very many refs, anything unusual)."""
    if os.path.exists(os.path.join(common_dir, "reftable")):
        return None
    try:
        packed = _packed(os.path.join(common_dir, "packed-refs"))
        found: Refs = {}
        for name in names:
            value = _loose(common_dir, name) or packed.get(name, "")
            target = ""
            if value.startswith(_SYMBOLIC):
                target = value.removeprefix(_SYMBOLIC)
                value = _loose(common_dir, target) or packed.get(target, "")
            if value:
                found[name] = (_oid(value), target)
        return found
    except (OSError, ValueError):
        return None


def _loose(common_dir: str, name: str) -> str:
    if not name.startswith("refs/") or ".." in name.split("/"):
        raise ValueError(f"not a ref: {name}")
    try:
        with open(os.path.join(common_dir, name), encoding="ascii") as file:
            return file.read(1_024).rstrip()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""


def _packed(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(PACKED_LIMIT)
    except FileNotFoundError:
        return {}
    if len(text) == PACKED_LIMIT:
        raise ValueError("too many refs")
    lines = (line.partition(" ") for line in text.splitlines() if line[:1] not in ("#", "^"))
    return {name: oid for oid, _, name in lines}


def _oid(value: str) -> str:
    if len(value) not in (40, 64) or set(value) - set("0123456789abcdef"):
        raise ValueError(f"not an object id: {value}")
    return value
