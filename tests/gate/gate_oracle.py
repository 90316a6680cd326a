"""What freshness means, said as slowly and obviously as possible, to hold the quick answer against.

Nothing here uses the code under test. Content is read file by file. Every attempt is kept with all the files that
it began on, and every question is answered by comparing files with files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

File = tuple[str, bytes]
"""What a file is: `file`, `program` or `link`, and its bytes."""
Content = Mapping[str, File]

LOOKED_AT = 3
RECALLED = 32
"""How many of the newest entries of another task are remembered for what its runs left."""


@dataclass
class Moment:
    """The work tree at one moment: its files, and which of them git knows."""

    content: Content
    tracked: frozenset[str]
    times: Mapping[str, tuple[int, int, int]]
    """When each file was written and changed, and its inode."""

    def untracked(self, path: str) -> bool:
        return path in self.content and path not in self.tracked


def read_content(root: Path) -> Content:
    """Every file below `root` that git would commit: `*.log` and `ignored/` are ignored there."""
    found: dict[str, File] = {}
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in (".git", ".tallystick", "ignored")]
        for name in names:
            path = Path(place, name)
            if name.endswith(".log"):
                continue
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                file = ("link", os.fsencode(os.readlink(path)))
            else:
                file = ("program" if mode & stat.S_IXUSR else "file", path.read_bytes())
            found[path.relative_to(root).as_posix()] = file
    return found


@dataclass
class Criterion:
    """What the oracle knows of a criterion: which files are its inputs, and which variable counts."""

    id: str
    is_input: Callable[[str], bool]
    variable: str = ""


@dataclass
class Attempt:
    """One run of a criterion's command."""

    task: str
    criterion: Criterion
    began: int
    start: Moment
    value: str | None
    bound: Content = field(default_factory=dict)
    """The inputs as they were known when it was recorded. What becomes a product later is among them."""
    outcome: str = ""
    """`pass`, `fail`, `cut` (somebody ended it), `killed` (nobody saw its end), `absent` (the command was), `unseen`
    (nobody here can see whether it still runs), empty while it runs."""
    ended: int = 0
    moved: bool = False
    left: Mapping[str, bytes] = field(default_factory=dict)
    touched: bool = False


@dataclass
class Oracle:
    """All attempts, and all that runs left."""

    attempts: list[Attempt] = field(default_factory=list)
    own: dict[str, dict[str, set[bytes]]] = field(default_factory=dict)
    """Task -> path -> what its runs left there."""
    entries: dict[str, list[Mapping[str, bytes]]] = field(default_factory=dict)
    """Task -> what each of its entries says that a run left."""
    clock: int = 0

    def begin(self, task: str, criterion: Criterion, start: Moment, value: str | None) -> Attempt:
        """A run begins: an entry in the task's session."""
        attempt = Attempt(task, criterion, self._tick(), start, value)
        attempt.bound = self._inputs(attempt, start)
        self.attempts.append(attempt)
        self.entries.setdefault(task, []).append({})
        return attempt

    def end(
        self, attempt: Attempt, after: Moment, outcome: str, committed: Callable[[str], File | None] = lambda _: None
    ) -> None:
        """A run ends: what it left, and whether its inputs moved. `committed` is what the commit has at a path.

        A file that git was told to forget, and that a run brings back as the commit has it, is no new one.
        """
        before, task = attempt.start, attempt.task
        own, elsewhere = self.own.setdefault(task, {}), self._elsewhere(task)
        made = {
            path: file[1]
            for path, file in after.content.items()
            if after.untracked(path) and path not in before.content and not path.endswith(".swp")
            if file != committed(path)
        }
        left: dict[str, bytes] = {}
        for path in {*own, *elsewhere}:
            was, now = before.content.get(path), after.content.get(path)
            if was and now and was[1] != now[1]:
                if self.is_product(task, path, before):
                    made[path] = now[1]
                elif before.untracked(path) and after.untracked(path):
                    left[path] = now[1]
            if now and after.untracked(path) and now[1] in elsewhere.get(path, ()):
                left.setdefault(path, now[1])
        own_then = {path: {*own.get(path, ()), *([made[path]] if path in made else [])} for path in {*own, *made}}
        attempt.moved = any(
            attempt.criterion.is_input(path)
            and before.content.get(path) != after.content.get(path)
            and not (self._no_input(task, path, before) and self._no_input(task, path, after, own_then))
            for path in {*before.content, *after.content}
        )
        attempt.bound = self._inputs(attempt, before)
        inputs = self._inputs(attempt, before)
        attempt.touched = any(before.times.get(path) != after.times.get(path) for path in inputs)
        left.update(made)
        for path, data in left.items():
            own.setdefault(path, set()).add(data)
        self.entries[task].append(left)
        attempt.left = left
        attempt.outcome, attempt.ended = outcome, self._tick()

    def abandon(self, task: str) -> int:
        """Somebody says of the task's runs that nobody can see that they come to no end. How many there were."""
        unseen = [one for one in self.attempts if one.task == task and one.outcome == "unseen"]
        for one in unseen:
            one.outcome = "killed"
            self.entries[task].append({})
        return len(unseen)

    def lose(self) -> None:
        """The ledger is gone: nobody knows of any run, nor of what it left."""
        self.attempts.clear()
        self.own.clear()
        self.entries.clear()

    def _tick(self) -> int:
        self.clock += 1
        return self.clock

    def _elsewhere(self, task: str) -> dict[str, set[bytes]]:
        found: dict[str, set[bytes]] = {}
        for other, entries in self.entries.items():
            for left in entries[-RECALLED:] if other != task else []:
                for path, data in left.items():
                    found.setdefault(path, set()).add(data)
        return found

    def is_product(self, task: str, path: str, at: Moment, own: Mapping[str, set[bytes]] | None = None) -> bool:
        data = at.content[path][1]
        if path.endswith(".swp") and at.untracked(path):
            return True  # an editor's
        own = self.own.get(task, {}) if own is None else own
        if data in own.get(path, ()):
            return True
        return at.untracked(path) and data in self._elsewhere(task).get(path, ())

    def _no_input(self, task: str, path: str, at: Moment, own: Mapping[str, set[bytes]] | None = None) -> bool:
        return path not in at.content or self.is_product(task, path, at, own)

    def _inputs(self, attempt: Attempt, at: Moment, own: Mapping[str, set[bytes]] | None = None) -> Content:
        """The files that count at that moment for that attempt's criterion, in its task."""
        return {
            path: file
            for path, file in at.content.items()
            if attempt.criterion.is_input(path) and not self.is_product(attempt.task, path, at, own)
        }

    # --- the state

    def expected(
        self,
        task: str,
        criterion: Criterion,
        now: Moment,
        value: str | None,
        *,
        running: Iterable[Attempt] = (),
        but: Iterable[Attempt] = (),
    ) -> Expected:
        """The state of a criterion for this content and environment; `but`: without seeing those attempts here."""
        every = [one for one in self.attempts if one.task == task and one.criterion is criterion]
        here = [one for one in every if self._is_about(one, now, value) and one not in list(but)]
        results = sorted((one for one in here if one.outcome in ("pass", "fail")), key=lambda one: one.ended)
        settled = max((one.began for one in results), default=0)
        under_way = [one for one in here if not one.outcome and one in list(running)]
        under_way += [one for one in here if one.outcome == "unseen" and one.began > settled]
        unsettled = [one for one in here if one.outcome in ("killed", "cut", "absent")]
        elsewhere = [one for one in every if one.outcome in ("pass", "fail") and one not in here]
        passes, fails = (sum(one.outcome == kind for one in results) for kind in ("pass", "fail"))
        newest = results[-1] if results else None
        failed_ever = any(one.outcome == "fail" for one in every)
        found = Expected("missing", False, passes, fails, newest, not failed_ever)
        if under_way:
            found.state, found.passes, found.fails = "running", passes, fails
        elif unsettled and max(one.began for one in unsettled) > settled:
            last = max(unsettled, key=lambda one: one.began)
            found.state = "not run" if last.outcome == "absent" else "interrupted"
        elif passes and fails:
            streak = 0
            for one in reversed(results):
                if one.outcome == "fail":
                    break
                streak += 1
            found.state, found.ok = "flaky", streak >= 3
        elif results:
            found.state = results[-1].outcome
            found.ok = found.state == "pass"
        elif elsewhere:
            found.state = "stale"
            found.deciding = max(elsewhere, key=lambda one: one.ended)
        return found

    def _is_about(self, one: Attempt, now: Moment, value: str | None) -> bool:
        if one.moved or (one.criterion.variable and one.value != value):
            return False
        if one.bound == self._inputs(one, now):
            return True
        # Of what shows nothing (yet) only the digest is looked at: a file may have become a product since.
        return one.outcome in ("pass", "fail") and not self.changed(one, now)

    def disguised(self, task: str, criterion: Criterion, now: Moment, value: str | None) -> list[Attempt]:
        """Attempts on this very content of which that does not show at a glance.

        A file that counted as an input for them has since been left by a run with just that content.
        """
        every = [one for one in self.attempts if one.task == task and one.criterion is criterion]
        about = [one for one in every if self._is_about(one, now, value)]
        return [one for one in about if one.bound != self._inputs(one, now)]

    def newest_elsewhere(
        self, task: str, criterion: Criterion, now: Moment, value: str | None, *, but: Iterable[Attempt]
    ) -> list[Attempt]:
        """The newest results that seem to be on other content, as many as are compared file by file."""
        every = [one for one in self.attempts if one.task == task and one.criterion is criterion]
        hidden = list(but)
        found = [
            one
            for one in every
            if one.outcome in ("pass", "fail") and (one in hidden or not self._is_about(one, now, value))
        ]
        return sorted(found, key=lambda one: one.ended, reverse=True)[:LOOKED_AT]

    def changed(self, one: Attempt, now: Moment) -> set[str]:
        """The inputs that are not as they were when that attempt began."""
        then = one.start
        return {
            path
            for path in {*then.content, *now.content}
            if one.criterion.is_input(path)
            and then.content.get(path) != now.content.get(path)
            and not (self._no_input_then(one, path, now) and self._no_input(one.task, path, now))
        }

    def _no_input_then(self, one: Attempt, path: str, now: Moment) -> bool:
        """What other tasks' runs left counts only where git does not know it, neither then nor now."""
        if path.endswith(".swp") and path not in now.content:
            return path not in one.start.tracked
        if path in one.left:
            return True  # whatever stood there before it, the run itself wrote it
        if path in now.tracked and path in one.start.content:
            return one.start.content[path][1] in self.own.get(one.task, {}).get(path, ())
        return self._no_input(one.task, path, one.start)


@dataclass
class Expected:
    """What the gate must say."""

    state: str
    ok: bool
    passes: int
    fails: int
    deciding: Attempt | None
    unfalsified: bool
