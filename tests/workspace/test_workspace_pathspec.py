"""Pathspecs: matched in-process exactly as `git ls-files` matches them with `:(glob)`."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from support.repository import GitRepo
from tallystick.errors import InputError
from tallystick.workspace.git import Git
from tallystick.workspace.inputs import Listing, path_of
from tallystick.workspace.paths import path_bytes
from tallystick.workspace.pathspec import Pattern

BLOB = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
COMMIT = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

PATTERNS = [
    "**", "**/*", "*", "*/*", "*/**", "**/**", "***", "a", "a/", "a/b", "a/b/", "a*", "a**", "a**/b", "**a", "**/a",
    "a/**", "a/**/b", "a/**/b/**", "**/b/**", "a/*/b", "a/?", "?", "??", "a?b", "a\\*b", "\\a", "a\\", "a/\\", "\\",
    "[a]", "[ab]*", "[!a]", "[^a]", "[a-c]", "[c-a]", "[a-]", "[-a]", "[]a]", "[!]a]", "[]", "[", "[a", "[!", "[a-",
    "[[:alpha:]]", "[[:digit:]]*", "[[:nope:]]", "[[:alpha:]", "[[:alpha]", "[[:]", "[[a:]]", "[[:alpha:][:digit:]]",
    "[[:alpha:]-z]", "[\\]]", "[a\\-c]", "[\\a-\\c]", "[a-\\c]", "[a/b]", "a[/]b", "[!x]b", "*b*a*", "*a*b*c",
    "a**b", "**b/a", "a/**b", "a/b**", "a/**\\/b", "**\\/b", "a/b/c/**", "sub", "sub/", "sub/*", "sub/**", "s*b",
    "s*b/", "**/sub/", "sub*", "*.py", "**/*.py", "a/**/*.py", "a*/**/c", "a/***/b", "**/a/**/b", "a/**/", "é*", "?é",
    "*\udcff*", "[\udcff]*", "x\ny", "*\n*", ":(glob)a", "!a", ":!a", "~a", "-a", "a b", " a", "a ", "{a,b}", "+(a)",
]  # fmt: skip
PATHS = [
    "a", "b", "c", "ab", "abc", "a b", "a-b", "-a", "!a", "~a", ":!a", ":(glob)a", " a", "a ", "{a,b}", "a*b", "*",
    "**", "a\\", "\\", "[a]", "[ab]*", "[", "]", "a]", "1", "1a", "A", "a.py", "x\ny", "é", "aé", "éa", "a\udcffb",
    "d/a", "d/b", "d/ab/c", "d/ab/a", "d/a*b/c", "d/a.py", "d/[a]/b", "d/d/d/a.py", "d/d/a/b/b", "d/d/b/a",
    "e/b", "e/b/x", "e/x/b", "e/x/y/b", "e/x/b/y", "e*/q", "e**/q", "sub-x", "sub.py", "suba/x", "sxb/y", "x/sub",
]  # fmt: skip


class IndexedPaths:
    """A git index that holds some paths; there are no files."""

    def __init__(self, root: Path) -> None:
        repo = GitRepo.create(root)
        self.git = Git(str(root), str(root / ".git" / "objects"))
        self.repo = repo

    def hold(self, paths: list[str], submodules: list[str]) -> Listing:
        """Puts the paths into the index; the same as a listing."""
        (self.repo.root / ".git" / "index").unlink(missing_ok=True)
        lines = [f"100644 {BLOB}\t{path}" for path in paths] + [f"160000 {COMMIT}\t{path}" for path in submodules]
        given = b"".join(path_bytes(line) + b"\0" for line in lines)
        self.git.run("update-index", "-z", "--add", "--replace", "--index-info", stdin=given)
        listed = self.git.run("ls-files", "-s", "-z")[:-1].split(b"\0")
        return Listing([_as_tree_line(line) for line in listed])

    def matching(self, pattern: str) -> list[bytes]:
        """What git matches."""
        printed = self.git.run("ls-files", "-z", "--", f":(glob){pattern}")
        return printed[:-1].split(b"\0") if printed else []


def _as_tree_line(line: bytes) -> bytes:
    head, path = line.split(b"\t", 1)
    mode, oid, _ = head.split(b" ")
    return b"%b %b %b\t%b" % (mode, b"commit" if mode == b"160000" else b"blob", oid, path)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> IndexedPaths:
    return IndexedPaths(tmp_path_factory.mktemp("pathspec") / "repo")


def _refused(pattern: str) -> bool:
    try:
        Pattern(pattern)
    except InputError:
        return True
    return False


def _assert_same(indexed: IndexedPaths, listing: Listing, pattern: str) -> None:
    expected = indexed.matching(pattern)
    unordered = Listing(listing.lines, ordered=False)
    assert [path_of(line) for line in listing.matching([pattern])] == expected, pattern
    assert [path_of(line) for line in unordered.matching([pattern])] == expected, pattern


def test_every_kind_of_pattern_matches_as_git_does(indexed: IndexedPaths) -> None:
    listing = indexed.hold(PATHS, ["sub", "e/sub"])
    nested = indexed.hold([f"a/{path}" for path in PATHS] + PATHS[1:], ["sub", "a/sub"])
    matched = 0
    for pattern in PATTERNS:
        if not _refused(pattern):
            indexed.hold(PATHS, ["sub", "e/sub"])
            _assert_same(indexed, listing, pattern)
            indexed.hold([f"a/{path}" for path in PATHS] + PATHS[1:], ["sub", "a/sub"])
            _assert_same(indexed, nested, pattern)
            matched += bool(indexed.matching(pattern))
    assert matched > len(PATTERNS) // 2


def test_random_patterns_match_as_git_does(indexed: IndexedPaths, storm: bool) -> None:
    chance = random.Random(20_260_314)
    hits = misses = 0
    for _ in range(400 if storm else 20):
        paths = sorted({_random_path(chance) for _ in range(40)})
        paths = [path for path in paths if not any(other.startswith(path + "/") for other in paths)]
        submodules = chance.sample(paths, 3)
        listing = indexed.hold([path for path in paths if path not in submodules], submodules)
        for _ in range(30):
            pattern = _random_pattern(chance, paths)
            if _refused(pattern):
                continue
            _assert_same(indexed, listing, pattern)
            if listing.matching([pattern]):
                hits += 1
            else:
                misses += 1
    assert min(hits, misses) > 100


def _random_path(chance: random.Random) -> str:
    return (
        "/".join("".join(chance.choices("ab.*[é\udcfe", k=chance.randint(1, 4))) for _ in range(chance.randint(1, 4)))
        .replace("..", "b")
        .replace("/.", "/a")
        .removeprefix(".")
        .strip("/")
        or "a"
    )


def _random_pattern(chance: random.Random, paths: list[str]) -> str:
    """A path with wildcards put into it, or a heap of the characters that mean something."""
    if chance.random() < 0.3:
        return "".join(
            chance.choices(["a", "b", "*", "**", "/", "?", "[", "]", "!", "-", "\\", ".", "[:alpha:]", "é"], k=8)
        )
    parts = chance.choice(paths).split("/")
    for at, part in enumerate(parts):
        turn = chance.random()
        if turn < 0.2:
            parts[at] = "**"
        elif turn < 0.4:
            parts[at] = "*"
        elif turn < 0.7:
            place = chance.randrange(len(part))
            put = chance.choice(["*", "?", "**", "[ab]", "[!a]", "[[:lower:]]", "\\" + part[place], "[^.-b]"])
            parts[at] = part[:place] + put + part[place + 1 :]
    if chance.random() < 0.2:
        del parts[chance.randrange(len(parts))]
    return "/".join(parts) + chance.choice(["", "", "", "/", "/**", "*", "**"])


def test_several_patterns_match_what_each_of_them_does(indexed: IndexedPaths) -> None:
    listing = indexed.hold(PATHS, ["sub"])
    chance = random.Random(7)
    good = [pattern for pattern in PATTERNS if not _refused(pattern)]
    for _ in range(300):
        some = chance.sample(good, 3)
        expected = {line for pattern in some for line in listing.matching([pattern])}
        assert listing.matching(some) == [line for line in listing.lines if line in expected]


@pytest.mark.parametrize("pattern", ["", "/a", "/", "./a", "a/../b", "..", ".", "a//b", "a/./b", "a\0b"])
def test_a_pattern_that_git_would_refuse_or_rewrite_is_refused(pattern: str) -> None:
    with pytest.raises(InputError) as caught:
        Pattern(pattern)
    assert caught.value.advice


def test_no_pattern_takes_exponential_time() -> None:
    line = b"100644 blob " + BLOB.encode() + b"\t" + b"a" * 250
    start = time.process_time()
    assert Listing([line]).matching(["*a" * 30 + "*b"]) == []
    assert Listing([line]).matching(["**/" * 12 + "*a*a*a*a*a*a*b"]) == []
    assert time.process_time() - start < 2
