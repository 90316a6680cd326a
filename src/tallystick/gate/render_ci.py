"""A verdict for CI: GitHub's workflow commands and summary, GitLab's code quality report, JUnit XML."""

from __future__ import annotations

from tallystick.gate.render import as_of, markdown, text
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from tallystick.gate.policies import Objection
    from tallystick.gate.verdict import Verdict

ANNOTATIONS = 10
"""GitHub shows no more of one kind (error, warning, notice) of a step, and 50 of a job."""
SUMMARY_LIMIT = 1024 * 1024
"""Bytes; GitHub shows nothing at all of a step's summary that is larger."""
MESSAGE_LIMIT = 2_000
PLAN_FILE = "tallystick.toml"
_CUT = "\n\n… cut here, since a summary has to be small; `notch gate` shows all\n"
_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


def github(verdict: Verdict) -> Iterator[str]:
    """The verdict for a job's log, and an annotation for each thing to know, line by line."""
    for line in text(verdict):
        yield _harmless(line)
    yield from _annotations(
        "error", [(one.criterion or one.rule, _words(one), _file(verdict, one)) for one in verdict.objections]
    )
    flaky = [one for one in verdict.states if one.ok and one.state == "flaky"]
    yield from _annotations("warning", [(one.criterion.id, f"flaky: {one.reason}", PLAN_FILE) for one in flaky])
    yield from _annotations("notice", [("advisory", why, "") for why in verdict.advisory])


def command(kind: str, message: str, **properties: str) -> str:
    """A workflow command: properties and message escaped as GitHub wants them."""
    told = ",".join(f"{name}={value.translate(_PROPERTY)}" for name, value in properties.items() if value)
    return f"::{kind}{' ' if told else ''}{told}::{message[:MESSAGE_LIMIT].translate(_DATA)}"


def _annotations(kind: str, found: list[tuple[str, str, str]]) -> Iterator[str]:
    """As many as are shown; the last one says how many more there are."""
    shown = found if len(found) <= ANNOTATIONS else found[: ANNOTATIONS - 1]
    for title, message, file in shown:
        yield command(kind, _harmless(printable(message)), file=file, title=f"notch: {_harmless(printable(title))}")
    if len(found) > len(shown):
        yield command(kind, f"and {len(found) - len(shown)} more; the log has them all", title="notch")


def _harmless(line: str) -> str:
    """The line without what an older form of workflow command begins with, wherever in a line it stands."""
    return line.replace("##[", "## [")


def _words(objection: Objection) -> str:
    return f"{objection.what} (next: {objection.next})" if objection.next else objection.what


def _file(verdict: Verdict, objection: Objection) -> str:
    """The file that an objection is best shown at: one that changed since, else the plan."""
    if not objection.criterion and objection.rule != "weakened":
        return ""
    changed = next((s.changed_paths for s in verdict.states if s.criterion.id == objection.criterion), ())
    return changed[0] if changed and changed[0].isprintable() else PLAN_FILE


def github_summary(verdict: Verdict, room: int = SUMMARY_LIMIT) -> str:
    """The verdict as Markdown of at most `room` bytes of UTF-8; cut at the end of a line where it is larger."""
    lines: list[str] = []
    left = room - len(_CUT.encode())
    for line in markdown(verdict):
        left -= len(line.encode("utf-8", "replace")) + 1
        if left < 0:
            return ("\n".join(lines) + _CUT) if room >= len(_CUT.encode()) else ""
        lines.append(line)
    return "\n".join([*lines, ""])


def github_outputs(verdict: Verdict) -> str:
    """The verdict as a step's outputs: `verdict` and `head`."""
    return f"verdict={'open' if verdict.open else 'shut'}\nhead={verdict.head or ''}\n"


def gitlab(verdict: Verdict) -> list[dict[str, Any]]:
    """The verdict as a GitLab code quality report: an issue for each objection, none where the gate is open."""
    from hashlib import sha256

    issues = []
    for one in verdict.objections:
        named = "\0".join((verdict.task_id, one.rule, one.criterion, one.what)).encode("utf-8", "replace")
        issues.append(
            {
                "description": printable(f"{one.criterion or one.rule}: {_words(one)}")[:MESSAGE_LIMIT],
                "check_name": f"notch/{one.rule}",
                "fingerprint": sha256(named).hexdigest(),
                "severity": "blocker" if one.tampered else "major",
                "location": {"path": _file(verdict, one) or PLAN_FILE, "lines": {"begin": 1}},
            }
        )
    return issues


def junit(verdict: Verdict) -> Iterator[str]:
    """The verdict as JUnit XML, line by line: a test case for each criterion and each other objection."""
    cases = [*_criteria(verdict), *_others(verdict)]
    failures = sum("<failure" in case for case in cases)
    errors = sum("<error" in case for case in cases)
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    counts = f'tests="{len(cases)}" failures="{failures}" errors="{errors}" skipped="0"'
    yield f'<testsuites name="notch gate" {counts}>'
    yield f"<testsuite name={_attribute(verdict.task_id)} {counts} timestamp={_attribute(verdict.at)}>"
    yield f'<properties><property name="head" value={_attribute(as_of(verdict))}/></properties>'
    yield from cases
    yield "</testsuite>"
    yield "</testsuites>"


def _criteria(verdict: Verdict) -> Iterator[str]:
    for state in verdict.states:
        mine = [one for one in verdict.objections if one.criterion == state.criterion.id]
        failed = [(state.state if one.rule == "criteria" else one.rule, one) for one in mine]
        yield _case(verdict, state.criterion.id, failed)


def _others(verdict: Verdict) -> Iterator[str]:
    known = {state.criterion.id for state in verdict.states}
    for one in verdict.objections:
        if one.criterion not in known:
            yield _case(verdict, f"{one.rule} {one.criterion}".rstrip(), [(one.rule, one)])


def _case(verdict: Verdict, name: str, failed: Iterable[tuple[str, Objection]]) -> str:
    from xml.sax.saxutils import escape

    inner = ""
    for kind, one in failed:
        element = "error" if one.tampered else "failure"
        words = escape(_printed(_words(one)))
        inner += f"<{element} type={_attribute(kind)} message={_attribute(one.what)}>{words}</{element}>"
    classname = _attribute(f"notch.{verdict.task_id}")
    return f"<testcase classname={classname} name={_attribute(name)}>{inner}</testcase>"


def _attribute(words: str) -> str:
    from xml.sax.saxutils import quoteattr

    return quoteattr(_printed(words))


def _printed(words: str) -> str:
    """What XML can hold: no control characters, no lone surrogates."""
    return printable(words).encode("utf-8", "replace").decode()
