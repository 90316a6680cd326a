"""Git's `:(glob)` pathspecs, matched here exactly as git matches them.

`git ls-tree` knows no pathspec magic, and one `git ls-files` for each criterion would read a large index again
and again. So a pattern is translated once, into a span of sorted paths and, where that does not decide, a
regular expression. The rules (gitglossary, "pathspec", and git's own source where the manual is silent):

- a pattern matches the path it spells, wildcards or not, and all below it if that is a folder;
- `*`, `?` and `[class]` do not match `/`; a backslash makes the next character plain;
- `**` between slashes, or at an end, matches any number of folders, none included; elsewhere it is a `*`;
- what stands before the first wildcard is compared literally and the rest starts afresh, so that `ab**` matches
  across folders although no slash stands before it.
"""

from __future__ import annotations

import re

from tallystick.errors import InputError
from tallystick.workspace.paths import path_bytes

_SPECIAL = b"*?[\\"
_SLASH = 0x2F
_NEVER = b"(?!)"
_SPACE_AND_TAB = (9, 32)
_CLASSES: dict[bytes, tuple[int, ...]] = {
    b"alnum": (*range(48, 58), *range(65, 91), *range(97, 123)),
    b"alpha": (*range(65, 91), *range(97, 123)),
    b"blank": _SPACE_AND_TAB,
    b"cntrl": (*range(1, 32), 127),
    b"digit": (*range(48, 58),),
    b"graph": (*range(33, 127),),
    b"lower": (*range(97, 123),),
    b"print": (*range(32, 127),),
    b"punct": (*range(33, 48), *range(58, 65), *range(91, 97), *range(123, 127)),
    b"space": (*_SPACE_AND_TAB, 10, 13),
    b"upper": (*range(65, 91),),
    b"xdigit": (*range(48, 58), *range(65, 71), *range(97, 103)),
}


class Pattern:
    """One pathspec. All that it matches beside what it spells begins with `prefix`.

    `spelled` is the pattern as bytes. What it matches by its wildcards also ends with `suffix`. `open` says that it
    matches everything that begins with `prefix`, `plain` that it has no wildcard.
    """

    __slots__ = ("open", "plain", "prefix", "spelled", "suffix")

    def __init__(self, text: str) -> None:
        """Raises InputError where git would refuse the pattern or read it otherwise than it is written."""
        _check(text)
        self.spelled = path_bytes(text)
        beginning = next((at for at, byte in enumerate(self.spelled) if byte in _SPECIAL), len(self.spelled))
        self.prefix = self.spelled[:beginning]
        self.plain = beginning == len(self.spelled)
        self.open = self.spelled[beginning:] == b"**"
        end = 1 + max(self.spelled.rfind(byte) for byte in (b"*", b"?", b"[", b"]", b"\\"))
        # `**/x` matches `x` too.
        self.suffix = self.spelled[end:].removeprefix(b"/")

    def expression(self) -> bytes:
        """A regular expression, for DOTALL, that a path it matches matches fully."""
        spelled = re.escape(self.spelled)
        forms = [spelled, spelled + (b".*" if self.spelled.endswith(b"/") else b"/.*")]
        if not self.plain:
            forms.append(re.escape(self.prefix) + _translated(self.spelled[len(self.prefix) :]))
        return b"|".join(forms)


def _check(text: str) -> None:
    parts = text.split("/")
    if not text:
        problem, advice = "an empty pattern", 'write "**" for the whole tree'
    elif "\0" in text:
        problem, advice = "a pattern with a NUL", "no path has one"
    elif text.startswith("/"):
        problem, advice = "a pattern starts at the root of the work tree", f'write "{text.lstrip("/")}"'
    elif "." in parts or ".." in parts or "" in parts[:-1]:
        problem, advice = "a pattern has no “.”, no “..” and no empty part", 'write "**" for the whole tree'
    else:
        return
    raise InputError(problem, where=text, advice=advice)


def _translated(glob: bytes) -> bytes:
    """What stands from the first wildcard on, as a regular expression.

    A `*` that another one follows before the next slash need not give back what it took (the later one can take
    the rest), hence the atomic groups: no pattern takes exponential time.
    """
    done: list[bytes] = []
    chunk: list[bytes] | None = None  # what follows an open `*` in the same folder
    place = 0
    while place < len(glob):
        byte = glob[place]
        if byte == 0x2A:
            folders, after = _stars(glob, place)
            if chunk is not None:
                done.append(b"(?>[^/]*?%b)" % b"".join(chunk) if not folders else b"[^/]*" + b"".join(chunk))
            chunk = None if folders else []
            done.append(folders)
            place = after
            continue
        if byte == 0x5B:
            expression, place = _class(glob, place)
        elif byte == 0x3F:
            expression, place = b"[^/]", place + 1
        elif byte == 0x5C:
            expression = re.escape(glob[place + 1 : place + 2]) if place + 1 < len(glob) else _NEVER
            place += 2
        else:
            expression, place = re.escape(glob[place : place + 1]), place + 1
        if expression == b"/" and chunk is not None:
            done.append(b"[^/]*" + b"".join(chunk))
            chunk = None
        (done if chunk is None else chunk).append(expression)
    if chunk is not None:
        done.append(b"[^/]*" + b"".join(chunk))
    return b"".join(done)


def _stars(glob: bytes, place: int) -> tuple[bytes, int]:
    """What a run of stars matches if it stands for folders, else nothing; and the place after what it covers."""
    after = place
    while glob[after : after + 1] == b"*":
        after += 1
    if after - place > 1 and (place == 0 or glob[place - 1] == _SLASH):
        if after == len(glob) or glob[after : after + 2] == b"\\/":
            return b".*", after
        if glob[after] == _SLASH:
            return b"(?:.*/)?", after + 1
    return b"", after


def _class(glob: bytes, place: int) -> tuple[bytes, int]:
    """The expression of the `[class]` at `place`, and the place after it; one that never ends matches nothing."""
    try:
        members, negated, after = _members(glob, place)
    except IndexError:
        return _NEVER, len(glob)
    wanted = (set(range(1, 256)) - members if negated else members) - {_SLASH, 0}
    if not wanted:
        return _NEVER, after
    return b"[%b]" % b"".join(b"\\x%02x" % byte for byte in sorted(wanted)), after


def _members(glob: bytes, place: int) -> tuple[set[int], bool, int]:
    """The bytes in a class, whether it is negated, the place after it. Raises IndexError: it never matches."""
    place += 1
    negated = glob[place] in b"!^"
    place += negated
    found: set[int] = set()
    before = 0  # the character that a range would start with
    while True:
        byte = glob[place]
        if byte == 0x5C:
            place += 1
            byte = glob[place]
            found.add(byte)
        elif byte == 0x2D and before and glob[place + 1 : place + 2] not in (b"", b"]"):
            place += 1
            place += glob[place] == 0x5C
            found.update(range(before, glob[place] + 1))
            byte = 0
        elif glob[place : place + 2] == b"[:":
            end = glob.index(b"]", place + 2) if b"]" in glob[place + 2 :] else len(glob)
            if end == len(glob):
                raise IndexError
            name = glob[place + 2 : end]
            if name.endswith(b":"):
                if name[:-1] not in _CLASSES:
                    raise IndexError
                found.update(_CLASSES[name[:-1]])
                place, byte = end, 0
            else:
                found.add(byte)
        else:
            found.add(byte)
        before = byte
        place += 1
        if glob[place] == 0x5D:
            return found, negated, place + 1
