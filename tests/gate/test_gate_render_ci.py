"""Verdicts as CI takes them: nothing in a name or reason gets out of its place, and every limit is kept."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import pytest

from tallystick.gate import render_ci
from tallystick.gate.policies import Objection
from tallystick.gate.verdict import Verdict
from tallystick.reports import read_report

NASTY = "50%\r\n::error::x, y: z\x1b[31m##[error]<b>&'\"\ud800"


def verdict(*objections: Objection, advisory: tuple[str, ...] = (), task: str = "work") -> Verdict:
    return Verdict(
        task_id=task,
        states=(),
        objections=objections,
        weakened=(),
        protected=(),
        advisory=advisory,
        at="2026-11-24T10:35:05.000000Z",
        head=None,
        checkpoint=None,
        command="notch",
    )


def annotations(lines: list[str]) -> list[str]:
    return [line for line in lines if line.lstrip().startswith("::")]


def test_an_annotation_is_one_line_whatever_it_says() -> None:
    line = render_ci.command("error", NASTY, title=NASTY, file="a,b:c%.py")
    assert "\n" not in line
    assert "\r" not in line
    head, message = re.fullmatch(r"::error ([^:]*)::(.*)", line).groups()  # type: ignore[union-attr]
    assert [part.partition("=")[0] for part in head.split(",")] == ["title", "file"]
    assert head.endswith("file=a%2Cb%3Ac%25.py")
    unescaped = message.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    assert unescaped == NASTY


def test_nothing_from_outside_becomes_a_command() -> None:
    lines = list(render_ci.github(verdict(Objection("review", NASTY), advisory=(NASTY,), task="t##[group]")))
    printed = "\n".join(lines).splitlines()
    assert [line.split(" ")[0] for line in annotations(printed)] == ["::error", "::notice"]
    assert "##[" not in "\n".join(printed)


@pytest.mark.parametrize(("count", "shown"), [(0, 0), (9, 9), (10, 10), (11, 10), (500, 10)])
def test_no_more_annotations_than_are_shown(count: int, shown: int) -> None:
    found = annotations(list(render_ci.github(verdict(*(Objection("review", f"no {n}") for n in range(count))))))
    assert len(found) == shown
    assert (f"::and {count - 9} more" in found[-1]) if count > 10 else all("more" not in line for line in found)


@pytest.mark.parametrize("room", [render_ci.SUMMARY_LIMIT, 5_000, 200, 20, 0])
def test_a_summary_stays_under_the_limit(room: int) -> None:
    long = verdict(*(Objection("review", f"{n} é" * 50) for n in range(9_000)))
    found = render_ci.github_summary(long, room)
    assert len(found.encode()) <= room
    assert not found or "cut here" in found
    short = render_ci.github_summary(verdict(), render_ci.SUMMARY_LIMIT)
    assert short.startswith("## Gate open")
    assert "cut here" not in short


def test_gitlab_finds_what_its_report_has_to_have() -> None:
    found = json.loads(json.dumps(render_ci.gitlab(verdict(Objection("history", NASTY, tampered=True)))))
    (issue,) = found
    assert issue["severity"] == "blocker"
    assert issue["location"] == {"path": "tallystick.toml", "lines": {"begin": 1}}
    assert re.fullmatch("[0-9a-f]{64}", issue["fingerprint"])
    assert {"description", "check_name"} < issue.keys()
    two = render_ci.gitlab(verdict(Objection("review", "a"), Objection("review", "b")))
    assert len({one["fingerprint"] for one in two}) == 2
    assert render_ci.gitlab(verdict()) == []


def test_junit_is_xml_whatever_it_says() -> None:
    given = verdict(Objection("history", NASTY, tampered=True), Objection("review", NASTY), task=NASTY)
    data = "\n".join(render_ci.junit(given)).encode()
    root = ET.fromstring(data)
    assert [(root.get("tests"), root.get("failures"), root.get("errors"))] == [("2", "1", "1")]
    report = read_report(data)
    assert (report.passed, report.failed, report.errors) == (0, 1, 1)
