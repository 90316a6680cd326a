"""What is called covered is covered: git itself is asked."""

from __future__ import annotations

import itertools

import pytest

from support.repository import GitRepo
from tallystick.gate.patterns import uncovered, whole_tree

TREES = (
    ("src", "top.py", "a*"),
    ("src/a", "src/m.py", "src/a*/z", "srcs/a", "tests"),
    (
        "src/a/x",
        "src/a/y.py",
        "src/b/x",
        "src/*.py/deep",
        ".hidden",
        "**/odd",
        "tests/t.py",
        "src/**/odd",
        "x/src/a",
    ),
)

PARTS = ("src", "a", "s*", "*", "**", "x", "*.py", "[ab]", "a\\*", "m.py", "tests", "?")
POOL = [
    *PARTS,
    *(f"{part}/" for part in PARTS),
    *("/".join(parts) for parts in itertools.product(PARTS, PARTS)),
    *(f"src/{first}/{second}" for first, second in itertools.product(PARTS[:6], PARTS[:6])),
    "src/a/",
]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> list[GitRepo]:
    """Trees in which the same names are files here and folders there."""
    repositories = []
    for number, paths in enumerate(TREES):
        repo = GitRepo.create(tmp_path_factory.mktemp(f"patterns{number}") / "repo")
        for path in paths:
            repo.write(path)
        repo.git("add", "-A")
        repositories.append(repo)
    return repositories


def matched(repo: GitRepo, pattern: str) -> set[str]:
    return set(filter(None, repo.git("ls-files", "-z", "--", f":(glob){pattern}").split("\0")))


def test_a_covered_pattern_matches_nothing_more(trees: list[GitRepo]) -> None:
    covered = 0
    matches = {pattern: [matched(repo, pattern) for repo in trees] for pattern in POOL}
    for wide, narrow in itertools.permutations(POOL, 2):
        if not uncovered([narrow], [wide]):
            covered += 1
            assert all(less <= more for less, more in zip(matches[narrow], matches[wide], strict=True)), (
                wide,
                narrow,
            )
    assert covered > len(POOL)


COVERED = [
    ("src/**", "**"),
    ("src", "**/*"),
    ("src/a", "src"),
    ("src/a/**", "src/**"),
    ("src/*.py", "src/**"),
    ("src/[ab]/x", "src/"),
    ("src/", "src"),
    ("src/a\\*", "src/**"),
    ("*.py", "*.py"),
]
NOT_COVERED = [
    ("**", "src/**"),
    ("src", "src/**"),
    ("src", "src/"),
    ("src/", "src/**"),
    ("srcs/**", "src"),
    ("s*/a", "src"),
    ("src/a", "src/*"),
    ("src/a/**", "**/a/**"),
    ("src/*.py", "**/*.py"),
    ("src/**", "src/*"),
    ("**", "*"),
]


@pytest.mark.parametrize(("narrow", "wide"), COVERED)
def test_covered(trees: list[GitRepo], narrow: str, wide: str) -> None:
    assert uncovered([narrow], [wide]) == []
    for repo in trees:
        assert matched(repo, narrow) <= matched(repo, wide)


@pytest.mark.parametrize(("narrow", "wide"), NOT_COVERED)
def test_not_provably_covered(narrow: str, wide: str) -> None:
    assert uncovered([narrow], [wide]) == [narrow]


def test_each_pattern_is_looked_for_among_all() -> None:
    assert uncovered(["src/a", "tests", "docs"], ["tests/**", "src", "tests"]) == ["docs"]


def test_the_whole_tree_is_all_of_it(trees: list[GitRepo]) -> None:
    for pattern in ("**", "**/*"):
        assert whole_tree([pattern])
        for repo in trees:
            assert matched(repo, pattern) == set(filter(None, repo.git("ls-files", "-z").split("\0")))
    assert not whole_tree(["*", "src/**"])
