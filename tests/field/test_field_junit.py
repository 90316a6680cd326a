"""JUnit XML: totals that contradict the cases, and text that cannot be read and that nothing is taken from."""

from __future__ import annotations

from pathlib import Path

from field.world import imported, states

ESCAPE = "\x1b[31mred\x1b[0m"


def suite(inside: str = "", *, cases: str = '<testcase name="a"/><testcase name="b"/>', **attributes: object) -> str:
    told = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<testsuite name="s"{told}>{cases}{inside}</testsuite>'


def encoded(encoding: str, text: str) -> bytes:
    return (f'<?xml version="1.0" encoding="{encoding}"?>\n' + text).encode(encoding)


WORSE_THAN_ITS_CASES = {
    "error-of-the-suite": suite("<system-out/>", errors=1, tests=3),
    "failure-of-the-suite": suite(failures=1),
    "both": suite(failures=1, errors=2),
    "of-all-suites": f'<testsuites failures="1">{suite(failures=0)}</testsuites>',
    "of-one-of-two": f"<testsuites>{suite(errors=0)}{suite(errors=1)}</testsuites>",
    "of-a-suite-in-a-suite": f'<testsuite name="outer">{suite(failures=1)}</testsuite>',
    "more-than-are-shown": suite(failures=2, cases='<testcase name="a"/>') + "",
    "no-case-at-all": suite(cases="", errors=1),
    "called-failed": suite(failed=1),
    "beside-text-that-cannot-be-read": suite(f"<system-out>{ESCAPE}</system-out>", errors=1),
}

UNREADABLE_TEXT = {
    "escape-reference": suite("<system-out>&#27;[0;32mready&#27;[0m</system-out>"),
    "escape": suite(f"<system-out>{ESCAPE}</system-out>"),
    "nul-reference": suite("<system-err>&#0;</system-err>"),
    "backspaces": suite("<system-err>\x08\x08</system-err>"),
    "in-cdata": suite(f"<system-out><![CDATA[{ESCAPE} & <b>]]></system-out>"),
    "cdata-that-ends-early": suite("<system-out><![CDATA[a ]]> b ]]> & <x></system-out>"),
    "unescaped": suite("<system-out>if a < b && c > d</system-out>"),
    "in-a-property": suite(
        '<properties><property name="p" value="&#x1b;[1m"/></properties>', cases='<testcase name="a"/>'
    ),
    "attachment": suite(f'<properties><property name="a" value="{"A" * 6_000_000}"/></properties>'),
    "long-comment": suite(f"<!--{'x' * 6_000_000}-->"),
    "of-a-case": suite(cases=f'<testcase name="a"><system-out>{ESCAPE}</system-out></testcase>'),
    "of-a-skipped-case": suite(
        cases=f'<testcase name="a"/><testcase name="b"><skipped message="{ESCAPE}"/></testcase>'
    ),
    "of-a-re-run": suite(
        cases=f'<testcase name="a"><rerunFailure message="{ESCAPE}">{ESCAPE}</rerunFailure></testcase>'
    ),
    "not-utf-8": suite("<system-out>caf\udce9</system-out>").encode("utf-8", "surrogateescape"),
    "between-the-cases": suite(ESCAPE),
    "japanese": encoded("Shift_JIS", suite("<system-out>表示テスト</system-out>", cases='<testcase name="足し算"/>')),
    "chinese": encoded("GBK", suite("<system-out>测试</system-out>", cases='<testcase name="加法"/>')),
    "korean": encoded("EUC-KR", suite(cases='<testcase name="시험"/>')),
    "taiwanese": encoded("Big5", suite(cases='<testcase name="測試"/>')),
    "japanese-of-unix": encoded("EUC-JP", suite(cases='<testcase name="足し算"/>')),
    "windows": encoded("windows-1252", suite("<system-out>“quoted” €</system-out>")),
}

UNREADABLE_RESULT = {
    "name-of-a-case": suite(cases='<testcase name="a"/><testcase name="&#27;b"/>'),
    "case": suite(cases='<testcase name="a"/><testcase name=b/>'),
    "case-of-over-4-mib": suite(cases=f'<testcase name="{"a" * 6_000_000}"/>'),
    "cut-short": suite(f"<system-out>{ESCAPE}</system-out>")[:-20],
    "output-without-end": suite(cases=f'<testcase name="a"><system-out>{ESCAPE}</testcase><testcase name="b"/>'),
    "failure-in-output-without-end": suite(
        cases=f'<testcase name="a"><system-out>{ESCAPE}</testcase>'
        '<testcase name="b"><failure/><system-out>x</system-out></testcase>'
    ),
    "not-closed": suite(f"<system-out>{ESCAPE}</system-out>").replace("</testsuite>", ""),
    "other-tag-closes": suite(f"<system-out>{ESCAPE}</system-out>").replace("</testsuite>", "</testsuites>"),
    "stateful-encoding": encoded("utf-7", suite()),
    "unknown-encoding": b'<?xml version="1.0" encoding="no-such"?><testsuite><testcase/></testsuite>',
    "entities": f"<!DOCTYPE x>{suite()}",
}

FAILED_ALL_THE_SAME = {
    "failure-with-escapes": suite(
        cases=f'<testcase name="a"><failure message="{ESCAPE}">{ESCAPE}</failure></testcase>'
    ),
    "error-with-a-reference": suite(cases='<testcase name="a"><error message="&#27;">&#27;</error></testcase>'),
    "of-the-suite": suite(f'<error message="{ESCAPE}"/>'),
    "by-status": suite(f"<system-out>{ESCAPE}</system-out>", cases='<testcase name="a" status="failed"/>'),
    "in-another-encoding": encoded("Shift_JIS", suite(cases='<testcase name="表"><failure/></testcase>')),
    "one-of-two-files": [suite(), suite(cases='<testcase name="a"><failure/></testcase>')],
    "fails-then-passes-in-two-files": [suite(cases='<testcase name="a"><failure/></testcase>'), suite()],
}

GOOD = {
    "totals-that-fit": suite(failures=0, errors=0, tests=2),
    "totals-too-high-for-tests-alone": suite(tests=99),
    "totals-of-nonsense": suite(failures="-1", errors="many"),
    "flaky-counted-as-failures": suite(
        failures=2, tests=3, cases='<testcase name="a"><flakyFailure/><flakyFailure/></testcase>'
    ),
    "expected-to-fail": suite(
        failures=1, cases='<testcase name="a"><skipped type="todo"/><failure/></testcase><testcase/>'
    ),
}


def test_a_suite_that_says_more_failed_than_it_shows(tmp_path: Path) -> None:
    judged = imported(tmp_path, WORSE_THAN_ITS_CASES, ".xml")
    assert states(judged) == dict.fromkeys(WORSE_THAN_ITS_CASES, "fail")
    assert "it says that 1 failed or broke, and shows 0" in judged["error-of-the-suite"].reason


def test_text_that_nothing_is_taken_from_may_be_unreadable(tmp_path: Path) -> None:
    judged = imported(tmp_path, UNREADABLE_TEXT, ".xml")
    assert states(judged) == dict.fromkeys(UNREADABLE_TEXT, "pass")
    assert "left out, since it cannot be read: system-out in line 1" in judged["escape"].reason
    assert "left out" not in judged["japanese"].reason


def test_a_tag_that_carries_a_result_may_not(tmp_path: Path) -> None:
    assert states(imported(tmp_path, UNREADABLE_RESULT, ".xml")) == dict.fromkeys(UNREADABLE_RESULT, "missing")


def test_failures_are_seen_past_it(tmp_path: Path) -> None:
    assert states(imported(tmp_path, FAILED_ALL_THE_SAME, ".xml")) == dict.fromkeys(FAILED_ALL_THE_SAME, "fail")


def test_totals_that_say_nothing_worse(tmp_path: Path) -> None:
    assert states(imported(tmp_path, GOOD, ".xml")) == dict.fromkeys(GOOD, "pass")
