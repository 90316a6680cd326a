"""`notch check` where all is proved, what it costs over running the commands by hand, and the pytest plugin."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from measure import Figure, folder, git, is_installed, median, notch, process_seconds

FILES, CRITERIA, TESTS = 400, 8, 5_000
BARE = [sys.executable, "-c", "pass"]
SLEEPS = "sleep 1"
WORKS = f"{sys.executable} -S -E work.py"
WORK = "from hashlib import sha256\nd = b''\nfor _ in range(1_200_000):\n    d = sha256(d).digest()\n"
"""About a second of one processor, and the same amount of work however busy the machine is."""
DODO = """from glob import glob
def task_check():
    for n in range({criteria}):
        yield {{"name": str(n), "actions": ["true"], "file_dep": sorted(glob("part%d/*" % n))}}
"""
DVC = "stages:\n" + "".join(f"  c{n}:\n    cmd: 'true'\n    deps: [part{n}]\n" for n in range(CRITERIA))


def figures(scale: float) -> Iterator[Figure]:
    """Every figure of this file."""
    yield from _proved(scale)
    yield from _over_by_hand(scale)
    yield from _plugin(scale)


def _repository(place: Path, run: str) -> None:
    """Four hundred files, eight criteria each on fifty of them, all committed."""
    git("init", "-q", ".", cwd=place)
    for key, value in (("user.name", "bench"), ("user.email", "bench@example.org")):
        git("config", key, value, cwd=place)
    for part in range(CRITERIA):
        (place / f"part{part}").mkdir()
    for n in range(FILES):
        (place / f"part{n % CRITERIA}" / f"file{n}.txt").write_text(f"{n}\n", encoding="ascii")
    plan = "".join(f'[criteria.c{n}]\nrun = "{run}"\ninputs = ["part{n}/**", "work.py"]\n' for n in range(CRITERIA))
    texts = {"tallystick.toml": plan, "work.py": WORK, "dodo.py": DODO.format(criteria=CRITERIA), "dvc.yaml": DVC}
    for name, text in {**texts, ".gitignore": ".doit*\n__pycache__\n"}.items():
        (place / name).write_text(text, encoding="ascii")
    git("add", ".", cwd=place)
    git("commit", "-qm", "first", cwd=place)


# --- everything proved


def _proved(scale: float) -> Iterator[Figure]:
    rounds = max(7, int(21 * scale))
    with folder() as place:
        _repository(place, "true")
        check = [notch(), "check", "t"]
        subprocess.run(check, cwd=place, capture_output=True, check=True)
        detail = f"{CRITERIA} criteria, {FILES} files"
        yield _against_bare(place, "notch check, everything proved", check, "<= 8", rounds, detail)
        beside = Path(sys.executable).parent
        if is_installed("doit"):
            yield _against_bare(place, "  peer: doit, everything up to date", [str(beside / "doit")], "", rounds)
        if is_installed("dvc"):
            dvc = [str(beside / "dvc")]
            subprocess.run([*dvc, "init", "-q"], cwd=place, capture_output=True, check=True)
            yield _against_bare(place, "  peer: dvc repro, everything up to date", [*dvc, "repro", "-q"], "", 3)


def _against_bare(place: Path, what: str, argv: list[str], target: str, rounds: int, detail: str = "") -> Figure:
    process_seconds(argv, place)
    process_seconds(BARE, place)
    pairs = [(process_seconds(argv, place), process_seconds(BARE, place)) for _ in range(rounds)]
    found = [ours[0] / bare[0] for ours, bare in pairs]
    cpu = median([ours[1] for ours, _ in pairs]) / median([bare[1] for _, bare in pairs])
    said = f"{cpu:.1f} by processor time"
    return Figure(f"{what} ÷ python3 -c pass", median(found), target, f"{detail}, {said}" if detail else said, found)


# --- commands of a second


def _over_by_hand(scale: float) -> Iterator[Figure]:
    rounds = max(1, int(3 * scale))
    for run, what in ((SLEEPS, "waiting"), (WORKS, "computing")):
        with folder() as place:
            _repository(place, run)
            xargs = ["xargs", "-P2", "-I{}", "sh", "-c", run]
            many = "".join(f"{n}\n" for n in range(CRITERIA))
            by_hand = ["sh", "-c", f"printf %s {shlex.quote(many)} | {shlex.join(xargs)}"]
            found, more = [], []
            for n in range(rounds):
                for part in range(CRITERIA):
                    (place / f"part{part}" / "file").write_text(f"{n}\n", encoding="ascii")
                ours, bare = process_seconds([notch(), "check", "t", "-j2"], place), process_seconds(by_hand, place)
                found.append(ours[0] / bare[0])
                more.append(ours[1] - bare[1])
        name = f"check -j2 of {CRITERIA} commands of a second, {what} ÷ xargs -P2"
        yield Figure(name, median(found), "<= 1.05", f"{median(more):.2f} s of processor time more", found)


# --- the plugin


def _plugin(scale: float) -> Iterator[Figure]:
    files, rounds = 50, max(2, int(5 * scale))
    if not is_installed("pytest"):
        return
    with folder() as place:
        git("init", "-q", ".", cwd=place)
        for n in range(files):
            tests = "".join(f"def test_{k}():\n    assert {k} + 1 > {k}\n\n\n" for k in range(TESTS // files))
            (place / f"test_{n}.py").write_text(tests, encoding="ascii")
        (place / ".gitignore").write_text("__pycache__\n", encoding="ascii")
        git("add", ".", cwd=place)
        git("commit", "-qm", "tests", cwd=place)
        pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        bare, ours = pytest, [*pytest, "-p", "tallystick.pytest_plugin", "--notch", "--notch-task", "t"]
        env = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        process_seconds(ours, place, env)
        pairs = [_in_turn(lambda argv: process_seconds(argv, place, env), ours, bare, n) for n in range(rounds)]
    for which, name in ((1, "processor time"), (0, "wall time")):
        found = [with_plugin[which] / without[which] for with_plugin, without in pairs]
        detail = f"{median([without[which] for _, without in pairs]):.1f} s without; no other plugin"
        yield Figure(f"pytest --notch on {TESTS:,} tests ÷ without, {name}", median(found), "<= 1.03", detail, found)


def _in_turn(
    run: Callable[[list[str]], tuple[float, float]], one: list[str], other: list[str], number: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """What both took, the one that goes first alternating."""
    if number % 2:
        second = run(other)
        return run(one), second
    first = run(one)
    return first, run(other)
