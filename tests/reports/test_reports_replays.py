from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.reports.console import read_console, replay_marker

DATA = Path(__file__).parents[1] / "data" / "reports" / "console"

REPLAYED = {
    # file: (tool, old results, of how many)
    "go119-build-failed": ("go test", 1, 2),
    "go119-cached": ("go test", 1, 1),
    "go119-cover": ("go test", 1, 2),
    "go119-fail": ("go test", 1, 2),
    "go119-verbose-cached": ("go test", 1, 1),
    "go127-build-failed": ("go test", 1, 2),
    "go127-cached": ("go test", 1, 1),
    "go127-cover": ("go test", 1, 2),
    "go127-fail": ("go test", 1, 2),
    "go127-verbose-cached": ("go test", 1, 1),
    "gradle4-up-to-date": ("gradle", 1, 1),
    "make-up-to-date": ("make", 1, 1),
    "nx-hit": ("nx", 2, 2),
    "nx-one-hit": ("nx", 1, 1),
    "nx-partly": ("nx", 1, 2),
    "turbo-hash-only": ("turbo", 2, 2),
    "turbo-hit": ("turbo", 2, 2),
    "turbo-partly": ("turbo", 1, 2),
    "wireit-fresh": ("wireit", 2, 2),
}


@pytest.mark.parametrize("path", sorted(DATA.iterdir()), ids=lambda path: path.stem)
def test_marks_in_real_output(path: Path) -> None:
    replay = replay_marker(path.read_bytes())
    found = None if replay is None else (replay.tool, replay.replayed, replay.total)
    assert found == REPLAYED.get(path.stem)


# Written after the tools' documentation, hand-made.
BAZEL_ALL = """\
//a:one_test   (cached) PASSED in 0.4s
//a:two_test   (cached) PASSED in 0.1s

Executed 0 out of 2 tests: 2 tests pass.
"""
BAZEL_PARTLY = """\
//a:one_test   (cached) PASSED in 0.4s
//a:two_test            FAILED in 0.1s

Executed 1 out of 2 tests: 1 test passes and 1 fails locally.
"""
NX_SUMMARY = "Nx read the output from the cache instead of running the command for 3 out of 3 tasks.\n"
PANTS = """\
✓ src/a_test.py:tests succeeded in 0.50s (memoized).
✓ src/b_test.py:tests succeeded in 1.20s.
"""


@pytest.mark.parametrize(
    ("output", "tool", "replayed", "total"),
    [
        (BAZEL_ALL, "bazel", 2, 2),
        (BAZEL_PARTLY, "bazel", 1, 2),
        ("> Task :app:testDebugUnitTest FROM-CACHE\n> Task :lib:test UP-TO-DATE\n", "gradle", 2, 2),
        ("> Task :app:integrationTest FROM-CACHE\n> Task :lib:test\n", "gradle", 1, 2),
        ("> Task :app:jvmTest UP-TO-DATE\n> Task :lib:test NO-SOURCE\n", "gradle", 1, 1),
        ("✓ src/a_test.py:tests succeeded in 0.50s (cached locally).\n", "pants", 1, 1),
        (PANTS, "pants", 1, 2),
        ("   ✔  nx run web:test  [local cache]\n   ✔  nx run api:test  [remote cache]\n", "nx", 2, 2),
        ("[INFO] Skipping plugin execution (cached): surefire:test\n", "maven", 1, 1),
        ("[INFO] Skipping plugin execution (cached): surefire:test\n[INFO]  T E S T S\n", "maven", 1, 2),
        (NX_SUMMARY, "nx", 3, 3),
        ("web:lint: cache hit, replaying logs 0123\n", "turbo", 1, 1),
        ("make[1]: Nothing to be done for 'check'.\n", "make", 1, 1),
    ],
)
def test_marks_in_hand_made_output(output: str, tool: str, replayed: int, total: int) -> None:
    replay = replay_marker(output.encode())
    assert replay is not None
    assert (replay.tool, replay.replayed, replay.total) == (tool, replayed, total)
    assert replay.complete == (replayed == total)
    assert replay.extent == ("all" if replay.complete else "partly")
    assert str(replay).startswith(f"{tool}: {replayed} of {total} ")


@pytest.mark.parametrize(
    "output",
    [
        "",
        "ok  \texample.com/shop\t0.010s\n",
        "the result was (cached)\n",
        "ok  \texample.com/shop\t0.010s (cached)\n",
        "cache hit, replaying logs\n",
        "web:build: cache hit, replaying logs 0123\nweb:test: cache miss, executing 4567\n",
        "> Task :compileTestJava UP-TO-DATE\n> Task :testClasses UP-TO-DATE\n> Task :processTestResources UP-TO-DATE\n",
        "> Task :compileJava UP-TO-DATE\n> Task :test\n",
        "> Task :latest UP-TO-DATE\n",
        "make: 'test' is up to date.\n5 passed in 0.03s\n",
        "make[1]: Nothing to be done for 'all'.\nrunning the tests\n",
        "Nx read the output from the cache instead of running the command for 1 out of 3 tasks.\n",
        "✅ Ran 1 script and skipped 1 in 0.5s.\n",
        "FULL TURBO\n",
        "Executed 0 out of 2 tests: 2 tests pass.\n",
        "docs: go prints `ok  \tpkg\t(cached)` for an old result\n",
        "the Gradle task :test is UP-TO-DATE\n",
    ],
)
def test_no_mark(output: str) -> None:
    assert replay_marker(output.encode()) is None


def test_escape_sequences_hide_no_mark() -> None:
    output = b"\x1b[36mweb:test: \x1b[0m\x1b[2mcache hit, replaying logs \x1b[2m0123\x1b[0m\r\n"
    replay = replay_marker(output)
    assert replay is not None
    assert replay.complete


def captured(*names: str) -> bytes:
    return b"".join((DATA / f"{name}.txt").read_bytes() for name in names)


GROUPS = (
    b"::group::web:test\ncache hit, replaying logs 01\n%s::endgroup::\n::group::api:test\ncache %s 02\n::endgroup::\n"
)


@pytest.mark.parametrize(
    ("output", "replayed"),
    [
        (captured("go127-cached"), "all"),
        (captured("go127-cached", "go127-verbose-cached"), "all"),
        (captured("go127-cached", "pytest-pass"), "partly"),
        (captured("gradle4-up-to-date", "pytest-pass"), "partly"),
        (captured("wireit-fresh", "pytest-pass"), "partly"),
        (captured("turbo-hit", "pytest-pass"), "partly"),
        (captured("turbo-hit"), "all"),
        (captured("turbo-partly"), "partly"),
        (captured("turbo-miss"), ""),
        (captured("nx-one-hit"), "all"),
        (captured("pytest-pass"), ""),
        (GROUPS % (captured("jest-pass"), b"hit, replaying logs"), "all"),
        (GROUPS % (captured("jest-pass"), b"miss, executing"), "partly"),
    ],
)
def test_how_much_of_what_is_counted_was_replayed(output: bytes, replayed: str) -> None:
    report = read_console(output)
    assert report is not None
    assert report.replayed == replayed


def test_the_report_says_how_much_was_replayed() -> None:
    report = read_console((DATA / "turbo-partly.txt").read_bytes())
    assert report is not None
    assert (report.replayed, report.status) == ("partly", "pass")
