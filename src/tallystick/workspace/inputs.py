"""The files that a result depends on: which they are, and the digest that evidence is bound to."""

from __future__ import annotations

from bisect import bisect_left
from itertools import compress

from tallystick.workspace.paths import path_bytes, path_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from tallystick.workspace.pathspec import Pattern

GITLINK = b"160000"
"""The mode of a submodule."""

WHOLE_TREE = "**"
"""The pathspec that every path matches."""


class Listing:
    """All files of some content, a line each: `<mode> <type> <object id>\\t<path>`.

    That is what `git ls-tree -r -z --full-tree` prints, in its order; the lines of a submodule stand after the
    line of its gitlink, their paths prefixed. Paths are bytes.
    """

    __slots__ = ("_ordered", "lines")

    def __init__(self, lines: list[bytes], *, ordered: bool = True) -> None:
        """`ordered`: the paths are in byte order."""
        self.lines = lines
        self._ordered = ordered

    @classmethod
    def read(cls, printed: bytes) -> Listing:
        """From what `git ls-tree -r -z` printed."""
        return cls(printed[:-1].split(b"\0") if printed else [])

    def hiding(self, paths: Iterable[bytes]) -> Listing:
        """Less `paths`; one that ends with `/` stands for all below it."""
        spans = {self._below(path) if path.endswith(b"/") else self._exactly(path) for path in paths}
        lines = self.lines
        for first, last in sorted(spans, reverse=True):
            lines = lines[:first] + lines[last:] if last > first else lines
        return Listing(lines)

    def with_submodules(self, submodules: Mapping[bytes, Listing]) -> Listing:
        """With each submodule's lines after its gitlink; one without a gitlink yet stands where that would."""
        if not submodules:
            return self
        lines: list[bytes] = []
        done = 0
        for place, path in sorted((self._exactly(path)[1], path) for path in submodules):
            lines += self.lines[done:place]
            lines += submodules[path]._prefixed(path)
            done = place
        return Listing(lines + self.lines[done:], ordered=False)

    def _prefixed(self, folder: bytes) -> list[bytes]:
        return [line.replace(b"\t", b"\t%b/" % folder, 1) for line in self.lines]

    def states(self) -> dict[bytes, tuple[str, str]]:
        """Path -> (mode, object id)."""
        return {path_of(line): (line[:6].decode("ascii"), blob_of(line)) for line in self.lines}

    def matching(self, patterns: Sequence[str]) -> list[bytes]:
        """The lines whose paths one of the patterns matches, in order; no patterns match everything."""
        if not patterns or WHOLE_TREE in patterns:
            return self.lines
        from tallystick.workspace.pathspec import Pattern  # regular expressions are slow to load

        parsed = [Pattern(text) for text in patterns]
        return list(compress(self.lines, self._marks(parsed)))

    def digest(self, patterns: Sequence[str], without: Mapping[str, str | Collection[str]] | None = None) -> str:
        """Hex SHA-256 of the matching lines, each ended by NUL.

        `without` maps paths to blob ids (one or several): such a path is left out while its content is that.
        """
        import hashlib

        lines = self.matching(patterns)
        if without:
            left_out = self._with_content(without)
            lines = [line for line in lines if line not in left_out]
        return hashlib.sha256(b"\0".join(lines) + b"\0" if lines else b"").hexdigest()

    def _marks(self, patterns: list[Pattern]) -> bytearray:
        """A byte for each line: 1 where a pattern matches it."""
        marks = bytearray(len(self.lines))
        for pattern in patterns:
            if not self._ordered:
                self._mark_each(marks, pattern, 0, len(marks))
                continue
            _mark(marks, *self._exactly(pattern.spelled))
            _mark(marks, *self._below(pattern.spelled.rstrip(b"/") + b"/"))
            if pattern.open:
                _mark(marks, *self._below(pattern.prefix))
            elif not pattern.plain:
                self._mark_each(marks, pattern, *self._below(pattern.prefix))
        return marks

    def _mark_each(self, marks: bytearray, pattern: Pattern, first: int, last: int) -> None:
        """Marks the lines of a span that the pattern's expression matches; looking at their ends first is quicker."""
        matches, end = _line_expression(pattern).fullmatch, pattern.suffix
        if end and self._ordered:
            for number in [n for n in range(first, last) if self.lines[n].endswith(end)]:
                marks[number] |= bool(matches(self.lines[number]))
        else:
            found = bytes(map(bool, map(matches, self.lines[first:last])))
            marks[first:last] = _either(marks[first:last], found)

    def _exactly(self, path: bytes) -> tuple[int, int]:
        """The span of the path itself; of `sub/`, that of the submodule `sub`."""
        name = path.removesuffix(b"/")
        first = bisect_left(self.lines, name, key=path_of)
        there = first < len(self.lines) and path_of(self.lines[first]) == name
        if there and name != path:
            there = self.lines[first].startswith(GITLINK)
        return first, first + there

    def _below(self, prefix: bytes) -> tuple[int, int]:
        """The span of the paths that begin with `prefix`."""
        first = bisect_left(self.lines, prefix, key=path_of)
        return first, bisect_left(self.lines, True, lo=first, key=lambda line: not path_of(line).startswith(prefix))

    def _with_content(self, blobs: Mapping[str, str | Collection[str]]) -> set[bytes]:
        """The lines of the paths whose content is (one of) what `blobs` says."""
        quick = [path for path in blobs if self._ordered and "\ufffd" not in path]
        lines = [line for path in quick for line in self.named(path)]
        if len(quick) < len(blobs):
            lines += (line for line in self.lines if not blobs.keys().isdisjoint(_spellings(path_of(line))))
        found = set()
        for line in lines:
            ids = [blobs[name] for name in _spellings(path_of(line)) if name in blobs]
            if any(blob_of(line) in ((wanted,) if isinstance(wanted, str) else wanted) for wanted in ids):
                found.add(line)
        return found

    def named(self, path: str) -> list[bytes]:
        """The line of a path; a name that is not UTF-8 may be given with U+FFFD, as it is stored."""
        if self._ordered and "\ufffd" not in path:
            first, last = self._exactly(path_bytes(path))
            return self.lines[first:last]
        return [line for line in self.lines if path in _spellings(path_of(line))]


def _spellings(path: bytes) -> tuple[str, str]:
    return path_text(path), path.decode("utf-8", "replace")


def path_of(line: bytes) -> bytes:
    """The path of a line of a listing."""
    return line[line.index(b"\t") + 1 :]


def blob_of(line: bytes) -> str:
    """The object id in a line of a listing."""
    return line[: line.index(b"\t")].rpartition(b" ")[2].decode("ascii")


def _mark(marks: bytearray, first: int, last: int) -> None:
    marks[first:last] = b"\1" * (last - first)


def _either(some: bytearray, others: bytes) -> bytes:
    """Marks that are in one of two equally long rows, by one big number each: far faster than a loop."""
    both = int.from_bytes(some, "big") | int.from_bytes(others, "big")
    return both.to_bytes(len(others), "big")


def _line_expression(pattern: Pattern) -> re.Pattern[bytes]:
    import re

    form = rb"[^\t]*\t(?:%b)" % pattern.expression()
    if pattern.spelled.endswith(b"/"):
        form += rb"|%b [^\t]*\t%b" % (GITLINK, re.escape(pattern.spelled[:-1]))
    return re.compile(form, re.DOTALL)
