from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tallystick.reports.base import Report
from tallystick.reports.console import read_console

DATA = Path(__file__).parents[1] / "data" / "reports" / "console"

NODE_4 = ("node", 4, 0, 0, 0)
EMPTY = (0, 0, 0, 0)

REAL = {
    # file: (tool, passed, failed, errors, skipped)
    "bats-fail": ("tap", 1, 1, 0, 1),
    "bats-pass": ("tap", 2, 0, 0, 1),
    "bun-fail": ("bun", 1, 1, 0, 2),
    "bun-pass": ("bun", 2, 0, 0, 2),
    "cargo-abort": ("cargo test", 2, 0, 1, 1),
    "cargo-colour": ("cargo test", 4, 0, 0, 1),
    "cargo-fail": ("cargo test", 3, 1, 0, 1),
    "cargo-fail-fast": ("cargo test", 2, 1, 0, 1),
    "cargo-none": ("cargo test", *EMPTY),
    "cargo-pass": ("cargo test", 4, 0, 0, 1),
    "cargo-quiet": ("cargo test", 4, 0, 0, 1),
    "cargo-show-output": ("cargo test", 4, 0, 0, 1),
    "ctest-fail": ("ctest", 1, 2, 0, 2),
    "ctest-none": ("ctest", *EMPTY),
    "ctest-pass": ("ctest", 3, 0, 0, 2),
    "deno-fail": ("deno", 2, 1, 0, 1),
    "deno-none": ("deno", *EMPTY),
    "deno-pass": ("deno", 3, 0, 0, 1),
    "gradle4-fail": ("gradle", 1, 1, 0, 1),
    "gtest-fail": ("googletest", 1, 1, 0, 1),
    "gtest-none": ("googletest", *EMPTY),
    "gtest-pass": ("googletest", 2, 0, 0, 1),
    "jest-broken": ("jest", 3, 1, 0, 3),
    "jest-colour": ("jest", 3, 1, 0, 3),
    "jest-mixed": ("jest", 2, 1, 0, 2),
    "jest-name-none": ("jest", 0, 0, 0, 2),
    "jest-none": ("jest", *EMPTY),
    "jest-none-pass": ("jest", *EMPTY),
    "jest-pass": ("jest", 1, 0, 0, 1),
    "minitest-fail": ("minitest", 1, 1, 1, 1),
    "minitest-pass": ("minitest", 3, 0, 0, 1),
    "mocha-colour": ("mocha", 1, 1, 0, 2),
    "mocha-dot": ("mocha", 1, 0, 0, 1),
    "mocha-mixed": ("mocha", 1, 1, 0, 2),
    "mocha-none": ("mocha", *EMPTY),
    "mocha-pass": ("mocha", 1, 0, 0, 1),
    "node20-spec-mixed": ("node", 6, 2, 0, 2),
    "node20-spec-pass": ("node", 2, 0, 0, 1),
    "npm-workspaces": NODE_4,
    "nx-one-hit": ("node", 2, 0, 0, 0),
    "phpunit-colour": ("phpunit", 3, 1, 1, 0),
    "phpunit-fail": ("phpunit", 1, 1, 1, 2),
    "phpunit-none": ("phpunit", *EMPTY),
    "phpunit-pass": ("phpunit", 5, 0, 0, 0),
    "phpunit-skips": ("phpunit", 3, 0, 0, 2),
    "playwright-fail": ("playwright", 2, 1, 0, 1),
    "playwright-pass": ("playwright", 3, 0, 0, 1),
    "prove-bail": ("prove", 1, 0, 0, 0),
    "prove-fail": ("prove", 5, 2, 0, 0),
    "prove-none": ("prove", *EMPTY),
    "prove-pass": ("prove", 9, 0, 0, 0),
    "prove-verbose": ("prove", 6, 0, 0, 0),
    "pytest-collect-only": ("pytest", *EMPTY),
    "pytest-collection-error": ("pytest", 0, 0, 1, 0),
    "pytest-colour": ("pytest", 11, 1, 2, 2),
    "pytest-maxfail": ("pytest", 3, 1, 0, 0),
    "pytest-mixed": ("pytest", 7, 1, 2, 1),
    "pytest-none": ("pytest", *EMPTY),
    "pytest-pass": ("pytest", 4, 0, 0, 1),
    "pytest-quiet": ("pytest", 4, 0, 0, 1),
    "pytest-quiet-fail": ("pytest", 7, 1, 2, 1),
    "pytest-quiet-none": ("pytest", *EMPTY),
    "pytest-quiet-warnings": ("pytest", 5, 0, 0, 1),
    "pytest-rerun": ("pytest", 5, 0, 0, 1),
    "pytest-show-output": ("pytest", 4, 0, 0, 1),
    "pytest-sugar": ("pytest", 13, 1, 2, 2),
    "pytest-two-suites": ("pytest", 5, 0, 0, 1),
    "pytest-xdist": ("pytest", 5, 0, 0, 1),
    "rspec-broken": ("rspec", *EMPTY),
    "rspec-colour": ("rspec", 2, 1, 0, 2),
    "rspec-mixed": ("rspec", 1, 1, 0, 2),
    "rspec-none": ("rspec", *EMPTY),
    "rspec-pass": ("rspec", 1, 0, 0, 0),
    "surefire-colour": ("surefire", 6, 0, 0, 2),
    "surefire-pass": ("surefire", 1, 0, 0, 0),
    "surefire-reruns": ("surefire", 4, 1, 1, 2),
    "surefire-skip-tests": ("surefire", *EMPTY),
    "testunit-fail": ("test-unit", 1, 1, 0, 2),
    "testunit-pass": ("test-unit", 2, 0, 0, 2),
    "turbo-hit": NODE_4,
    "turbo-miss": NODE_4,
    "turbo-partly": NODE_4,
    "unittest-mixed": ("unittest", 1, 2, 1, 1),
    "unittest-none": ("unittest", *EMPTY),
    "unittest-none-312": ("unittest", *EMPTY),
    "unittest-pass": ("unittest", 1, 0, 0, 1),
    "unittest-two": ("unittest", 2, 0, 0, 2),
    "vitest-broken": ("vitest", 1, 0, 0, 1),
    "vitest-colour": ("vitest", 4, 1, 0, 3),
    "vitest-mixed": ("vitest", 3, 1, 0, 2),
    "vitest-none": ("vitest", *EMPTY),
    "vitest-pass": ("vitest", 1, 0, 0, 1),
    "vitest-unhandled": ("vitest", 2, 0, 0, 0),
    "wireit-miss": ("node", 1, 0, 0, 0),
    "wireit-partly": ("node", 1, 0, 0, 0),
}

GO = {
    "build-failed": ("packages", 1, 1, 0),
    "cached": ("packages", 1, 0, 0),
    "cover": ("packages", 2, 0, 0),
    "fail": ("packages", 1, 1, 0),
    "none": ("packages", 0, 0, 0),
    "panic": ("packages", 0, 1, 0),
    "pass": ("packages", 1, 0, 0),
    "verbose": ("tests", 6, 2, 2),
    "verbose-cached": ("tests", 4, 0, 2),
    "verbose-panic": ("tests", 1, 1, 0),
}

NOTHING_KNOWN = {
    "bun-none",
    "gradle4-pass",
    "gradle4-up-to-date",
    "make-up-to-date",
    "nx-hit",
    "nx-miss",
    "nx-partly",
    "ruff-text",
    "surefire-none",
    "turbo-hash-only",
    "wireit-fresh",
}
"""Captures that show no counts."""


def read(name: str) -> Report:
    report = read_console((DATA / f"{name}.txt").read_bytes())
    assert report is not None
    return report


def test_every_capture_has_its_counts() -> None:
    go = {f"{version}-{name}" for version in ("go119", "go127") for name in GO}
    assert {path.stem for path in DATA.iterdir()} == set(REAL) | go | NOTHING_KNOWN


@pytest.mark.parametrize("name", sorted(REAL))
def test_counts_of_real_output(name: str) -> None:
    report = read(name)
    counted = (report.tool, report.passed, report.failed, report.errors, report.skipped)
    assert counted == REAL[name]
    assert (report.format, report.unit) == ("console", "tests")
    unlisted = {kind: report.left_out.get(kind, 0) + len(report.names[kind]) for kind in ("failed", "skipped")}
    assert unlisted == {"failed": report.failed + report.errors, "skipped": report.skipped}


@pytest.mark.parametrize("version", ["go119", "go127"])
@pytest.mark.parametrize("name", sorted(GO))
def test_counts_of_go(version: str, name: str) -> None:
    report = read(f"{version}-{name}")
    assert (report.unit, report.passed, report.failed, report.skipped) == GO[name]
    assert report.tool == "go test"


@pytest.mark.parametrize("name", sorted(NOTHING_KNOWN))
def test_where_nothing_is_known(name: str) -> None:
    assert read_console((DATA / f"{name}.txt").read_bytes()) is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("cargo-abort", "a test binary ended without a result"),
        ("prove-bail", "prove: Non-zero exit status: 255"),
        ("rspec-broken", "rspec: 1 test files or suites could not be run"),
        ("vitest-broken", "vitest: 1 test files or suites could not be run"),
        ("vitest-unhandled", "vitest: 1 error outside tests"),
    ],
)
def test_what_went_wrong_outside_tests(name: str, problem: str) -> None:
    report = read(name)
    assert report.problems[0] == problem
    assert report.status == "fail"


def test_flaky_and_names() -> None:
    assert (read("surefire-reruns").flaky, read("playwright-fail").flaky) == (2, 1)
    assert read("go127-fail").names["failed"] == ("example.com/shop/slow",)
    assert read("ctest-pass").names["skipped"] == ("later", "off")


@pytest.mark.parametrize("name", ["go119-cached", "go127-verbose-cached", "turbo-hit", "nx-one-hit"])
def test_a_replay_is_no_pass(name: str) -> None:
    assert (read(name).replayed, read(name).status) == ("all", "replayed")


def test_the_end_of_pytest_alone_is_enough() -> None:
    last_lines = (DATA / "pytest-pass.txt").read_bytes().splitlines()[-2:]
    report = read_console(b"\n".join(last_lines))
    assert report is not None
    assert (report.passed, report.skipped) == (4, 1)


def test_quiet_pytest_before_another_command() -> None:
    quiet = (DATA / "pytest-quiet.txt").read_bytes()
    for after in (b"All checks passed!\n", b"make: *** [test] Error 1\n", b"5 files checked\n" * 50):
        report = read_console(quiet + after)
        assert report is not None
        assert report.passed == 4


@pytest.mark.parametrize(
    "before",
    [
        "....                 [100%]\n= tests coverage =\n_ coverage: platform linux _\n\nTOTAL   5   0   100%\n",
        "....                 [100%]\nFAIL Required test coverage of 99% not reached. Total coverage: 6.82%\n",
        "....s\nERROR: Coverage failure: total of 7 is less than fail-under=99\n       [100%]\n= tests coverage =\n",
        "....\n(3 durations < 0.005s hidden.  Use -vv to show these durations.)\n",
        "....\n0.01s setup    test_good.py::test_good[2]\n",
        "----------------- generated xml file: r.xml -----------------\n",
        "....\n",
    ],
)
def test_what_plugins_print_before_quiet_pytest_closes(before: str) -> None:
    report = read_console(f"{before}4 passed in 0.15s\nruff ok\n".encode())
    assert report is not None
    assert report.passed == 4


def test_quiet_pytest_twice() -> None:
    quiet = (DATA / "pytest-quiet.txt").read_bytes()
    report = read_console(quiet + b"in between\n" + quiet + b"the end\n")
    assert report is not None
    assert (report.passed, report.skipped) == (8, 2)


def test_pytest_run_by_a_test_of_pytest() -> None:
    inner = (DATA / "pytest-mixed.txt").read_bytes()
    outer = (DATA / "pytest-pass.txt").read_bytes()
    head, _, tail = outer.partition(b"test_good.py")
    report = read_console(head + b"\n" + inner + b"test_good.py" + tail)
    assert report is not None
    assert (report.passed, report.failed, report.skipped) == (4, 0, 1)


def test_several_runners_add_up() -> None:
    output = b"".join((DATA / f"{name}.txt").read_bytes() for name in ("pytest-pass", "jest-pass", "cargo-pass"))
    report = read_console(output)
    assert report is not None
    assert (report.passed, report.skipped) == (4 + 1 + 4, 3)
    assert set(report.tool.split(", ")) == {"pytest", "jest", "cargo test"}


def test_what_pytest_and_unittest_print_now(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import unittest\n\nclass T(unittest.TestCase):\n"
        "    def test_a(self): pass\n"
        "    def test_b(self): self.fail()\n"
        "    @unittest.skip('later')\n    def test_c(self): pass\n"
    )
    commands = [
        (["pytest", "-p", "no:cacheprovider"], "pytest"),
        (["pytest", "-q", "-p", "no:cacheprovider"], "pytest"),
    ]
    if sys.version_info[:3] != (3, 12, 1):  # that one leaves skipped tests out of those it says it ran
        commands.append((["unittest", "test_it"], "unittest"))
    for command, tool in commands:
        run = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        report = read_console(run.stdout)
        assert report is not None, run.stdout
        assert (report.tool, report.passed, report.failed, report.skipped) == (tool, 1, 1, 1)


HEAVY = ("msgspec", "dataclasses", "typing", "pathlib", "subprocess", "logging", "inspect")


def test_reading_output_starts_light() -> None:
    code = (
        "import sys, tallystick.reports.console as console; console.read_console(b'1 passed in 0.01s'); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False, env=_source())
    assert run.stdout.strip() == "[]", run.stderr


def _source() -> dict[str, str]:
    import tallystick

    assert tallystick.__file__
    return {"PYTHONPATH": str(Path(tallystick.__file__).parents[1])}
