"""TAP: numbers held against the plan, subtests at any indentation, KTAP, and what only looks like a failure."""

from __future__ import annotations

import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

from field.world import imported, states

NUMBERS_THAT_ARE_NOT_THE_PLAN = {
    "twice": "TAP version 14\n1..3\nok 1 - one\nok 1 - one\nok 3 - three\n",
    "twice-at-the-end": "1..3\nok 1\nok 2\nok 2\n",
    "outside": "1..3\nok 1\nok 2\nok 9\n",
    "outside-of-a-plan-that-closes": "ok 1\nok 2\nok 9\n1..3\n",
    "zero": "1..2\nok 0\nok 1\n",
    "in-a-subtest": "1..1\n# Subtest: group\n    1..3\n    ok 1\n    ok 3\n    ok 3\nok 1 - group\n",
    "in-braces": "1..1\nok 1 - group {\n  1..2\n  ok 2\n  ok 2\n}\n",
    "in-ktap": "KTAP version 1\n1..1\n  KTAP version 1\n  1..2\n  ok 1 a\n  ok 1 a\nok 1 suite\n",
    "all-the-same": "1..4\nok 4\nok 4\nok 4\nok 4\n",
    "one-missing-in-the-middle": "1..5\nok 1\nok 2\nok 4\nok 5\nok 4\n",
}

NUMBERS_THAT_ARE = {
    "in-order": "1..3\nok 1\nok 2\nok 3\n",
    "backwards": "1..3\nok 3\nok 2\nok 1\n",
    "shuffled": "1..4\nok 2\nok 4\nok 1\nok 3\n",
    "without": "1..3\nok\nok\nok\n",
    "without-then-with": "1..3\nok\nok 2\nok\n",
    "two-documents": "1..2\nok 1\nok 2\n1..2\nok 1\nok 2\n",
    "with-byte-order-mark": "\ufeff1..1\nok 1\n",
}


def test_the_numbers_have_to_be_those_of_the_plan(tmp_path: Path) -> None:
    judged = imported(tmp_path, NUMBERS_THAT_ARE_NOT_THE_PLAN, ".tap")
    assert states(judged) == dict.fromkeys(NUMBERS_THAT_ARE_NOT_THE_PLAN, "fail")
    assert "number 1 came more than once" in judged["twice"].reason
    assert "number 9 is not in the plan" in judged["outside"].reason


def test_their_order_does_not_matter(tmp_path: Path) -> None:
    judged = imported(tmp_path, NUMBERS_THAT_ARE, ".tap")
    assert states(judged) == dict.fromkeys(NUMBERS_THAT_ARE, "pass")


NESTED = """\
1..2
ok 1 - before
<
  1..3
  ok 1 - a
  not ok 2 - b # SKIP later
  <
    1..2
    ok 1 - c
    ok 2 - d
  >
  ok 3 - inner
>
ok 2 - outer
"""
"""Levels of one report; `<` and `>` only show where they are."""


def indented(step: str, version: str = "") -> str:
    """The nested report with this indentation for each level, and a version line at the start of each."""
    lines, depth = ([version] if version else []), 0
    for line in NESTED.splitlines():
        text = line.strip()
        depth += {"<": 1, ">": -1}.get(text, 0)
        if text == "<" and version:
            lines.append(step * depth + version)
        elif text not in "<>":
            lines.append(step * depth + text)
    return "\n".join([*lines, ""])


KERNEL_LOG = "".join(
    f"{prefix}{line}\n"
    for number, line in enumerate(indented("    ", "KTAP version 1").splitlines())
    for prefix in [f"[    {number}.060000] " if number % 2 else f"<6>[  {number:3}.123456][    T1] "]
)

SUBTESTS = {
    "two-blanks": indented("  "),
    "four-blanks": indented("    "),
    "eight-blanks": indented(" " * 8),
    "three-blanks": indented("   "),
    "tabs": indented("\t"),
    "ktap": indented("  ", "KTAP version 1"),
    "older-kernel-with-tabs": indented("\t", "TAP version 14"),
    "kernel-log": KERNEL_LOG,
    "all-of-it-indented": textwrap.indent(indented("    "), "  "),
}

GOOD = {
    "buffered": (
        "TAP version 13\nok 1 - outer # time=1ms\n  ---\n  note: x\n  ...\n{\n    ok 1 - inner\n    1..1\n}\n1..1\n"
    ),
    "buffered-after-a-comment": "1..1\nok 1 - outer\n# why\n# because\n{\n    1..1\n    ok 1 - inner\n}\n",
    "buffered-on-the-line": "1..1\nok 1 - outer {\n  1..1\n  ok 1 - inner\n}\n",
    "buffered-in-buffered": (
        "1..1\nok 1 - a {\n    ok 1 - b\n      ---\n      x: 1\n      ...\n    {\n        1..1\n"
        "        ok 1 - c\n    }\n    1..1\n}\n"
    ),
    "brace-in-a-description": "1..2\nok 1 - a {b}\nok 2 - function() {}\n",
    "json-printed": '1..2\nok 1\n{\n  "ok": 1\n}\nok 2\n',
    "printed-by-a-test": "1..2\n# Subtest: a\n    ok 1 - x\n  ok 5 printed\n    ok 2 - y\n    1..2\nok 1 - a\nok 2\n",
    "parameters-without-plan": (
        "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: p\n    1..1\n        KTAP version 1\n"
        "        # Subtest: values\n        ok 1 one\n        ok 2 two\n    ok 1 values\nok 1 p\n"
    ),
    "expected-to-fail": "KTAP version 1\n1..2\nnot ok 1 a # XFAIL known\nok 2 b\n",
    "to-do": "TAP version 14\n1..2\nnot ok 1 - a # TODO later\nok 2 - b\n",
    "not-strict-any-more": "TAP version 14\npragma +strict\n1..1\npragma -strict\nhello\nok 1\n",
}

BAD = {
    "fails-at-two-blanks": "1..1\n# Subtest: a\n  1..2\n  ok 1\n  not ok 2 - b\nok 1 - a\n",
    "fails-in-a-kernel-log": "[ 0.1] KTAP version 1\n[ 0.2] 1..1\n[ 0.3]   KTAP version 1\n[ 0.4]   1..1\n"
    "[ 0.5]   not ok 1 a\n[ 0.6] not ok 1 suite\n",
    "short-subtest": "1..1\n# Subtest: a\n  1..2\n  ok 1\nok 1 - a\n",
    "bailed-out": "1..2\nok 1\nBail out! no database\nok 2\n",
    "bailed-out-below": "1..1\n    1..2\n    ok 1\n    Bail out!\nok 1\n",
    "bailed-out-in-small-letters": "1..1\nok 1\nbail out! x\n",
    "timed-out": "KTAP version 1\n1..1\nnot ok 1 a # TIMEOUT 45 seconds\n",
    "ok-and-timed-out": "KTAP version 1\n1..1\nok 1 a # TIMEOUT 45 seconds\n",
    "plan-in-the-middle": "ok 1\n1..3\nok 2\nok 3\n",
    "strict": "TAP version 14\n1..1\npragma +strict\nhello\nok 1\n",
    "strict-below": "TAP version 14\n1..1\n# Subtest: a\n    pragma +strict\n    1..1\n    hello\n    ok 1\nok 1 - a\n",
    "cut-short": "TAP version 14\n1..3\nok 1\nok 2\n",
}


def test_subtests_count_at_any_indentation(tmp_path: Path) -> None:
    judged = imported(tmp_path, SUBTESTS, ".tap")
    counts = {name: (one.state, one.passed, one.counts.get("skipped")) for name, one in judged.items()}
    assert counts == dict.fromkeys(SUBTESTS, ("pass", 4, 1))


def test_good_reports_pass(tmp_path: Path) -> None:
    assert states(imported(tmp_path, GOOD, ".tap")) == dict.fromkeys(GOOD, "pass")


def test_bad_reports_fail(tmp_path: Path) -> None:
    assert states(imported(tmp_path, BAD, ".tap")) == dict.fromkeys(BAD, "fail")


@pytest.mark.skipif(shutil.which("perl") is None, reason="there is no perl on this machine")
def test_what_perl_writes_now(tmp_path: Path) -> None:
    script = (
        "use Test::More tests => 2; ok 1, 'a'; subtest b => sub { plan tests => 2; ok 1, 'c';"
        " subtest d => sub { ok 1; TODO: { local $TODO = 'later'; ok 0, 'e' } done_testing } };"
    )
    good, bad = (
        subprocess.run(["perl", "-e", text], capture_output=True, check=False).stdout
        for text in (script, script.replace("ok 1, 'c'", "ok 0, 'c'"))
    )
    judged = imported(tmp_path, {"good": good, "bad": bad, "repeated": good + good}, ".tap")
    assert states(judged) == {"good": "pass", "bad": "fail", "repeated": "pass"}
    assert (judged["good"].passed, judged["good"].counts["skipped"], judged["repeated"].passed) == (3, 1, 6)
    assert judged["bad"].names["failed"] == ["b > c"]
