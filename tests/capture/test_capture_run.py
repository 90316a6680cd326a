"""A recorded run: what is in the ledger before it, after it, and where it cannot be recorded."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.repository import GitRepo
from tallystick import Ledger
from tallystick.capture import products, run
from tallystick.capture.environment import observe_environment
from tallystick.capture.inbox import RunControl
from tallystick.capture.products import Products
from tallystick.capture.run import Judgement, NotRecordedError, Run, RunResult, run_command
from tallystick.clock import seconds_from_now
from tallystick.errors import StoreUnavailableError
from tallystick.workspace import Workspace

NOWHERE = (None, None, None)


class Bench:
    """A repository with one commit, and a ledger beside it."""

    def __init__(self, repo: GitRepo, ledger: Ledger) -> None:
        self.repo = repo
        self.ledger = ledger
        repo.write("src/one.py", "1\n")
        repo.write("other.txt", "1\n")
        repo.commit("First")

    @property
    def workspace(self) -> Workspace:
        return Workspace.find(str(self.repo.root))

    def run(self, argv: Sequence[str] | str, **options: Any) -> RunResult:
        """Run a command at the root as criterion `ac1` of task `t`."""
        call = {name: options.pop(name) for name in ("control", "before") if name in options}
        options.setdefault("cwd", str(self.repo.root))
        described = Run("t", argv, criterion_id="ac1", **options)
        return run_command(self.ledger, self.workspace, described, now=seconds_from_now, streams=NOWHERE, **call)

    def newest(self) -> dict[str, Any]:
        """What the newest entry says of its run and content."""
        entry = list(self.ledger.entries("t"))[-1].entry
        return {**entry.details["run"], "content": entry.details["content"]}


@pytest.fixture
def bench(git_repo: GitRepo, tmp_path: Path) -> Iterator[Bench]:
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        yield Bench(git_repo, ledger)


def test_that_it_began_is_recorded_before_it_runs(bench: Bench, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = f"notch --ledger {tmp_path}/ledger.db log t --json > {seen}; exit 3"
    bench.run(script, timeout=30.0)
    assert '"run_started"' in seen.read_text()
    assert '"running"' in seen.read_text()
    began, ended = (one.entry for one in bench.ledger.entries("t"))
    assert (began.type, began.criterion_id, began.status, began.command) == ("run_started", "ac1", "running", script)
    told = began.details["run"]
    assert told["pid"] == os.getpid()
    assert 80 < _seconds_until(told["deadline"]) < 91
    assert began.details["content"]["inputs"] == ended.details["content"]["inputs"]
    assert (ended.type, ended.status, ended.exit_code, ended.reason) == ("criterion", "fail", 3, "exit code was 3")
    told = ended.details["run"]
    assert (told["exit_code"], told["started"]) == (3, 1)
    assert told["before"] == told["after"] == {"commit": bench.repo.head(), "tree": bench.repo.tree()}
    assert told["executable"]["path"] == os.path.realpath("/bin/sh")


def _seconds_until(moment: str) -> float:
    from datetime import UTC, datetime

    return (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()


def test_a_list_is_recorded_as_a_shell_would_take_it(bench: Bench) -> None:
    bench.run(["printf", "%s", "two words"], phase_id="build")
    entry = list(bench.ledger.entries("t"))[-1].entry
    assert entry.command == "printf %s 'two words'"
    assert entry.output == "two words"
    assert entry.phase_id == "build"
    assert bench.ledger.session("t").criterion_states["ac1"].status == "pass"


def test_a_run_without_a_criterion_sets_no_state(bench: Bench) -> None:
    described = Run("t", "true")
    run_command(bench.ledger, bench.workspace, described, now=seconds_from_now, streams=NOWHERE)
    assert [one.entry.type for one in bench.ledger.entries("t")] == ["run_started", "run"]
    assert bench.ledger.session("t").criterion_states == {}


def test_inputs_alone_decide_whether_content_moved(bench: Bench) -> None:
    bench.run("echo 2 > other.txt", patterns=("src/**",))
    told = bench.newest()
    assert "moved" not in told
    assert told["content"]["patterns"] == ["src/**"]
    assert told["content"]["inputs"]
    bench.run("echo 2 > src/one.py; chmod +x src/one.py; rm other.txt")
    told = bench.newest()
    assert told["moved"] == ["other.txt", "src/one.py"]
    assert "inputs" not in told["content"]
    assert told["content"]["tree"] == told["before"]["tree"] != told["after"]["tree"]


def test_a_commit_by_the_run_moves_nothing(bench: Bench) -> None:
    bench.repo.write("src/two.py", "2\n")
    bench.run("git add -A && git commit -q -m More")
    told = bench.newest()
    assert "moved" not in told
    assert told["before"]["commit"] != told["after"]["commit"]
    assert told["content"]["dirty"] is True
    assert told["content"]["changes"] == {"src/two.py": bench.repo.git("rev-parse", "HEAD:src/two.py")}


def test_what_was_written_and_is_the_same_is_told(bench: Bench) -> None:
    time.sleep(0.02)
    bench.run("echo 2 > src/one.py; echo 1 > src/one.py; touch other.txt")
    assert bench.newest()["touched"] == ["other.txt", "src/one.py"]
    bench.run("cat src/one.py")
    assert "touched" not in bench.newest()


def test_new_untracked_files_are_products(bench: Bench) -> None:
    bench.repo.write("mine.txt", "mine\n")
    bench.repo.write(".gitignore", "*.log\n")
    bench.run("mkdir -p out; echo 1 > out/a; echo 1 > x.log; echo 2 > src/.one.py.swp; git add -N out/a; echo 3 > b")
    told = bench.newest()
    assert sorted(told["products"]) == ["b"], "what git was told of is no product, nor what is ignored or an editor's"
    assert told["moved"] == ["out/a"]


def test_known_products_may_be_rewritten(bench: Bench) -> None:
    def blob(text: str) -> str:
        return bench.repo.git("hash-object", "-w", "--stdin", input=text)

    own = {"out": frozenset({blob("1\n")}), "edited": frozenset({blob("1\n")})}
    known = Products(own, {"theirs": frozenset({blob("1\n")}), "src/one.py": frozenset({blob("1\n")})})
    for name in ("out", "theirs"):
        bench.repo.write(name, "1\n")
    bench.repo.write("edited", "by hand\n")
    bench.run("for f in out theirs edited; do echo 2 > $f; done", products=lambda *_: known)
    told = bench.newest()
    assert told["moved"] == ["edited"]
    assert told["products"] == {name: blob("2\n") for name in ("edited", "out", "theirs")}
    bench.run("true", products=lambda *_: Products({}, {"theirs": frozenset({blob("2\n")})}))
    assert bench.newest()["products"] == {"theirs": blob("2\n")}, "what it found of others is kept with it"
    bench.run("echo 2 > src/one.py", products=lambda *_: known)
    assert bench.newest()["moved"] == ["src/one.py"], "what git knows is no product of another task"


def test_names_give_way_where_an_entry_would_be_too_large(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "DETAILS_ROOM", 2_000)
    for number in range(50):
        bench.repo.write(f"new/{number}", f"{number}\n")
    bench.run("true")
    content = bench.newest()["content"]
    assert "changes" not in content
    assert content["changes_left_out"] == 50
    bench.run("mkdir made; for n in $(seq 60); do echo $n > made/$n; done")
    assert "products" not in bench.newest()
    monkeypatch.setattr(products, "PRODUCTS_KEPT", 5)
    bench.run("for n in $(seq 60); do echo $n > made/more$n; done")
    assert len(bench.newest()["products"]) == 5


def test_the_declared_environment_is_what_it_was_at_the_beginning(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = tmp_path / "version"
    version.write_text("1\n")
    declared = {"variables": ["ZONE"], "versions": [f"cat {version}"], "platform": True}
    monkeypatch.setenv("ZONE", "here")
    bench.run(f"echo 2 > {version}", environment=declared)
    began, ended = (one.entry.details["run"] for one in bench.ledger.entries("t"))
    assert began["environment"] == ended["environment"]
    assert ended["environment"]["variables"] == {"ZONE": "here"}
    assert ended["environment"]["versions"] == {f"cat {version}": "1"}
    assert ended["environment"]["platform"] == observe_environment(platform=True)["platform"]


def test_what_a_version_command_says_is_bounded_and_its_failure_told() -> None:
    found = observe_environment(versions=["yes | head -c 100000", "echo no >&2; exit 3", "exit 1"])["versions"]
    assert len(found["yes | head -c 100000"]) <= 4_096
    assert found["echo no >&2; exit 3"] == "no (exit code 3)"
    assert found["exit 1"] == "(exit code 1)"
    assert observe_environment() == {}
    assert observe_environment(["A", "B"], environ={"A": "1"}) == {"variables": {"A": "1", "B": None}}


def test_the_folder_is_told_from_the_root(bench: Bench) -> None:
    bench.run("true", cwd=str(bench.repo.root / "src"))
    assert [one.entry.details["run"]["cwd"] for one in bench.ledger.entries("t")] == ["src", "src"]
    bench.run("true")
    assert "cwd" not in bench.newest()


def test_ends_that_are_no_exit_code_of_its_own(bench: Bench) -> None:
    result = bench.run("sleep 30", timeout=0.2)
    assert (result.status, result.finished.exit_code) == ("fail", 124)
    told = bench.newest()
    assert (told["timed_out"], told["exit_code"]) == (True, 124)
    assert list(bench.ledger.entries("t"))[-1].entry.reason == "timed out"
    bench.run("kill -KILL $$")
    told = bench.newest()
    assert (told["signal"], told["exit_code"]) == (9, 137)
    assert "cut_short" not in told
    bench.run(["no-such-command"])
    told = bench.newest()
    assert told["exit_code"] == 127
    assert "executable" not in told


@pytest.mark.parametrize("end", ["exit 0", "exit 3"])
def test_a_run_that_somebody_ended_is_cut_short_however_it_ends(bench: Bench, end: str) -> None:
    import _thread

    control = RunControl()

    def cut() -> None:
        time.sleep(0.3)
        control.send_signal(15)

    _thread.start_new_thread(cut, ())
    result = bench.run(f"trap '{end}' TERM; while :; do sleep 0.05; done", control=control)
    assert result.status == "fail"
    assert bench.newest()["cut_short"] == 15
    assert list(bench.ledger.entries("t"))[-1].entry.reason == "cut short by signal 15"


def test_an_end_by_ctrl_c_is_cut_short(bench: Bench) -> None:
    result = bench.run("exit 130")
    assert result.status == "fail"
    assert bench.newest()["cut_short"] == 2


def test_a_judgement_may_add_to_the_run(bench: Bench) -> None:
    told = {"tests": {"counts": {"executed": 3}}}
    result = bench.run("exit 4", judge=lambda finished: Judgement("pass", f"code {finished.exit_code}", told))
    assert result.status == "pass"
    assert bench.newest()["tests"] == told["tests"]
    assert list(bench.ledger.entries("t"))[-1].entry.reason == "code 4"


def test_a_command_whose_beginning_cannot_be_recorded_is_not_run(bench: Bench, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    described = Run("t", f"touch {ran}")
    with Ledger.open(str(tmp_path / "ledger.db"), read_only=True) as ledger, pytest.raises(NotRecordedError) as raised:
        run_command(ledger, bench.workspace, described, now=seconds_from_now, streams=NOWHERE)
    assert raised.value.exit_code == 125
    assert raised.value.ran is None
    assert str(raised.value).startswith("the command was not run, since it cannot be recorded: ")
    assert not ran.exists()


def test_a_result_that_cannot_be_recorded_says_how_the_command_ended(bench: Bench) -> None:
    appended = bench.ledger.append

    def once(task_id: str, entry: Any, **options: Any) -> Any:
        bench.ledger.append = refuse  # type: ignore[method-assign, assignment]
        return appended(task_id, entry, **options)

    def refuse(*_: Any, **__: Any) -> Any:
        raise StoreUnavailableError("no room")

    bench.ledger.append = once  # type: ignore[method-assign, assignment]
    with pytest.raises(NotRecordedError) as raised:
        bench.run("exit 7")
    assert str(raised.value) == "the command ended with 7, but is not recorded: no room"
    assert raised.value.ran is not None
    assert raised.value.ran.exit_code == 7


def test_content_that_was_looked_at_already_is_not_looked_at_again(bench: Bench) -> None:
    before = bench.workspace.snapshot()
    bench.repo.write("src/two.py", "meanwhile\n")
    bench.run("true", before=before)
    told = bench.newest()
    assert told["before"]["tree"] == bench.repo.tree()
    assert told["products"] == {"src/two.py": bench.repo.git("hash-object", "src/two.py")}
