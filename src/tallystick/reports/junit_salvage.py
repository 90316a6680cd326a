"""The tags of a JUnit report that is not well-formed in places that nothing is taken from.

Runners put what tests print into their reports as it comes: control characters, escape sequences, attachments
of any size, bytes of another encoding, `&` and `<`. All of that stands in text, in the bodies of `system-out` and the
like, or in attributes such as `message`. So text and those attributes are dropped here, and what remains must be
well-formed: a tag that carries a result, the attributes that decide about it, and how the tags nest.
"""

from __future__ import annotations

import codecs
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

DECIDING = frozenset({"name", "classname", "status", "result", "type", "time", "tests", "failures", "errors", "failed"})
"""Attributes that something is taken from. They have to be readable."""

MAX_TOLD = 5
"""How many places are told of that were left out."""

MAX_TAG = 4 * 1024 * 1024
"""The longest tag that carries a result, in characters."""

CARRYING = frozenset(
    {"testsuites", "testsuite", "testcase", "failure", "error", "skipped"}
    | {"flakyFailure", "flakyError", "rerunFailure", "rerunError"}
)
"""Elements that carry a result."""

_FORBIDDEN = "\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff"
_TAG = re.compile(r"<(/?)([A-Za-z_][\w:.-]*)((?:\s+[\w:.-]+\s*=\s*(?:\"[^\"<]*\"|'[^'<]*'))*)\s*(/?)>")
_ATTRIBUTE = re.compile(r"\s+([\w:.-]+)\s*=\s*(\"[^\"<]*\"|'[^'<]*')")
_UNREADABLE = re.compile(
    rf"[{_FORBIDDEN}]|&(?!(?:lt|gt|amp|quot|apos|#(?:9|10|13|3[2-9]|[4-9]\d|[1-9]\d{{2,6}})"
    r"|#x0*(?:9|[aA]|[dD]|[2-9a-fA-F][0-9a-fA-F]|[1-9a-fA-F][0-9a-fA-F]{2,5}));)"
)
_DECLARED = re.compile(rb"<\?xml\b[^>]{0,200}?\bencoding\s*=\s*[\"']([A-Za-z][\w.:-]{0,40})[\"']")
_TEXT_ENCODING = re.compile(
    r"utf-8|ascii|iso8859-\d+|cp\d+|shift_jis\w*|euc_\w+|gbk|gb2312|gb18030|big5\w*|koi8[-_]\w|mac[-_]\w+|tis-620"
)
"""Encodings that have no states and in which ASCII is ASCII: no tag can hide in other bytes."""
_ASCII = bytes(range(32, 127))
_RESULT_TAG = re.compile(r"</?(?:[\w.-]+:)?(?:testsuites?|testcase|failure|error|skipped)\b")


class UnreadableError(Exception):
    """What remains is no report: why, and in which line."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


class Salvaged:
    """What could be read: the `tags` alone, on the lines where they stand, and `dropped`, where text went."""

    __slots__ = ("dropped", "tags")

    def __init__(self, tags: str, dropped: list[str]) -> None:
        self.tags = tags
        self.dropped = dropped
        """A place each, such as `system-out in line 3`."""


def salvage(data: bytes, bodies: frozenset[str]) -> Salvaged:
    """The tags of the report. `bodies`: elements whose content nothing is taken from.

    Raises UnreadableError if the encoding is not known, or a tag that carries a result cannot be read.
    """
    return _Scanner(_decoded(data), bodies).scan()


def _decoded(data: bytes) -> str:
    """The text; bytes that are none in its encoding become lone surrogates, which count as unreadable."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return _decode(data if encoding == "utf-16" else data[len(mark) :], encoding)
    if data.startswith((b"<\0", b"\0<")):
        return _decode(data, "utf-16-le" if data[1:2] == b"\0" else "utf-16-be")
    declared = _DECLARED.match(data.lstrip()[:300])
    encoding = declared[1].decode("ascii") if declared else "utf-8"
    try:
        name = codecs.lookup(encoding.lower().removeprefix("x-")).name
    except LookupError:
        raise UnreadableError(f"an encoding that is not known: {encoding}", 1) from None
    if name.startswith("utf-16"):
        name = "utf-8"  # it says so of itself in single bytes
    elif not _TEXT_ENCODING.fullmatch(name) or _ASCII.decode(name, "replace") != _ASCII.decode("ascii"):
        raise UnreadableError(f"an encoding that is not read: {encoding}", 1)
    return _decode(data, name)


def _decode(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding, "replace" if encoding.startswith("utf-16") else "surrogateescape")
    except (LookupError, UnicodeError) as error:
        raise UnreadableError(f"an encoding that cannot be read ({error})", 1) from None


class _Scanner:
    """Goes over the text from tag to tag."""

    def __init__(self, text: str, bodies: frozenset[str]) -> None:
        self.text = text
        self.bodies = bodies
        self.at = 0
        self.pieces: list[str] = []
        self.dropped: list[str] = []
        self.open: list[str] = []
        self._counted = 0
        self._line = 1

    def scan(self) -> Salvaged:
        """Read it all."""
        while (tag_at := self.text.find("<", self.at)) >= 0:
            self._skip(tag_at)
            if self.text.startswith("<![CDATA[", tag_at):
                self._skip(self._end_of("]]>", "a CDATA section"))
            elif self.text.startswith("<!--", tag_at):
                self._skip(self._end_of("-->", "a comment"))
            elif self.text.startswith("<?", tag_at):
                self._skip(self._end_of("?>", "an instruction"))
            elif self.text.startswith("<!", tag_at):
                raise self._unreadable("a document type declaration, which no test report needs, is refused")
            else:
                self._tag()
        self._skip(len(self.text))
        return Salvaged("".join(self.pieces), self.dropped)

    def _tag(self) -> None:
        tag = _TAG.match(self.text, self.at)
        if tag is None:
            raise self._unreadable("a tag that cannot be read")
        closes, name, attributes, empty = tag[1], tag[2], tag[3], tag[4]
        if len(attributes) > MAX_TAG and name.rpartition(":")[2] in CARRYING:
            raise self._unreadable(f"a tag of over {MAX_TAG >> 20} MiB")
        self.pieces.append(f"<{closes}{name}{''.join(self._attributes(name, attributes))}{empty}>")
        self.pieces.append("\n" * attributes.count("\n"))
        self.at = tag.end()
        if closes:
            if self.open:
                self.open.pop()
        elif not empty:
            self.open.append(name.rpartition(":")[2])
            if self.open[-1] in self.bodies:
                self._body(name)

    def _attributes(self, tag: str, attributes: str) -> Iterator[str]:
        for attribute in _ATTRIBUTE.finditer(attributes):
            decides = attribute[1] in DECIDING
            if _UNREADABLE.search(attribute[2]) is None:
                if decides or attribute[1] == "message" or attribute[1].endswith("SchemaLocation"):
                    yield f" {attribute[1]}={attribute[2]}".replace("\n", " ")
            elif decides and tag.rpartition(":")[2] in CARRYING:
                raise self._unreadable(f"the attribute {attribute[1]} of <{tag}> cannot be read")
            else:
                self._drop(f"{attribute[1]} of {tag}")

    def _body(self, name: str) -> None:
        """Pass over what stands in an element that nothing is taken from, up to its end tag."""
        begin, end = self.at, re.compile(rf"<!\[CDATA\[|</{re.escape(name)}\s*>")
        while (found := end.search(self.text, self.at)) is not None and found[0].startswith("<!"):
            self._raw(self.at, found.start(), name)
            self.at = found.start()
            self.at = self._end_of("]]>", "a CDATA section")
        if found is None:
            raise self._unreadable(f"<{name}> has no end")
        self._raw(self.at, found.start(), name)
        self.at = found.start()
        body = self.text[begin : self.at]
        self.pieces.append("\n" * body.count("\n"))
        if len(self.dropped) < MAX_TOLD and _UNREADABLE.search(
            re.sub(r"<!\[CDATA\[.*?\]\]>", _without_references, body, flags=re.DOTALL)
        ):
            self._drop(name)

    def _raw(self, begin: int, end: int, name: str) -> None:
        """Raises UnreadableError if results stand where nothing is taken from: its end may be missing."""
        if _RESULT_TAG.search(self.text, begin, end):
            raise self._unreadable(f"tags that carry results, in <{name}>")

    def _skip(self, to: int) -> None:
        """Drop what stands before."""
        text = self.text[self.at : to]
        self.pieces.append("\n" * text.count("\n"))
        if len(self.dropped) < MAX_TOLD and not text.startswith("<!") and _UNREADABLE.search(text):
            self._drop(f"text in {self.open[-1]}" if self.open else "text")
        self.at = to

    def _end_of(self, mark: str, what: str) -> int:
        end = self.text.find(mark, self.at)
        if end < 0:
            raise self._unreadable(f"{what} without end")
        return end + len(mark)

    def _drop(self, what: str) -> None:
        if len(self.dropped) < MAX_TOLD:
            self.dropped.append(f"{what} in line {self._line_at(self.at)}")

    def _line_at(self, at: int) -> int:
        if at < self._counted:
            return 1 + self.text.count("\n", 0, at)
        self._line += self.text.count("\n", self._counted, at)
        self._counted = at
        return self._line

    def _unreadable(self, what: str) -> UnreadableError:
        return UnreadableError(what, self._line_at(self.at))


def _without_references(section: re.Match[str]) -> str:
    """A CDATA section, in which `&` means nothing."""
    return section[0].replace("&", "")
