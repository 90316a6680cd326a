"""JSON as tallystick writes and takes it: compact, UTF-8, strict."""

from __future__ import annotations

import json
from json.encoder import encode_basestring as quote

from tallystick.errors import InputError
from tallystick.model.text import clean_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["MAX_DEPTH", "SAFE_INTEGER", "checked", "compact", "loads", "quote"]

MAX_DEPTH = 64
SAFE_INTEGER = 2**53
_WIDE_INTEGER = 2**63


def compact(value: Any) -> bytes:
    """The value as compact JSON in UTF-8, keys in byte order. It must have come from `checked`."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode("utf-8")


def checked(value: Any, where: str, *, wide: str = "") -> Any:
    """A copy that can be stored and read back the same: JSON types alone, lone surrogates replaced.

    Integers reach to 2^53, under the key `wide` of the outermost object to 64 bits. Raises InputError naming
    `where` for anything else: NaN, infinities, other types, keys that are not text, nesting beyond 64.
    """
    if wide and isinstance(value, dict) and wide in value:
        rest = {key: item for key, item in value.items() if key != wide}
        return {
            **_checked(rest, where, 1, SAFE_INTEGER),
            wide: _checked(value[wide], f"{where}.{wide}", 2, _WIDE_INTEGER),
        }
    return _checked(value, where, 1, SAFE_INTEGER)


def _checked(value: Any, where: str, depth: int, limit: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return clean_text(str(value))
    if isinstance(value, int):
        if not -limit <= value <= limit - (limit == _WIDE_INTEGER):
            raise InputError("integer too large to be read the same everywhere", where=where, advice="give it as text")
        return int(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise InputError("NaN and infinities cannot be recorded", where=where)
        return float(value)
    if depth > MAX_DEPTH:
        raise InputError(f"nested deeper than {MAX_DEPTH} levels", where=where)
    if isinstance(value, (list, tuple)):
        return [_checked(item, f"{where}[{n}]", depth + 1, limit) for n, item in enumerate(value)]
    if isinstance(value, dict):
        result: dict[str, Any] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise InputError(f"a key is {type(key).__name__}, not text", where=where)
            clean = clean_text(key)
            if clean in result:
                raise InputError(f"duplicate key {clean!r}", where=where)
            result[clean] = _checked(item, f"{where}.{clean}", depth + 1, limit)
        return result
    raise InputError(f"{type(value).__name__} cannot be recorded as JSON", where=where)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise InputError(f"duplicate key {key!r}")
            seen.add(key)
    return result


def _no_constant(name: str) -> Any:
    raise InputError(f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise InputError("integer too large to be read the same everywhere", advice="give it as text")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise InputError("number too large to be read the same everywhere", advice="give it as text")
    return value


def loads(data: bytes | str, where: str) -> Any:
    """The value of a JSON text given by a person or a program.

    Raises InputError naming `where`, line and column for malformed JSON, duplicate keys, NaN and infinities,
    integers beyond 64 bits and nesting that cannot be read.
    """
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        return json.loads(
            text,
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_float,
        )
    except json.JSONDecodeError as error:
        raise InputError(
            f"not JSON: {error.msg.removesuffix(' at')} at line {error.lineno} column {error.colno}", where=where
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 at byte {error.start}", where=where) from None
    except RecursionError:
        raise InputError("nested too deeply", where=where) from None
    except InputError as error:
        raise InputError(error.what, where=where, advice=error.advice) from None
