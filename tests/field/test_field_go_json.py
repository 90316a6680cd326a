"""`go test -json`: benchmarks, events without a package, cached runs, and which runs are re-runs.

The files were written by Go 1.27.3 for a small project of their own; `go`, if there is one, writes them again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from field.world import imported, states

DATA = Path(__file__).parents[1] / "data" / "field" / "go"


def recorded(*names: str) -> dict[str, bytes]:
    return {name: (DATA / f"{name}.jsonl").read_bytes() for name in names}


def events(*lines: str, package: str = "p") -> str:
    """Events as `action` or `action Test`."""
    made = []
    for line in lines:
        action, _, test = line.partition(" ")
        made.append({"Action": action, **({"Package": package} if package else {}), **({"Test": test} if test else {})})
    return "".join(json.dumps(one) + "\n" for one in made)


A_FAILS = ("run TestA", "fail TestA", "run TestB", "pass TestB", "fail")
BOTH_PASS = ("run TestA", "pass TestA", "run TestB", "pass TestB", "pass")
ONLY_A = ("run TestA", "pass TestA", "pass")

PASS = {
    **recorded("benchmarks", "benchmarks-alone", "real-then-cached", "cached-then-real", "counted-twice"),
    **recorded("rerun", "rerun-twice", "with-package", "without-package"),
    "rerun-of-older-go": events(*A_FAILS, *ONLY_A),
    "no-end-but-the-package-s": events("start", "run TestA", "run TestB", "pass TestB", "pass"),
    "text-between": events("start", "run TestA", "pass TestA") + "some text\n{}\n" + events("pass"),
    "in-utf-16": events("start", *BOTH_PASS).encode("utf-16"),
}
FAIL = {
    **recorded(
        "fails-then-passes", "passes-then-fails", "matrix", "rerun-fails", "without-package-fails", "no-test-files"
    ),
    "fails-then-all-again": events("start", *A_FAILS, "start", *BOTH_PASS),
    "older-go-fails-then-all-again": events(*A_FAILS, *BOTH_PASS),
    "one-test-in-two-runs": events("start", "run TestA", "fail TestA", "fail", "start", *ONLY_A),
    "rerun-of-something-else": events("start", *A_FAILS, "start", "run TestB", "pass TestB", "pass"),
    "rerun-with-another": events(
        "start", *A_FAILS, "start", "run TestA", "pass TestA", "run TestC", "pass TestC", "pass"
    ),
    "same-run-again": events("run TestA", "fail TestA", "run TestA", "pass TestA", "fail"),
    "benchmark-cut-short": events("start", "run TestA", "pass TestA", "run BenchmarkB"),
    "package-failed-outside-its-tests": events("start", *ONLY_A[:2], "fail", "start", *ONLY_A),
    "two-packages": events("start", *A_FAILS, package="q") + events("start", *BOTH_PASS),
    "without-package": events("start", *A_FAILS, package=""),
}


def test_what_passed_passes(tmp_path: Path) -> None:
    judged = imported(tmp_path, PASS, ".jsonl")
    assert states(judged) == dict.fromkeys(PASS, "pass")
    assert judged["rerun"].names["flaky"] == ["example.org/shop/cart.TestGroup/one"]
    assert (judged["benchmarks"].passed, judged["benchmarks-alone"].passed) == (5, 2)


def test_what_failed_fails(tmp_path: Path) -> None:
    judged = imported(tmp_path, FAIL, ".jsonl")
    assert states(judged) == dict.fromkeys(FAIL, "fail")
    assert judged["matrix"].names["failed"] == ["example.org/shop/cart.TestStrict"]


@pytest.mark.storm
@pytest.mark.skipif(shutil.which("go") is None, reason="there is no Go on this machine")
def test_what_go_writes_now(tmp_path: Path) -> None:
    project = tmp_path / "go"
    project.mkdir()
    (project / "go.mod").write_text("module example.org/m\n\ngo 1.19\n")
    (project / "m_test.go").write_text(
        'package m\nimport ("os"; "testing")\n'
        'func TestA(t *testing.T) { if os.Getenv("BREAK") != "" { t.Fatal("broken") } }\n'
        "func TestB(t *testing.T) {}\nfunc BenchmarkC(b *testing.B) {}\n"
    )

    def go(*arguments: str, broken: bool = False) -> bytes:
        import os

        environment = {**os.environ, "GOTOOLCHAIN": "local", "BREAK": "1" if broken else ""}
        command = ["go", "test", "-json", "-count=1", *arguments]
        return subprocess.run(command, cwd=project, env=environment, capture_output=True, check=False).stdout

    whole, broken = go("-bench", "."), go(broken=True)
    reports = {"benchmark": whole, "twice": broken + whole, "rerun": broken + go("-run", "^TestA$")}
    assert states(imported(tmp_path, reports, ".jsonl")) == {"benchmark": "pass", "twice": "fail", "rerun": "pass"}
