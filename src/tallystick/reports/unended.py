"""Runs that a captured output shows to have begun, and not to have ended.

That is a guess: a test may have printed the beginning, or a line that broke the end. It tells something only if nobody
saw the exit code, as behind a pipe.
"""

from __future__ import annotations

import re

_RUNS: tuple[tuple[str, bytes, bytes, bytes], ...] = (
    (
        "pytest",
        b"= test session starts =",
        rb"\n=+ test session starts =+(?=\n)",
        rb"\n(?:=+ )?(?:no tests (?:ran|collected)|\d[\w/, ]{0,200}) in \d+\.\d+s[^\n]*(?=\n)|\nINTERNALERROR",
    ),
    ("cargo test", b"\nrunning ", rb"\nrunning \d+ tests?[ \t]*(?=\n)", rb"\ntest result: "),
    ("go test", b"=== RUN ", rb"\n=== RUN   \S+(?=\n)", rb"\n(?:ok  |FAIL)\t|\n(?:PASS|FAIL)(?=\n)"),
    (
        "googletest",
        b"[==========] Running ",
        rb"\n\[={10}\] Running \d+ tests? from ",
        rb"\n\[={10}\] \d+ tests? from [^\n]* ran",
    ),
    (
        "playwright",
        b" using ",
        rb"\nRunning \d+ tests? using \d+ workers?",
        rb"\n  \d+ (?:passed|failed|skipped|flaky|did not run)",
    ),
    ("nextest", b" tests across ", rb"\n *Starting \d+ tests? across ", rb"\n *Summary \["),
    ("vitest", b" RUN ", rb"\n *RUN  v\d\S* ", rb"\n *(?:Test Files |Duration |No test files found)"),
    (
        "phpunit",
        b"by Sebastian Bergmann",
        rb"\nPHPUnit \S+ by Sebastian Bergmann",
        rb"\n(?:OK|FAILURES|ERRORS|WARNINGS|No tests)\b",
    ),
    ("ctest", b"\nTest project ", rb"\nTest project [^\n]+", rb"% tests passed|No tests were found"),
    ("bun", b"\nbun test v", rb"\nbun test v\S+", rb"\nRan \d+ tests? across "),
)
"""The runner, a text in its beginning, the beginning, the end."""

_MANY_BEGINNINGS = ("go test",)
"""Runners that tell of the beginning of each test, and of the end of them all."""


def unended(text: bytes) -> list[str]:
    """What began and did not end, a line each. Lines of the output begin after `\\\\n` and hold no escape sequences."""
    told = []
    for tool, anchor, begins, ends in _RUNS:
        if anchor in text:
            begun = [match.start() for match in re.finditer(begins, text)]
            ended = [match.start() for match in re.finditer(ends, text)]
            cut_short = begun and (not ended or begun[-1] > ended[-1])
            if cut_short or (len(begun) > len(ended) and tool not in _MANY_BEGINNINGS):
                told.append(f"{tool}: a run began and did not end")
    return told
