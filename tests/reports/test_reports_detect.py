from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tallystick.reports
from tallystick.errors import InputError
from tallystick.reports import FORMATS, detect, read_report
from tallystick.reports.base import Report

DATA = Path(__file__).parents[1] / "data" / "reports"
FILES = sorted(path for folder in FORMATS for path in (DATA / folder).iterdir())
SMALL = {path: path.read_bytes() for path in FILES if path.stat().st_size < 40_000}


def test_there_are_files_of_every_format() -> None:
    assert {path.parent.name for path in SMALL} == set(FORMATS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_formats_are_known_by_content(path: Path) -> None:
    assert detect(path.read_bytes()) == path.parent.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_reports_stand_in_details(path: Path) -> None:
    report = read_report(path.read_bytes())
    assert Report.from_details(report.to_details()) == report


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (b"\xef\xbb\xbf<testsuite/>", "junit"),
        ("<testsuite/>".encode("utf-16"), "junit"),
        (b"\n\n<?xml version='1.0'?><testsuite/>", "junit"),
        (b'go: downloading x\n{"Time":"2026-01-01T00:00:00Z","Action":"run","Package":"p"}\n', "go"),
        (b'{"Action":"start","Package":"p"}\n', "go"),
        (b'{"reportFormat":"CTRF"}', "ctrf"),
        (b' {"$schema":"x","version":"2.1.0","runs":[]}', "sarif"),
        (b"# Subtest: a\nok 1\n1..1\n", "tap"),
        (b"some output\nTAP version 14\n", "tap"),
    ],
)
def test_detect(data: bytes, format: str) -> None:
    assert detect(data) == format


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "an empty file"),
        (b" \n", "an empty file"),
        (b"all 5 tests passed\n", "it begins like none of the known formats"),
        (b"{}", "neither reportFormat nor runs"),
        (b"[]", "it begins like none of the known formats"),
        (b'{"runs"', "not valid JSON"),
        (b'{"a":' + b"[" * 50_000, "nested too deeply"),
        (b"\x00\x01\x02", "it begins like none of the known formats"),
    ],
)
def test_what_is_no_report(data: bytes, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read_report(data, filename="x.bin")
    assert str(caught.value).startswith("x.bin: not a report that can be read: ")
    assert says in str(caught.value)
    assert "the formats are junit, tap, ctrf, go, sarif" in str(caught.value)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InputError, match="no such report format: xunit; give one of junit"):
        read_report(b"<testsuite/>", "xunit")


def test_a_report_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallystick.reports, "MAX_REPORT_BYTES", 2 << 20)
    with pytest.raises(InputError, match=r"big\.xml: the report has 3 MiB; at most 2 MiB are read"):
        read_report(b"<testsuite/>" + b" " * (3 << 20), filename="big.xml")


def read_or_refuse(data: bytes, format: str | None) -> None:
    """Whatever the data, a report that keeps to its rules, or one clear line."""
    report, refused = None, ""
    try:
        report = read_report(data, format, "x")
    except InputError as error:
        refused = str(error)
    if report is None:
        assert refused.startswith("x")
        assert "\n" not in refused
    else:
        assert Report.from_details(report.to_details()) == report
        assert min(report.counts.values()) >= 0


@given(st.data())
def test_damaged_reports_are_read_or_refused(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(SMALL)))
    report = bytearray(SMALL[path])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(report)))
        until = min(at + data.draw(st.sampled_from([0, 1, 3, 40, 4_000])), len(report))
        piece = report[at:until]
        report[at:until] = data.draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from(
                    [b"<", b"]]>", b"&x;", b"\0", b"\xff", b"{", b'"', b"[", b"1..3\n", b"    ok\n", b"<testcase>"]
                ),
                st.just(bytes(piece * 3)),
            )
        )
    read_or_refuse(bytes(report), data.draw(st.sampled_from([None, path.parent.name])))


@given(st.binary(max_size=300), st.sampled_from([None, *FORMATS]))
def test_noise_is_refused(data: bytes, format: str | None) -> None:
    read_or_refuse(data, format)


TAP_TEXTS = (
    *("ok", "not ok", "ok 1", "ok 2 - a", "not ok 1 - b # TODO", "ok 3 # SKIP", "ok 1 - g {", "}"),
    *("1..1", "1..2", "1..0 # skip", "# Subtest: x", "Bail out!", "TAP version 14"),
    *("---", "...", "  ---", "  ...", "text", ""),
)
TAP_LINES = st.tuples(st.integers(0, 4), st.sampled_from(TAP_TEXTS))


@given(st.lists(TAP_LINES, max_size=25))
def test_any_mixture_of_tap_lines_is_read_or_refused(lines: list[tuple[int, str]]) -> None:
    read_or_refuse("\n".join(" " * 4 * depth + line for depth, line in lines).encode(), "tap")


XML_PIECES = st.recursive(
    st.sampled_from(
        ["<testcase/>", "<testcase name='a' classname='b'/>", "<failure/>", "<skipped/>", "x", "<!-- y -->"]
    ),
    lambda inner: st.builds(
        lambda tag, pieces: f"<{tag}>{''.join(pieces)}</{tag}>",
        st.sampled_from(["testsuite", "testsuites", "testcase", "failure", "system-out", "error", "other"]),
        st.lists(inner, max_size=4),
    ),
    max_leaves=20,
)


@given(st.sampled_from(["testsuite", "testsuites"]), st.lists(XML_PIECES, max_size=5))
def test_any_mixture_of_elements_is_counted(root: str, pieces: list[str]) -> None:
    report = read_report(f"<{root}>{''.join(pieces)}</{root}>".encode(), "junit")
    assert report.executed + report.skipped <= "".join(pieces).count("<testcase")
