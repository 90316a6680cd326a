"""What runs, editors and build tools leave in the tree: no false alarm by them, and no pass by them either."""

from __future__ import annotations

from pathlib import Path

import pytest
from gate_quick import Quick

from support.repository import GitRepo
from tallystick.capture import products
from tallystick.capture.products import is_editors

PLAN = """\
[criteria.tests]
run = 'eval "$DO"; exit ${CODE:-0}'
[criteria.lint]
run = 'test -e README'
"""


@pytest.fixture
def quick(tmp_path: Path) -> Quick:
    """Both criteria have the whole tree as inputs; `tests` does what the environment says."""
    return Quick(tmp_path / "repo", PLAN)


def run(quick: Quick, do: str = "", criterion: str = "tests", task: str = "work") -> None:
    assert quick.call("run", "-t", task, "-c", criterion, env={"DO": do}).returncode == 0


def states(quick: Quick, task: str = "work") -> dict[str, str]:
    return quick.gate(task).states


PASS = {"tests": "pass", "lint": "pass"}
COVERAGE = "date +%N > .coverage"


def test_a_file_that_every_run_writes_anew_is_no_input(quick: Quick) -> None:
    run(quick, criterion="lint")
    for _ in range(3):
        run(quick, COVERAGE)
        assert states(quick) == PASS
    assert quick.gate().criteria["tests"]["passes"] == 3
    assert "left out  .coverage: as a run left it, so it is no input" in quick.why("lint")
    quick.repo.remove(".coverage")
    assert states(quick) == PASS
    run(quick, COVERAGE)
    quick.repo.commit("With all that lies around")
    assert states(quick) == PASS
    run(quick, COVERAGE)
    assert states(quick) == PASS


def test_what_a_run_left_counts_once_somebody_edits_it(quick: Quick) -> None:
    run(quick, "echo made > made.txt")
    run(quick, criterion="lint")
    quick.repo.write("made.txt", "edited\n")
    verdict = quick.gate()
    assert verdict.states == {"tests": "stale", "lint": "stale"}
    assert verdict.changed("lint") == ["made.txt"]
    run(quick, criterion="lint")
    assert states(quick)["lint"] == "pass"
    quick.repo.write("made.txt", "made\n")
    assert states(quick)["tests"] == "pass"


def test_what_somebody_edited_and_a_run_wrote_again_is_told_as_written_while_it_ran(quick: Quick) -> None:
    run(quick, "echo made > made.txt")
    quick.repo.write("made.txt", "edited\n")
    run(quick, "echo edited > made.txt")
    verdict = quick.gate()
    assert verdict.states["tests"] == "pass"
    assert "made.txt was written while it ran and was the same after" in verdict.reason("tests")
    assert "made.txt was written while it ran" in quick.why("tests")


def test_a_product_that_was_written_by_hand_in_between_costs_one_run_more(quick: Quick) -> None:
    run(quick, COVERAGE)
    quick.repo.write(".coverage", "by hand\n")
    assert states(quick)["tests"] == "stale"
    quick.repo.write("README", "other\n")
    run(quick, COVERAGE)
    verdict = quick.gate()
    assert verdict.states["tests"] == "stale"
    assert verdict.reason("tests").startswith(".coverage changed while it ran")
    for _ in range(2):
        run(quick, COVERAGE)
        assert states(quick)["tests"] == "pass"


def test_a_product_of_another_task_is_no_input_on_this_branch(quick: Quick) -> None:
    run(quick, COVERAGE)
    quick.repo.git("checkout", "-q", "-b", "next")
    for _ in range(2):
        run(quick, COVERAGE, task="next")
        run(quick, criterion="lint", task="next")
        assert states(quick, "next") == PASS
    quick.repo.git("checkout", "-q", "work")
    assert states(quick)["tests"] == "pass"
    run(quick, COVERAGE)
    assert states(quick)["tests"] == "pass"
    assert states(quick, "next") == PASS, "whatever the other task wrote since"


def test_a_product_of_another_task_survives_the_commit_here(quick: Quick) -> None:
    run(quick, COVERAGE)
    quick.repo.git("checkout", "-q", "-b", "next")
    run(quick, criterion="lint", task="next")
    quick.repo.commit("With all that lies around")
    assert states(quick, "next")["lint"] == "pass"
    clone = quick.repo.clone(quick.root.parent / "clone")
    verdict = quick.gate("next", "--ledger", str(quick.ledger_file), cwd=clone.root)
    assert verdict.states["lint"] == "pass"


def test_a_file_of_that_name_that_git_knows_is_an_input_all_the_same(quick: Quick) -> None:
    run(quick, "echo 1 > version.txt")
    quick.repo.remove("version.txt")
    quick.repo.git("checkout", "-q", "-b", "next")
    quick.repo.write("version.txt", "1\n")
    quick.repo.commit("A file of our own, of the same content")
    run(quick, criterion="lint", task="next")
    assert states(quick, "next")["lint"] == "pass"
    quick.repo.remove("version.txt")
    verdict = quick.gate("next")
    assert verdict.states["lint"] == "stale"
    assert verdict.changed("lint") == ["version.txt"]


def test_a_file_that_was_there_before_any_run_has_to_be_settled_once(quick: Quick) -> None:
    quick.repo.write(".coverage", "from before\n")
    for _ in range(2):
        run(quick, COVERAGE)
        verdict = quick.gate()
        assert verdict.states["tests"] == "stale"
        assert verdict.reason("tests") == (
            ".coverage changed while it ran; if the run itself writes it, have git ignore it, or remove it once"
        )
    quick.repo.remove(".coverage")
    for _ in range(2):
        run(quick, COVERAGE)
        assert states(quick)["tests"] == "pass"


def test_a_tracked_file_that_the_run_rewrites_moves(quick: Quick) -> None:
    quick.repo.write("report.txt", "old\n")
    quick.repo.commit("A report")
    run(quick, "date +%N > report.txt")
    assert quick.gate().reason("tests") == "report.txt changed while it ran"
    run(quick, "cat report.txt > copy; cat copy > report.txt; rm copy")
    verdict = quick.gate()
    assert verdict.states["tests"] == "pass"
    assert "report.txt was written while it ran and was the same after" in verdict.reason("tests")


def test_a_file_written_by_hand_that_a_run_leaves_later_makes_nothing_stale(quick: Quick) -> None:
    quick.repo.write("dist/app.js", "built\n")
    run(quick, criterion="lint")
    quick.repo.remove("dist/app.js")
    run(quick, "mkdir -p dist; echo built > dist/app.js")
    verdict = quick.gate()
    assert verdict.states == PASS, "lint passed with that very file beside it"
    quick.repo.write("README", "other\n")
    assert quick.gate().changed("lint") == ["README"]


def test_a_product_that_another_run_leaves_meanwhile_is_known_at_the_end(quick: Quick) -> None:
    run(quick, "echo 1 > shared.out")
    inner = "DO='echo 2 > shared.out' notch run -t work -c tests && DO='echo 3 > shared.out' notch run -t work -c tests"
    run(quick, inner)
    assert states(quick)["tests"] == "pass"


def test_more_products_than_an_entry_holds_are_told_not_lost(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "PRODUCTS_KEPT", 50)
    run(quick, "mkdir many; cd many; seq 60 | xargs touch")
    verdict = quick.gate()
    assert verdict.states["tests"] == "stale"
    assert len(verdict.changed("tests")) == 10
    quick.repo.write(".gitignore", "many/\n")
    run(quick)
    assert states(quick)["tests"] == "pass"


def test_ignored_output_concerns_nobody(quick: Quick) -> None:
    quick.repo.write(".gitignore", "build/\n")
    quick.repo.commit("Ignore")
    quick.repo.write("build/out", "1\n")
    run(quick, "date +%N > build/out; mkdir -p build/deep; touch build/deep/new")
    assert states(quick)["tests"] == "pass"
    quick.repo.write("build/out", "2\n")
    assert states(quick)["tests"] == "pass"


def test_what_editors_keep_beside_a_file_concerns_nobody(quick: Quick) -> None:
    quick.repo.write("src/.one.py.swp", "typing\n")
    run(quick, "echo more >> src/.one.py.swp; echo lock > src/.two.py.swo")
    run(quick, criterion="lint")
    assert states(quick) == PASS
    (quick.root / "src/.#one.py").symlink_to("somebody@somewhere.1:2")
    quick.repo.write("src/one.py~", "before\n")
    assert states(quick) == PASS
    quick.repo.remove("src/.one.py.swp")
    quick.repo.remove("src/.two.py.swo")
    assert states(quick) == PASS
    quick.repo.commit("With a backup")
    assert states(quick) == {"tests": "stale", "lint": "stale"}, "what git knows is content"


@pytest.mark.parametrize(
    ("path", "theirs"),
    [
        ("src/.one.py.swp", True), (".x.swo", True), (".x.swx", True), ("one.swp", False), (".swp", False),
        (".x.swing", False), ("a/one.py~", True), ("~", False), ("a/.#one", True), ("a/#one#", True), ("#one", False),
        ("4913", True), ("a/4913", True), ("4913.py", False), (".DS_Store", True), ("a/.DS_Store", True),
        ("DS_Store", False), (".nfs000000000001", True), (".nfs", False), (".~lock.doc.odt#", True),
        ("x.py___jb_tmp___", True), ("x.py", False), (b"a/.\xff.swp", True), ("é~", True),
    ],
)  # fmt: skip
def test_names_that_editors_give(path: str | bytes, theirs: bool) -> None:
    assert is_editors(path) == theirs


# --- content that is not plain files


def test_a_file_in_a_submodule_is_an_input(quick: Quick, tmp_path: Path) -> None:
    inner = GitRepo.create(tmp_path / "inner")
    inner.write("lib.c", "1\n")
    inner.commit("First")
    quick.repo.git("submodule", "add", "-q", inner.root, "lib")
    quick.repo.commit("With a submodule")
    run(quick, "date +%N > lib/made")
    run(quick, criterion="lint")
    assert states(quick) == PASS
    GitRepo(quick.root / "lib").write("lib.c", "2\n")
    verdict = quick.gate()
    assert verdict.states == {"tests": "stale", "lint": "stale"}
    assert verdict.changed("lint") == ["lib/lib.c"]
    GitRepo(quick.root / "lib").git("checkout", "-q", "--", "lib.c")
    assert states(quick) == PASS


def test_line_ends_count_unless_attributes_normalise_them(quick: Quick) -> None:
    quick.repo.write("plain.txt", "one\n")
    quick.repo.write("normal.md", "one\n")
    quick.repo.write(".gitattributes", "*.md text\n")
    quick.repo.commit("Both kinds")
    run(quick)
    quick.repo.write("normal.md", "one\r\n")
    assert states(quick)["tests"] == "pass"
    quick.repo.write("plain.txt", "one\r\n")
    assert quick.gate().changed("tests") == ["plain.txt"]
