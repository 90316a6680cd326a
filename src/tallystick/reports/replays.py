"""The marks that runners leave when they show an old result in place of a run."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_TEST_NAME = rb"(?:^|[^A-Za-z])(?:tests?|specs?|e2e)(?:[^a-z]|$)|[a-z0-9](?:Tests?|Specs?)(?:[^a-z]|$)"
_NO_TEST_NAME = rb"[Tt]est(?:Classes|Resources|Kotlin|Java|Groovy|Fixtures)$|^(?:compile|process|clean)"


class Replay:
    """Old results shown by a runner: by which one, and how much of what it did."""

    __slots__ = ("complete", "replayed", "tool", "total", "what")

    def __init__(self, tool: str, replayed: int, total: int, what: str) -> None:
        self.tool = tool
        self.replayed = replayed
        """How many results are old ones."""
        self.total = total
        """Of how many."""
        self.what = what
        """What is counted, such as `packages`."""
        self.complete = replayed >= total
        """Whether nothing was run at all."""

    @property
    def extent(self) -> str:
        """`all` or `partly`, as `Report.replayed` has it."""
        return "all" if self.complete else "partly"

    def __str__(self) -> str:
        return f"{self.tool}: {self.replayed} of {self.total} {self.what} are old results, shown from a cache"


def replays(text: bytes) -> list[Replay]:
    """What runners replayed in the output, whose lines begin after `\\n` and hold no escape sequences."""
    found = (reader(text) for anchors, reader in _READERS if any(anchor in text for anchor in anchors))
    return [replay for replay in found if replay is not None]


def gradle_test_tasks(text: bytes) -> list[tuple[bytes, bytes]]:
    """Gradle's test tasks, with what it says of each: empty, `UP-TO-DATE`, `NO-SOURCE` and so on."""
    tasks = []
    for match in re.finditer(rb"\n(?:> Task )?((?::[\w.-]+)+)(?: ([A-Z-]+))?[ \t]*(?=\n)", text):
        name = match[1].rpartition(b":")[2]
        if re.search(_TEST_NAME, name) and not re.search(_NO_TEST_NAME, name):
            tasks.append((match[1], match[2] or b""))
    return tasks


def _share(tool: str, states: list[bool], what: str) -> Replay | None:
    return Replay(tool, sum(states), len(states), what) if any(states) else None


def _go(text: bytes) -> Replay | None:
    lines = re.finditer(
        rb"\n(?:ok  |FAIL)\t\S+(?:\t(?:\d+\.\d+s|(\(cached\)))| \[(?:build|setup) failed\])[^\n]*", text
    )
    return _share("go test", [line[1] is not None for line in lines], "packages")


def _bazel(text: bytes) -> Replay | None:
    summaries = re.findall(rb"\nExecuted (\d{1,9}) out of (\d{1,9}) tests?: ", text)
    if not summaries:
        return None
    executed = sum(int(executed) for executed, _ in summaries)
    total = sum(int(total) for _, total in summaries)
    cached = len(re.findall(rb"\n//[^\n]{1,1000} \(cached\) (?:PASSED|FAILED|FLAKY)", text))
    replayed = min(cached, total - executed)
    return Replay("bazel", replayed, total, "targets") if replayed > 0 else None


def _gradle(text: bytes) -> Replay | None:
    states = [state for _, state in gradle_test_tasks(text) if state not in (b"NO-SOURCE", b"SKIPPED")]
    return _share("gradle", [state in (b"UP-TO-DATE", b"FROM-CACHE") for state in states], "test tasks")


def _turbo(text: bytes) -> Replay | None:
    lines = re.finditer(rb"\n(?:::group::)?([^\s:]+:[^\s]+)(?:: |\n)cache (hit|miss|bypass)\b", text)
    return _tasks("turbo", [(line[1], line[2] == b"hit") for line in lines])


def _nx(text: bytes) -> Replay | None:
    lines = re.finditer(
        rb"\n[^\w\n]{1,12}nx run (\S+)"
        rb"(?:  (\[(?:existing outputs match the cache, left as is|local cache|remote cache)\]))?[ \t]*(?=\n)",
        text,
    )
    if tasks := [(line[1], line[2] is not None) for line in lines]:
        return _tasks("nx", tasks)
    summary = re.search(
        rb"\nNx read the output from the cache instead of running the command for (\d{1,9}) out of \1 tasks?\.", text
    )
    return Replay("nx", int(summary[1]), int(summary[1]), "tasks") if summary else None


def _tasks(tool: str, tasks: list[tuple[bytes, bool]]) -> Replay | None:
    """The share of a task runner's test tasks, if it names any, that came from its cache: not of builds."""
    tests = [hit for name, hit in tasks if re.search(_TEST_NAME, name.partition(b":")[2])]
    return _share(tool, tests or [hit for _, hit in tasks], "tasks")


def _pants(text: bytes) -> Replay | None:
    lines = re.finditer(
        rb"\n[^\w\n]{1,12}\S+ (?:succeeded|failed) in \d+\.\d+s(?: (\((?:cached locally|cached remotely|memoized)\)))?",
        text,
    )
    return _share("pants", [line[1] is not None for line in lines], "targets")


def _make(text: bytes) -> Replay | None:
    """What make says, and nothing else, if a file stands in for the target; a make started by another names folders."""
    line = re.fullmatch(
        rb"\s*(?:make(?:\[\d+\])?: (?:Entering|Leaving) directory [^\n]{1,500}\n\s*)*"
        rb"make(?:\[\d+\])?: (?:['`](\S+)' is up to date|Nothing to be done for ['`](\S+)')\.\s*"
        rb"(?:make(?:\[\d+\])?: (?:Entering|Leaving) directory [^\n]{1,500}\n\s*)*",
        text,
    )
    return Replay("make", 1, 1, "targets") if line else None


def _ninja(text: bytes) -> Replay | None:
    """What ninja says, and nothing else, if no file is older than what it is made of."""
    line = re.fullmatch(rb"\s*(?:ninja: Entering directory [^\n]{1,300}\n)?ninja: no work to do\.\s*", text)
    return Replay("ninja", 1, 1, "targets") if line else None


def _doit(text: bytes) -> Replay | None:
    """doit's marks of tasks that are up to date, if it prints no other: one that runs has a dot."""
    tasks = re.fullmatch(rb"\s*(?:-- [^\s:][^\s]*[ \t]*\n)+\s*", text.lstrip(b"\n"))
    count = text.count(b"\n-- ")
    return Replay("doit", count, count, "tasks") if tasks else None


def _wireit(text: bytes) -> Replay | None:
    ran = re.search(rb"\n[^\w\n]{1,12}Ran 0 scripts and skipped ([1-9]\d{0,8}) in [\d.]+s", text)
    return Replay("wireit", int(ran[1]), int(ran[1]), "scripts") if ran else None


def _maven(text: bytes) -> Replay | None:
    cached = re.findall(
        rb"\n\[INFO\] Skipping plugin execution \(cached\): (?:surefire:test|failsafe:integration-test)", text
    )
    ran = re.findall(rb"\n\[INFO\]  T E S T S(?=\n)", text)
    return _share("maven", [True] * len(cached) + [False] * len(ran), "test executions")


_READERS: tuple[tuple[tuple[bytes, ...], Callable[[bytes], Replay | None]], ...] = (
    ((b"\t(cached)",), _go),
    ((b"(cached) ",), _bazel),
    ((b" UP-TO-DATE", b" FROM-CACHE"), _gradle),
    ((b": cache hit", b"\ncache hit"), _turbo),
    ((b"match the cache", b"local cache]", b"remote cache]", b"Nx read the output"), _nx),
    ((b"(cached locally)", b"(cached remotely)", b"(memoized)"), _pants),
    ((b"up to date.", b"Nothing to be done"), _make),
    ((b"ninja: no work to do.",), _ninja),
    ((b"\n-- ",), _doit),
    ((b"Ran 0 scripts and skipped ",), _wireit),
    ((b"Skipping plugin execution (cached)",), _maven),
)
