"""The names of the tests that failed, as runners print them."""

from __future__ import annotations

import re

from tallystick.reports.tally import Names

_NAMED = {
    "pytest": rb"\n(?:FAILED|ERROR) (?P<name>\S[^\n]*?)(?: - [^\n]*)?(?=\n)",
    "unittest": rb"\n(?:FAIL|ERROR): (?P<name>[^\n]+)",
    "go test": rb"\n *--- FAIL: (?P<name>\S+)",
    "gotestsum": rb"\n=== FAIL: (?P<name>\S+ \S+)",
    "cargo test": rb"\ntest (?P<name>\S[^\n]*?) \.\.\. FAILED",
    "nextest": rb"\n +(?:FAIL|TIMEOUT|SIGABRT|SIGSEGV) \[[^\]\n]*\] (?:\([^)\n]*\) )?(?P<name>[^\n]+)",
    "jest": rb"\n  \xe2\x97\x8f (?P<name>[^\n]+ \xe2\x80\xba [^\n]+)",
    "vitest": rb"\n FAIL  (?P<name>[^\n]+)",
    "mocha": rb"\n  \d+\) (?P<name>[^\n]+(?:\n {7,}[^\n]+)*?):\n",
    "node": rb"\n *(?:\xe2\x9c\x96|not ok \d+ -) (?!failing tests)(?P<name>[^\n]+?)(?: \([\d.]+ms\))?(?: #[^\n]*)?\n",
    "tap": rb"\n *not ok \d+ -? ?(?P<name>[^\n#]+?)(?: #[^\n]*)?(?=\n)",
    "rspec": rb"\nrspec \S+ # (?P<name>[^\n]+)",
    "phpunit": rb"\n\d+\) (?P<name>\S+)\n",
    "googletest": rb"\n\[  FAILED  \] (?P<name>[^\s,]+)",
    "dotnet test": rb"\n +Failed (?P<name>\S[^\n]*?) \[[^\n]*\]",
}
"""By tool: how a runner prints the name of a test that failed."""
_LONGEST = 1 << 20
"""How much of the end of an output is looked at."""


def failing_names(output: bytes, tool: str) -> Names:
    """The tests that the runner `tool` printed as failed or broken; none for a runner whose print is not known.

    `output` is what it printed; `tool` as `Report.tool` has it.
    """
    names, pattern = Names(), _NAMED.get(tool)
    if pattern is None:
        return names
    text = b"\n" + output[-_LONGEST:].replace(b"\r\n", b"\n") + b"\n"
    found = {b" ".join(match["name"].split()) for match in re.finditer(pattern, text)}
    names.add(*sorted(one.decode("utf-8", "replace") for one in found))
    return names
