from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from junitparser import xunit2

from tallystick.errors import InputError
from tallystick.reports import read_report
from tallystick.reports.base import combined

DATA = Path(__file__).parents[1] / "data" / "reports" / "junit"


@pytest.mark.parametrize(
    ("file", "tool", "passed", "failed", "errors", "skipped", "flaky"),
    [
        ("pytest.xml", "pytest", 6, 1, 2, 1, 0),  # its attributes say 13 tests
        ("pytest-rerun.xml", "pytest", 5, 0, 0, 1, 1),
        ("surefire-ShopTest.xml", "surefire", 3, 1, 1, 2, 2),  # its attributes say 16 tests, 5 errors, 6 failures
        ("surefire-GoodTest.xml", "surefire", 1, 0, 0, 0, 0),
        ("node20-mixed.xml", "", 5, 2, 0, 2, 0),
        ("node20-pass.xml", "", 2, 0, 0, 1, 0),
        ("vitest.xml", "vitest", 4, 1, 0, 3, 0),
        ("mocha-xunit.xml", "mocha", 1, 1, 0, 2, 0),
        ("playwright.xml", "", 2, 1, 0, 1, 0),
        ("bun.xml", "bun", 2, 0, 0, 2, 0),
        ("gtest.xml", "googletest", 1, 1, 0, 2, 0),
        ("phpunit.xml", "", 1, 1, 1, 2, 0),
        ("ctest.xml", "", 1, 1, 0, 3, 0),
    ],
)
def test_counts_of_real_reports(
    file: str, tool: str, passed: int, failed: int, errors: int, skipped: int, flaky: int
) -> None:
    report = read_report((DATA / file).read_bytes(), filename=file)
    assert report.counts == {
        "passed": passed,
        "failed": failed,
        "errors": errors,
        "skipped": skipped,
        "flaky": flaky,
        **({"xfailed": 1} if file == "pytest.xml" else {}),
    }
    assert (report.format, report.tool, report.unit, report.left_out) == ("junit", tool, "tests", {})
    assert report.status == ("fail" if failed or errors else "pass")


def test_names() -> None:
    report = read_report((DATA / "surefire-ShopTest.xml").read_bytes())
    assert report.names == {
        "failed": ("shop.ShopTest::breaks", "shop.ShopTest::throwsAlways"),
        "skipped": ("shop.ShopTest::assumes", "shop.ShopTest::later"),
        "flaky": ("shop.ShopTest::flaky", "shop.ShopTest::flakyError"),
    }
    node = read_report((DATA / "node20-mixed.xml").read_bytes())
    assert node.names["failed"] == ("breaks", "deeper::fails deep")


def test_files_of_one_run_add_up() -> None:
    run = combined(read_report((DATA / f"surefire-{name}.xml").read_bytes()) for name in ("ShopTest", "GoodTest"))
    assert (run.executed, run.failed, run.skipped, run.tool, run.duration_ms) == (6, 1, 2, "surefire", 142)


@pytest.mark.parametrize(
    "file", ["surefire-ShopTest.xml", "surefire-GoodTest.xml", "pytest.xml", "vitest.xml", "bun.xml"]
)
def test_junitparser_reads_the_same(file: str) -> None:
    report = read_report((DATA / file).read_bytes())
    cases = [case for suite in xunit2.JUnitXml.fromstring((DATA / file).read_bytes()) for case in suite]
    assert len(cases) == report.executed + report.skipped
    assert sum(case.is_failure for case in cases) == report.failed
    assert sum(case.is_error for case in cases) == report.errors
    assert sum(case.is_skipped for case in cases) == report.skipped + report.xfailed
    assert sum(case.is_flaky for case in cases) == report.flaky


def suite(cases: str, attributes: str = "") -> bytes:
    return f"<testsuite {attributes}>{cases}</testsuite>".encode()


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("<testcase/>", "passed"),
        ("<testcase><failure/></testcase>", "failed"),
        ("<testcase><error/></testcase>", "errors"),
        ("<testcase><skipped/></testcase>", "skipped"),
        ("<testcase><error/><failure/></testcase>", "errors"),
        ("<testcase><skipped/><failure/></testcase>", "failed"),
        ('<testcase><skipped type="todo"/><failure/></testcase>', "skipped"),
        ("<testcase><flakyFailure/></testcase>", "flaky"),
        ("<testcase><flakyError/><flakyFailure/></testcase>", "flaky"),
        ("<testcase><failure/><rerunFailure/></testcase>", "failed"),
        ("<testcase><error/><rerunError/></testcase>", "errors"),
        ("<testcase><rerunFailure/></testcase>", "flaky"),
        ("<testcase><system-out>&lt;failure/></system-out></testcase>", "passed"),
        ("<testcase><system-out><failure/><testcase/></system-out></testcase>", "passed"),
        ("<testcase><failure><testcase><error/></testcase></failure></testcase>", "failed"),
        ("<testcase><properties><property name='failure'/></properties></testcase>", "passed"),
        ("<testcase status='notrun'/>", "skipped"),
        ("<testcase status='disabled'><system-out/></testcase>", "skipped"),
        ("<testcase status='run' result='suppressed'/>", "skipped"),
        ("<testcase status='FAILED'/>", "failed"),
        ("<testcase status='run' result='completed'/>", "passed"),
        ("<x:testcase xmlns:x='u'><x:failure/></x:testcase>", "failed"),
    ],
)
def test_outcome_of_a_testcase(case: str, kind: str) -> None:
    report = read_report(suite(case))
    expected = dict.fromkeys(report.counts, 0) | {kind: 1}
    if kind == "flaky":
        expected["passed"] = 1
    assert report.counts == expected


def test_suites_nest_and_attributes_do_not_count() -> None:
    inner = (
        "<testsuite tests='-4' failures='-99' errors='many'><testcase/><testsuite><testcase/></testsuite></testsuite>"
    )
    report = read_report(f"<testsuites tests='77' errors='x'><testcase/>{inner}</testsuites>".encode())
    assert (report.executed, report.failed, report.passed) == (3, 0, 3)


def test_a_suite_that_could_not_be_set_up_is_a_problem() -> None:
    report = read_report(suite("<error message='no database'/><testcase/>", "name='shop'"))
    assert report.problems == ("shop: no database",)
    assert (report.errors, report.status) == (0, "fail")


def test_a_pytest_name_is_one_test() -> None:
    double = (
        "<testcase classname='a' name='t'><failure/></testcase><testcase classname='a' name='t'><error/></testcase>"
    )
    report = read_report(suite(f"{double}<testcase classname='a' name='u'/>", "name='pytest'"))
    assert (report.executed, report.failed, report.errors, report.flaky) == (2, 1, 0, 0)
    other = read_report(suite(double, "name='cases'"))
    assert (other.executed, other.failed, other.errors) == (2, 1, 1)


def test_two_pytest_sessions_in_one_report_are_apart() -> None:
    session = (
        "<testsuite name='pytest'><testcase classname='a' name='t'/><testcase classname='a' name='u'/></testsuite>"
    )
    report = read_report(f"<testsuites name='pytest tests'>{session}{session}</testsuites>".encode())
    assert (report.passed, report.flaky) == (4, 0)


def test_every_test_twice_in_pytest_is_no_rerun() -> None:
    report = read_report(suite("<testcase classname='a' name='t'/>" * 2, "name='pytest'"))
    assert (report.passed, report.flaky) == (1, 0)


@pytest.mark.parametrize(
    ("xml", "milliseconds"),
    [
        ("<testsuites time='1.5'><testsuite time='9'><testcase time='9'/></testsuite></testsuites>", 1500),
        ("<testsuites><testsuite time='1'><testsuite time='8'/></testsuite><testsuite time='2'/></testsuites>", 3000),
        ("<testsuites><testsuite><testcase time='0.0004'/><testcase time='0.0004'/></testsuite></testsuites>", 1),
        ("<testsuite time='1,234.5'/>", 1_234_500),
        ("<testsuite time='nan'/>", None),
        ("<testsuite time='-1'/>", None),
        ("<testsuite time='1e300'/>", None),
        ("<testsuite time='soon'><testcase time='2'/></testsuite>", 2000),
        ("<testsuite/>", None),
    ],
)
def test_duration(xml: str, milliseconds: int | None) -> None:
    assert read_report(xml.encode()).duration_ms == milliseconds


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "utf-8-sig"])
def test_encodings(encoding: str) -> None:
    declared = encoding.removesuffix("-sig")
    xml = f"<?xml version='1.0' encoding='{declared}'?><testsuite><testcase name='é'><failure/></testcase></testsuite>"
    assert read_report(xml.encode(encoding)).names["failed"] == ("é",)


BOMB = "<!DOCTYPE testsuite [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
    f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(9)
)


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        (f"{BOMB}]><testsuite><testcase name='&j;'/></testsuite>", "document type declaration"),
        ("<!DOCTYPE testsuite SYSTEM 'file:///etc/passwd'><testsuite/>", "document type declaration"),
        ("<!DOCTYPE testsuite><testsuite/>", "document type declaration"),
        ("<testsuite><testcase name='&undefined;'/></testsuite>", "undefined entity"),
        ("<testsuite>" * 200, "deeper than 128"),
        (f"<testsuite><testcase name='{'x' * 6_000_000}'/></testsuite>", "over 4 MiB"),
        ("<testsuite>", "no element found"),
        ("<testsuite></testsuites>", "mismatched tag"),
        ("<testsuite/><testsuite/>", "junk after document element"),
        ("<html><body/></html>", "root element is <html>"),
        ("<test-run><testcase/></test-run>", "root element is <test-run>"),
        ("<?xml version='1.0' encoding='utf-7'?><testsuite/>", "encoding"),
        ("<?xml version='1.0' encoding='no-such'?><testsuite/>", "encoding"),
        ("<?xml version='1.0' encoding='hex'?><testsuite/>", "encoding"),
        ("<", "not well-formed"),
    ],
)
def test_what_is_refused(xml: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read_report(xml.encode(), filename="r.xml")
    line = str(caught.value)
    assert line.startswith("r.xml line ")
    assert says in line
    assert "\n" not in line


def test_the_line_is_named() -> None:
    with pytest.raises(InputError, match=r"^r\.xml line 3: not well-formed XML \(mismatched tag\)$"):
        read_report(b"<testsuite>\n<testcase>\n</testsuite>", filename="r.xml")


def test_large_text_is_passed_over_in_little_memory() -> None:
    cases = b"".join(
        b"<testcase name='t%d'><failure>%s</failure></testcase>" % (n, b"x" * 20_000) for n in range(1_000)
    )
    xml = b"<testsuite>" + cases + b"</testsuite>"
    tracemalloc.start()
    try:
        report = read_report(xml)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert report.failed == 1_000
    assert peak < len(xml) / 4


def test_what_pytest_writes_now(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n"
        "def test_a(): pass\n"
        "def test_b(): assert 0\n"
        "@pytest.mark.skip\ndef test_c(): pass\n"
        "@pytest.mark.xfail\ndef test_d(): assert 0\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=r.xml", "test_it.py"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    report = read_report((tmp_path / "r.xml").read_bytes())
    assert (report.tool, report.passed, report.failed, report.skipped) == ("pytest", 1, 1, 1)
    assert report.names["failed"] == ("test_it::test_b",)
