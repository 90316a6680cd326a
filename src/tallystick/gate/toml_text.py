"""Writing TOML, so that any text comes back as it was. Reading it is `tomllib`'s."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_INLINE_LIMIT = 100


def string(text: str) -> str:
    """A basic string; what does not print is escaped. A lone surrogate, which TOML cannot hold, is U+FFFD."""
    return '"' + "".join(_SHORT_ESCAPES.get(char) or _escaped(char) for char in text) + '"'


def pattern(text: str) -> str:
    """A literal string where the text allows one, so that a regular expression stays readable."""
    return f"'{text}'" if "'" not in text and text.isprintable() else string(text)


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def key(part: str) -> str:
    """One part of a key, quoted where it has to be."""
    return part if _BARE_KEY.fullmatch(part) else string(part)


def dotted(path: Iterable[str | int]) -> str:
    """A key path as it would be written; a position in an array as `[0]`."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            shown += f".{key(part)}" if shown else key(part)
    return shown


def value(thing: object) -> str:
    """A string, boolean, integer, list or mapping as an inline value."""
    if isinstance(thing, bool):
        return "true" if thing else "false"
    if isinstance(thing, int):
        return str(int(thing))
    if isinstance(thing, str):
        return string(thing)
    if isinstance(thing, (list, tuple)):
        return "[" + ", ".join(value(item) for item in thing) + "]"
    if isinstance(thing, dict):
        pairs = ", ".join(f"{key(name)} = {value(item)}" for name, item in thing.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    raise TypeError(f"{type(thing).__name__} has no place in a plan")


def pair(name: str, thing: object) -> str:
    """`name = value`, a list that is too wide for one line with one item a line."""
    line = f"{key(name)} = {value(thing)}"
    if len(line) <= _INLINE_LIMIT or not isinstance(thing, (list, tuple)):
        return line
    return "\n".join([f"{key(name)} = [", *(f"  {value(item)}," for item in thing), "]"])


def table(path: Iterable[str], fields: Mapping[str, object]) -> str:
    """`[path]` and a line for each field. Ends with a newline."""
    return "\n".join([f"[{dotted(path)}]", *(pair(name, thing) for name, thing in fields.items())]) + "\n"


def comment(text: str, *, width: int = 96) -> str:
    """The text as comment lines, wrapped, whatever TOML forbids there escaped. Ends with a newline."""
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line = "#"
        for word in paragraph.split():
            if len(line) + 1 + len(word) > width and line != "#":
                lines.append(line)
                line = "#"
            line += " " + word
        lines.append(line)
    return "".join(_commentable(line) + "\n" for line in lines)


def _commentable(line: str) -> str:
    return "".join(char if char.isprintable() else _escaped(char) for char in line)
