"""Which names are taken, and where."""

from __future__ import annotations

from tallystick.errors import InputError

_REFUSED = r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff]"
ID_LIMIT = 512


def require_id(value: str, what: str) -> str:
    """The id as given, where it can be one of ours: 1 to 512 bytes, no white space or control characters.

    Raises InputError naming `what` otherwise, and for one that starts with `-`.
    """
    if not isinstance(value, str):
        raise InputError(f"{what} is {type(value).__name__}, not text")
    if not value:
        raise InputError(f"{what} is empty")
    if value.startswith("-"):
        raise InputError(f"{what} {value!r} starts with a dash", advice="options come before it, ids do not")
    if _has_refused(value):
        raise InputError(f"{what} {value!r} has white space or a control character")
    if len(value.encode()) > ID_LIMIT:
        raise InputError(f"{what} is {len(value.encode())} bytes, over {ID_LIMIT}")
    return value


def _has_refused(value: str) -> bool:
    if value.isascii():
        return " " in value or not value.isprintable()
    import re  # compiling the pattern takes a millisecond, which most names need not cost

    return re.search(_REFUSED, value) is not None


def require_task_id(value: str) -> str:
    """A task id as sessions are known by: any text that is not empty, without NUL, up to 512 bytes.

    Raises InputError otherwise.
    """
    if not isinstance(value, str):
        raise InputError(f"the task id is {type(value).__name__}, not text")
    if not value:
        raise InputError("the task id is empty", advice="name the task with -t")
    if "\0" in value or value.encode("utf-8", "replace").decode() != value:
        raise InputError(f"the task id {value!r} has a NUL character or a lone surrogate")
    if len(value.encode()) > ID_LIMIT:
        raise InputError(f"the task id is {len(value.encode())} bytes, over {ID_LIMIT}")
    return value
