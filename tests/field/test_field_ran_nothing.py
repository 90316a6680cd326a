"""Runners that say that they ran nothing and end with exit code 0: that is no pass.

The texts are what the tools print for projects of one or two empty packages: jest 30, vitest 4, turbo 2.11, nx 24,
lerna 9, pnpm, pre-commit 4.7, doit 0.37, nox, tox 4, Go 1.27, cargo 1.95, ctest 3.25, RSpec 3.12, PHPUnit 9.6,
bats 1.8, behave 1.3, robot, Gradle 4.4, nose2; those of .NET, mix, sbt, meson and bazel after their documentation.
"""

# ruff: noqa: E501 (what tools print is one line)
from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from field.world import printed, ran, states

TURBO = """\

   • Packages in scope: a, b
   • Running test in 2 packages
   • Remote caching disabled

 WARNING  No tasks were executed as part of this run.

 Tasks:    0 successful, 0 total
Cached:    0 cached, 0 total
  Time:    8ms
"""
GRADLE = ":compileJava\n:testClasses UP-TO-DATE\n:test {}\n\nBUILD SUCCESSFUL in 6s\n1 actionable task: 1 executed\n"
CARGO = "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n"
MISSING = "=" * 78

NOTHING = {
    "jest-o": "No tests found related to files changed since last commit.\n",
    "jest-since": 'No tests found related to files changed since "main".\n',
    "jest-pass": "No tests found, exiting with code 0\n",
    "jest-name": "Test Suites: 1 skipped, 0 of 1 total\nTests:       1 skipped, 1 total\nSnapshots:   0 total\nTime:        0.5 s\n",
    "vitest": "\n RUN  v4.1.12 /project\n\nNo test files found, exiting with code 0\n\nfilter: zzz\ninclude: **/*.test.js\n",
    "mocha": "\n\n  0 passing (1ms)\n\n",
    "node": "ℹ tests 0\nℹ suites 0\nℹ pass 0\nℹ fail 0\nℹ cancelled 0\nℹ skipped 0\nℹ todo 0\nℹ duration_ms 3\n",
    "turbo": TURBO,
    "turbo-in-colour": TURBO.replace(" WARNING ", "\x1b[33m WARNING \x1b[0m"),
    "nx": "\n\n NX   No tasks were run\n\n",
    "nx-in-colour": "\n\n\x1b[7m\x1b[1m\x1b[90m NX \x1b[39m\x1b[22m\x1b[27m  No tasks were run\n\n",
    "lerna": "lerna notice cli v9.0.7\nlerna info ci enabled\nlerna success run No packages found with the lifecycle script 'test'\n",
    "pnpm": 'Scope: 0 of 3 workspace projects\nNo projects matched the filters in "/project"\n',
    "pnpm-no-script": "Scope: 2 of 3 workspace projects\n",
    "go": "?   \texample.org/q\t[no test files]\n",
    "go-two": "go: downloading x v1\n?   \texample.org/q\t[no test files]\n?   \texample.org/r\t[no test files]\n",
    "go-run": "ok  \texample.org/m\t0.002s [no tests to run]\n",
    "go-verbose": "testing: warning: no tests to run\nPASS\nok  \texample.org/m\t0.002s [no tests to run]\n",
    "go-no-packages": 'go: warning: "./..." matched no packages\nno packages to test\n',
    "pre-commit": "unit tests...........................................(no files to check)Skipped\n",
    "pre-commit-two": (
        "unit tests...........................................(no files to check)Skipped\n"
        "lint....................................................................Skipped\n"
    ),
    "doit": "-- test\n",
    "doit-several": "-- test\n-- sub:a\n-- sub:b\n",
    "make": "make: Nothing to be done for 'test'.\n",
    "make-in-make": (
        "make[1]: Entering directory '/project'\nmake[1]: 'test' is up to date.\nmake[1]: Leaving directory '/project'\n"
    ),
    "ninja": "ninja: no work to do.\n",
    "nox": "No sessions selected. Please select a session with -s <session name>.\n\nSessions defined in noxfile.py:\n\n- tests\n",
    "nox-skipped": "nox > Running session tests\nnox > Creating virtual environment\nnox > Session tests skipped: not here.\n",
    "tox": "py27: SKIP ⚠ in 0.68 seconds\n  py27: SKIP (0.68 seconds)\n  lint: SKIP (0.00 seconds)\n",
    "cargo": CARGO,
    "cargo-twice": CARGO + "   Doc-tests shop\n\n" + CARGO,
    "ctest": "Test project /project/build\nNo tests were found!!!\n",
    "ctest-ignored": "Test project /project/build\n",
    "rspec": "All examples were filtered out\n\n\nFinished in 0.0002 seconds (files took 0.07 seconds to load)\n0 examples, 0 failures\n\n",
    "phpunit": "PHPUnit 9.6.7 by Sebastian Bergmann and contributors.\n\nNo tests executed!\n",
    "bats": "1..0\n",
    "behave": "0 features passed, 0 failed, 1 skipped\n0 scenarios passed, 0 failed, 1 skipped\n0 steps passed, 0 failed, 1 skipped\n",
    "robot": f"{MISSING}\nA                                   | SKIP |\n0 tests, 0 passed, 0 failed\n{MISSING}\nOutput:  /project/output.xml\n",
    "gradle": GRADLE.format("NO-SOURCE"),
    "gradle-up-to-date": GRADLE.format("UP-TO-DATE"),
    "maven": "[INFO] No tests to run.\n[INFO] BUILD SUCCESS\n",
    "maven-skipped": "[INFO] Tests are skipped.\n[INFO] BUILD SUCCESS\n",
    "nose2": f"\n{'-' * 70}\nRan 0 tests in 0.000s\n\nOK\n",
    "xdist": "bringing up nodes...\n\n\nno tests ran in 0.32s\n",
    "dotnet": "No test is available in /project/a.dll. Make sure that test discoverer & executors are registered.\n",
    "dotnet-filter": "No test matches the given testcase filter `Name=x` in /project/a.dll\n",
    "mix": "There are no tests to run\n",
    "sbt": "[info] No tests were executed.\n[success] Total time: 1 s\n",
    "meson": "ninja: Entering directory `/project/build'\nninja: no work to do.\nNo tests defined.\n",
    "bazel": "INFO: Build completed successfully\nExecuted 0 out of 0 tests: 0 tests pass.\n",
    "gotestsum": "\nDONE 0 tests in 0.001s\n",
    "go-cover": "\texample.org/q\t\tcoverage: 0.0% of statements\n",
    "turbo-older": "\n Tasks:    0 successful, 0 total\nCached:    0 cached, 0 total\n  Time:    79ms\n",
    "ginkgo": "Ran 0 of 3 Specs in 0.000 seconds\nSUCCESS! -- 0 Passed | 0 Failed | 0 Pending | 3 Skipped\n",
    "cucumber": "0 scenarios\n0 steps\n0m00.000s\n",
    "doctest": "[doctest] test cases: 0 | 0 passed | 0 failed | 3 skipped\n[doctest] Status: SUCCESS!\n",
    "unknown-runner": "frobnicate 1.2\n\nNo tests found.\n",
    "unknown-wording": "Warning: no test files found, nothing to do\n",
    "unknown-count": "\n0 specs executed in 0.1s\n",
}

SOMETHING = {
    "go": "?   \texample.org/q\t[no test files]\nok  \texample.org/r\t0.01s\n",
    "go-cover": "\texample.org/q\t\tcoverage: 0.0% of statements\nok  \texample.org/r\t0.01s\tcoverage: 80.0% of statements\n",
    "go-verbose": "?   \texample.org/q\t[no test files]\n=== RUN   TestA\n--- PASS: TestA (0.00s)\nPASS\nok  \texample.org/r\t0.01s\n",
    "cargo": CARGO + CARGO.replace("running 0 tests", "running 1 test").replace("0 passed", "1 passed"),
    "pre-commit": "unit tests..................Passed\nlint.................................................(no files to check)Skipped\n",
    "doit": "-- build\n.  test\n",
    "nox": "nox > Running session tests\nnox > Session tests was successful.\nnox > Session lint skipped: not here.\n",
    "tox": "  py27: SKIP (0.68 seconds)\n  py312: OK (1.00 seconds)\n  congratulations :) (1.68 seconds)\n",
    "jest-in-one-of-two-workspaces": (
        "No tests found, exiting with code 0\n"
        "Test Suites: 1 passed, 1 total\nTests:       2 passed, 2 total\nSnapshots:   0 total\nTime:        1 s\n"
    ),
    "go-beside-jest": "No tests found, exiting with code 0\nok  \texample.org/r\t0.01s\n",
    "cmake-configures": "-- The C compiler identification is GNU 12\n-- Configuring done\n-- Generating done\n",
    "a-word-of-it-long-before": "No tests found in old/.\n" + "checking a file\n" * 20 + "all well\n",
    "not-failed": "0 tests failed\n",
    "nothing-skipped": "No tests were skipped\n",
    "long-before-in-turbo": TURBO + "running the other checks\n" * 12,
}


def test_who_ran_nothing_shows_nothing(tmp_path: Path) -> None:
    judged = printed(tmp_path, NOTHING)
    assert states(judged) == dict.fromkeys(NOTHING, "fail")
    said = {one.reason.partition(" (")[0] for one in judged.values()}
    assert said == {f"no {what} was executed" for what in ("test", "task", "hook")} | {
        "the runner replayed an old result and ran nothing"
    }


def test_who_ran_something_is_not_taken_for_one_of_them(tmp_path: Path) -> None:
    assert states(printed(tmp_path, SOMETHING)) == dict.fromkeys(SOMETHING, "pass")


def test_what_tools_at_hand_print_now(tmp_path: Path) -> None:
    commands = {"unittest": f"{sys.executable} -m unittest discover -s empty || test $? = 5"}
    if shutil.which("make"):
        commands["make"] = "make -s test"
    if shutil.which("ctest") and shutil.which("cmake"):
        commands["ctest"] = "cmake -S . -B build > /dev/null && cd build && ctest"
    if _pre_commit_works(tmp_path):
        commands["pre-commit"] = f"{sys.executable} -m pre_commit run --all-files"
    hooks = "repos: [{repo: local, hooks: [{id: a, name: a, entry: 'false', language: system, files: '[.]none$'}]}]\n"
    files = {
        "empty/__init__.py": "",
        "Makefile": ".PHONY: all\ntest: Makefile\n",
        "test": "",
        "CMakeLists.txt": "cmake_minimum_required(VERSION 3.10)\nproject(p NONE)\nenable_testing()\n",
        ".pre-commit-config.yaml": hooks,
        ".gitignore": "build\n__pycache__\n",
    }
    if "make" in commands:
        commands["make"] = "touch test && make test"
    assert states(ran(tmp_path / "world", commands, files)) == dict.fromkeys(commands, "fail")


def _pre_commit_works(folder: Path) -> bool:
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", "--version"], cwd=folder, capture_output=True, check=False
    )
    return done.returncode == 0


@pytest.mark.parametrize("shell", ["sh run.sh", "cat out.txt", "make -s test"])
def test_it_is_the_same_if_a_script_starts_the_runner(tmp_path: Path, shell: str) -> None:
    if shell.startswith("make") and not shutil.which("make"):
        pytest.skip("there is no make on this machine")
    files = {
        "run.sh": "cat out.txt\n",
        "out.txt": NOTHING["jest-o"],
        "Makefile": ".PHONY: test\ntest:\n\t@cat out.txt\n",
    }
    assert states(ran(tmp_path, {"tests": shell}, files)) == {"tests": "fail"}
