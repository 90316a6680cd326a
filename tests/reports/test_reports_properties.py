"""What holds of reports in any format: more failures never pass, more passes never fail, order does not matter."""

# ruff: noqa: E501 (tables of commands)
from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.gate.expectation import Expectation
from tallystick.gate.judgement import counts_in, shortcomings
from tallystick.gate.shown_exit import HIDDEN, INVERTED, SHOWN, UNKNOWN, shown_exit
from tallystick.reports import read_report
from tallystick.reports.base import Report, combined
from tallystick.reports.console import read_console

Tests = Sequence[tuple[str, str]]

KINDS = st.sampled_from(["pass", "pass", "pass", "fail", "skip"])
TESTS = st.lists(
    st.tuples(st.from_regex(r"[A-Z][a-z]{1,6}", fullmatch=True), KINDS), max_size=8, unique_by=lambda t: t[0]
)


def tap(tests: Tests) -> bytes:
    lines = [f"1..{len(tests)}"]
    for number, (name, kind) in enumerate(tests, 1):
        lines.append(f"{'not ok' if kind == 'fail' else 'ok'} {number} - {name}{' # SKIP' if kind == 'skip' else ''}")
    return "\n".join([*lines, ""]).encode()


def nested_tap(tests: Tests) -> bytes:
    inner = tap(tests).decode()
    verdict = "not ok" if any(kind == "fail" for _, kind in tests) else "ok"
    return f"KTAP version 1\n1..1\n{re.sub('(?m)^(?=.)', '  ', inner)}{verdict} 1 group\n".encode()


def junit(tests: Tests) -> bytes:
    inside = {"pass": "", "fail": "<failure message='&#10;'/>", "skip": "<skipped/>"}
    cases = "".join(f"<testcase name={quoteattr(name)}>{inside[kind]}</testcase>" for name, kind in tests)
    failures = sum(kind == "fail" for _, kind in tests)
    return f"<testsuite tests='{len(tests)}' failures='{failures}'>{cases}</testsuite>".encode()


def damaged_junit(tests: Tests) -> bytes:
    return junit(tests).replace(b"</testsuite>", b"<system-out>\x1b[31m & <</system-out></testsuite>")


def ctrf(tests: Tests) -> bytes:
    words = {"pass": "passed", "fail": "failed", "skip": "skipped"}
    listed = [{"name": name, "status": words[kind]} for name, kind in tests]
    return json.dumps({"results": {"tool": {}, "tests": listed}}).encode()


def go(tests: Tests) -> bytes:
    events: list[dict[str, str]] = [{"Action": "start"}]
    for name, kind in tests:
        events += [{"Action": "run", "Test": f"Test{name}"}, {"Action": kind, "Test": f"Test{name}"}]
    events.append({"Action": "fail" if any(kind == "fail" for _, kind in tests) else "pass"})
    return "".join(json.dumps({**event, "Package": "p"}) + "\n" for event in events).encode()


def sarif(tests: Tests) -> bytes:
    """Of an analyser only failures are findings; what passes is told by its kind."""
    kinds = {"pass": {"kind": "pass"}, "fail": {"level": "error"}, "skip": {"kind": "notApplicable"}}
    results = [{"ruleId": name, "message": {"text": "m"}, **kinds[kind]} for name, kind in tests]
    return json.dumps({"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "a"}}, "results": results}]}).encode()


FORMATS: dict[str, Callable[[Tests], bytes]] = {
    "tap": tap, "nested-tap": nested_tap, "junit": junit, "damaged-junit": damaged_junit, "ctrf": ctrf, "go": go,
    "sarif": sarif,
}  # fmt: skip


def read(format: str, tests: Tests) -> Report:
    return read_report(FORMATS[format](tests), format.rpartition("-")[2])


def bad(tests: Tests) -> bool:
    return any(kind == "fail" for _, kind in tests)


@pytest.mark.parametrize("format", FORMATS)
@given(tests=TESTS, more=TESTS)
def test_more_failures_never_pass_and_more_passes_never_fail(format: str, tests: Tests, more: Tests) -> None:
    report = read(format, tests)
    assert (report.status == "fail") == bad(tests)
    names = {name for name, _ in tests}
    further = [(name, "pass") for name, _ in more if name not in names]
    with_passes = read(format, [*tests, *further])
    assert (with_passes.status == "fail") == (report.status == "fail")
    assert with_passes.status == "pass" or report.status != "pass"
    if format != "sarif" and (tests or format != "nested-tap"):  # an empty group is a test itself
        assert with_passes.passed == report.passed + len(further)
    assert read(format, [*tests, ("Zzzzzzzz", "fail")]).status == "fail"


@pytest.mark.parametrize("format", FORMATS)
@given(data=st.data())
def test_the_order_of_tests_and_files_does_not_matter(format: str, data: st.DataObject) -> None:
    files = data.draw(st.lists(TESTS, min_size=1, max_size=4))
    shuffled = data.draw(st.permutations([data.draw(st.permutations(file)) for file in files]))
    one = combined(read(format, file) for file in files)
    other = combined(read(format, file) for file in shuffled)
    assert (one.status, one.counts, one.names, one.unit) == (other.status, other.counts, other.names, other.unit)
    assert (one.status == "fail") == any(map(bad, files))


@given(data=st.data())
def test_the_order_of_units_does_not_matter(data: st.DataObject) -> None:
    made = st.builds(
        Report,
        st.just("console"),
        unit=st.sampled_from(["tests", "packages", "targets", "tasks", "analyses"]),
        counts=st.fixed_dictionaries({"passed": st.integers(0, 3), "failed": st.integers(0, 2)}),
    )
    parts = data.draw(st.lists(made, min_size=1, max_size=5))
    one, other = combined(parts), combined(data.draw(st.permutations(parts)))
    assert (one.status, one.counts, one.unit) == (other.status, other.counts, other.unit)
    assert (one.status == "fail") == any(part.status == "fail" for part in parts)


@given(runs=st.lists(TESTS, min_size=1, max_size=4), data=st.data())
def test_runs_of_one_go_package_are_of_equal_standing(runs: list[Tests], data: st.DataObject) -> None:
    """Each repeats a test that passes, so that none is a re-run of those that failed."""
    whole = [[*run, ("Aaaaaaaaa", "pass")] for run in runs]
    one = read_report(b"".join(map(go, whole)), "go")
    other = read_report(b"".join(map(go, data.draw(st.permutations(whole)))), "go")
    assert (one.status, one.counts, one.names) == (other.status, other.counts, other.names)
    assert (one.status == "fail") == any(map(bad, whole))


def pytest_says(tests: Tests) -> str:
    counted = {kind: sum(one == kind for _, one in tests) for kind in ("fail", "pass", "skip")}
    words = {"fail": "failed", "pass": "passed", "skip": "skipped"}
    told = ", ".join(f"{count} {words[kind]}" for kind, count in counted.items() if count) or "no tests ran"
    return f"==== test session starts ====\n\n==== {told} in 0.01s ====\n"


@given(runs=st.lists(TESTS, min_size=1, max_size=4), data=st.data())
def test_the_order_of_runs_in_an_output_does_not_matter(runs: list[Tests], data: st.DataObject) -> None:
    one = read_console("".join(map(pytest_says, runs)).encode())
    other = read_console("".join(map(pytest_says, data.draw(st.permutations(runs)))).encode())
    assert one is not None
    assert other is not None
    assert (one.status, one.counts, one.inside) == (other.status, other.counts, other.inside)
    assert one.passed == sum(kind == "pass" for run in runs for _, kind in run)
    assert (one.status == "fail") == any(map(bad, runs))


MOCHA = "\n\n{marks}\n\n  {passed} passing (4ms)\n{failing}\n"
OUTPUTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=4)


@given(OUTPUTS, st.sampled_from(["mocha a; mocha b", "sh run.sh", "mocha a | tee log", "make test"]))
def test_no_failure_is_lost_if_the_exit_code_may_be_hidden(runs: list[tuple[int, int]], command: str) -> None:
    output = "".join(
        MOCHA.format(
            marks="\n".join([*["    ✓ fine"] * passed, *[f"    {at}) bad" for at in range(1, failed + 1)]]),
            passed=passed,
            failing=f"  {failed} failing\n" if failed else "",
        )
        for passed, failed in runs
    )
    reasons = shortcomings(Expectation(), 0, counts_in(output.encode()), str, command=command)
    assert bool(reasons) == (any(failed for _, failed in runs) or not any(passed for passed, _ in runs))


PIECES = [
    "pytest", "make", "sh run.sh", "sh -c 'pytest'", " ", "; ", " | ", " || ", " && ", " & ", "\n", "! ", "(", ")", "{ ", " }",
    "$(", "`", "'", '"', "\\", "# x", "exit 1", "true", "if ", "set -e", "set -o pipefail", "> log", "2>&1", "<<E", "a=b ",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_any_command_is_judged(command: str) -> None:
    assert shown_exit(command) in (SHOWN, UNKNOWN, HIDDEN, INVERTED)


@given(st.sampled_from(["pytest -q", "go test ./...", "npx jest", "cd a && pytest", "env A=1 timeout 9 pytest 'a|b'"]))
def test_what_hides_an_exit_code_is_seen_around_any_command(command: str) -> None:
    assert shown_exit(command) == SHOWN
    for hiding in (
        f"{command} | tee log", f"{command}; true", f"{command} || true", f"{command} &", f"{command}\ntrue",
        f"({command}; true)", f"sh -c {json.dumps(command + ' | cat')}", f"if {command}; then :; fi",
        f"for x in a; do {command}; done", f"echo \"$({command})\"", f"{command} && true | cat", f"! {command}; true",
    ):  # fmt: skip
        assert shown_exit(hiding) == HIDDEN, hiding
    for shown in (f"{command} > log 2>&1", f"set -e; {command}; {command}", f"{command} || exit 1", f"({command})"):
        assert shown_exit(shown) == SHOWN, shown
    assert shown_exit(f"! {command}") == INVERTED


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("pytest -k 'a; b | c'", SHOWN), ("cd x; pytest", SHOWN), ("A=1 B=2 pytest", SHOWN), ("pytest # | tee", SHOWN),
        ("set -o pipefail; pytest | tee log", SHOWN), ("bash -o pipefail -c 'pytest | tee x'", SHOWN),
        ("sh -ec 'pytest; ruff'", SHOWN), ("pytest || { echo no; exit 1; }", SHOWN), ("pytest -n $(nproc)", SHOWN),
        ("set -eu\npytest\nruff\n", SHOWN), ("python -m pytest", SHOWN), ("./gradlew test", SHOWN), ("node --test", SHOWN),
        ("node_modules/.bin/jest", SHOWN), ("bundle exec rspec", SHOWN), ("exec pytest", SHOWN),
        ("make test", UNKNOWN), ("npm test", UNKNOWN), ("sh run.sh", UNKNOWN), ("./run", UNKNOWN), ("python run.py", UNKNOWN),
        ("bin/test", UNKNOWN), ("tox", UNKNOWN), (". ./x", UNKNOWN), ("$RUN", UNKNOWN), ("", UNKNOWN), ("node x.js", UNKNOWN),
        ("make -i test", HIDDEN), ("find . -name x -exec pytest {} \\;", HIDDEN), ("script -qc pytest /dev/null", HIDDEN),
        ("pytest 'unclosed", HIDDEN), ("set -e; pytest && ruff; mypy", HIDDEN), ("x=$(pytest); echo $x", HIDDEN),
        ("pytest || exit 0", HIDDEN), ("pnpm -r test --no-bail", HIDDEN), ("cat <<E\nx\nE\n", HIDDEN),
        ("! pytest bad && pytest good", INVERTED), ("sh -c '! pytest bad'", INVERTED), ("cd x; ! pytest bad", INVERTED),
    ],
)  # fmt: skip
def test_what_the_exit_code_tells(command: str, expected: str) -> None:
    assert shown_exit(command) == expected
