"""A first plan for a project: it reads back, and names what there is to run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.gate.detect import first_plan
from tallystick.gate.expectation import Comparison
from tallystick.gate.makefile import Makefile
from tallystick.gate.plan import WHOLE_TREE, Criterion, read_plan
from tallystick.reports.console import read_console


def project(root: Path, files: dict[str, str]) -> dict[str, Criterion]:
    """The criteria of the first plan for a folder of these files."""
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    plan = read_plan(first_plan(root, "r").encode())
    assert not plan.tasks
    return dict(plan.criteria)


def commands(criteria: dict[str, Criterion]) -> dict[str, str]:
    return {id: criterion.command for id, criterion in criteria.items()}


PYTEST = "[project]\nname = 'x'\n[dependency-groups]\ntest = ['pytest>=8']\n"
NODE = json.dumps({"scripts": {"test": "vitest", "lint": "eslint ."}})


def test_an_empty_folder_gets_one_manual_criterion_and_an_example(tmp_path: Path) -> None:
    criteria = project(tmp_path, {})
    assert commands(criteria) == {"reviewed": ""}
    assert criteria["reviewed"].manual
    uncommented = first_plan(tmp_path, "r").replace("# [", "[").replace("# run", "run").replace("# shows", "shows")
    plan = read_plan(uncommented.replace("# inputs", "inputs").replace("# protect", "protect").encode())
    assert plan.criteria["tests"].run == "make test"
    assert plan.gate.protect == (".github/**",)
    assert plan.tasks["add-cache"].criteria["ac1"].run == "…"


def test_a_folder_that_is_not_there_gets_the_same(tmp_path: Path) -> None:
    assert first_plan(tmp_path / "nowhere", "r") == first_plan(tmp_path, "r")


def test_python_with_pytest(tmp_path: Path) -> None:
    files = {"pyproject.toml": PYTEST, "src/x/__init__.py": "", "tests/test_x.py": "", "README.md": ""}
    criteria = project(tmp_path, files)
    assert commands(criteria) == {"tests": "pytest -q"}
    assert criteria["tests"].inputs == ("src/**", "tests/**", "pyproject.toml")
    assert criteria["tests"].expect.tests == Comparison(">=", 1)


@pytest.mark.parametrize(
    "pyproject",
    [
        "[tool.pytest.ini_options]",
        "[project.optional-dependencies]\ndev = ['Pytest ; python_version > \"3\"']",
        "[tool.poetry.group.dev.dependencies]\npytest = '^8'",
        "[tool.hatch.envs.default]\ndependencies = ['pytest']",
    ],
)
def test_pytest_is_seen_wherever_it_is_asked_for(tmp_path: Path, pyproject: str) -> None:
    assert commands(project(tmp_path, {"pyproject.toml": pyproject, "x.py": ""})) == {"tests": "pytest -q"}


def test_python_without_tests_gets_no_criterion_for_them(tmp_path: Path) -> None:
    assert commands(project(tmp_path, {"pyproject.toml": "[project]\nname = 'x'", "x.py": ""})) == {"reviewed": ""}


def test_python_with_its_tools_and_a_lock_file(tmp_path: Path) -> None:
    tools = PYTEST + "[tool.ruff]\nline-length = 99\n[tool.mypy]\nfiles = ['src']\n"
    criteria = project(tmp_path, {"pyproject.toml": tools, "uv.lock": "", "pkg/__init__.py": "", "setup.py": ""})
    assert commands(criteria) == {"tests": "uv run pytest -q", "lint": "uv run ruff check .", "types": "uv run mypy"}
    assert criteria["tests"].inputs == ("pkg/**", "*.py", "pyproject.toml", "uv.lock")
    assert criteria["lint"].inputs == ("**/*.py", "**/*.pyi", "pyproject.toml", "setup.py", "uv.lock")


def test_node(tmp_path: Path) -> None:
    criteria = project(tmp_path, {"package.json": NODE, "src/a.ts": "", "vite.config.ts": "", "package-lock.json": ""})
    assert commands(criteria) == {"tests": "CI=1 npm test", "lint": "npm run lint"}
    assert criteria["tests"].inputs == ("src/**", "*.ts", "*.json")
    assert criteria["tests"].expect.tests == Comparison(">=", 1)


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"yarn.lock": ""}, "CI=1 yarn test"),
        ({"pnpm-lock.yaml": ""}, "CI=1 pnpm test"),
        ({"bun.lock": ""}, "CI=1 bun run test"),
        ({"package.json": '{"packageManager": "pnpm@9.1.0", "scripts": {"test": "tap"}}'}, "CI=1 pnpm test"),
    ],
)
def test_node_package_managers(tmp_path: Path, files: dict[str, str], command: str) -> None:
    criteria = project(tmp_path, {"package.json": '{"scripts": {"test": "tap"}}', **files})
    assert commands(criteria) == {"tests": command}
    assert criteria["tests"].inputs == WHOLE_TREE
    assert criteria["tests"].expect.tests is None


def test_node_without_tests(tmp_path: Path) -> None:
    script = 'echo "Error: no test specified" && exit 1'
    assert commands(project(tmp_path, {"package.json": json.dumps({"scripts": {"test": script}})})) == {"reviewed": ""}


def test_go(tmp_path: Path) -> None:
    criteria = project(tmp_path, {"go.mod": "module x", "go.sum": "", "main.go": ""})
    assert commands(criteria) == {"tests": "go test -count=1 ./...", "vet": "go vet ./..."}
    assert criteria["tests"].inputs == ("**/*.go", "**/testdata/**", "go.mod", "go.sum")


def test_rust(tmp_path: Path) -> None:
    files = {"Cargo.toml": "[workspace]\nmembers = ['a']", "Cargo.lock": "", "a/Cargo.toml": "[package]"}
    criteria = project(tmp_path, files)
    assert commands(criteria) == {"tests": "cargo test --workspace"}
    assert criteria["tests"].inputs == ("**/*.rs", "**/Cargo.toml", "Cargo.lock")


def test_a_makefile_alone(tmp_path: Path) -> None:
    makefile = ".PHONY: test lint\nall: x\ntest lint:\n\t./run $@\ncheck: test lint\n"
    criteria = project(tmp_path, {"Makefile": makefile})
    assert commands(criteria) == {"tests": "make test", "lint": "make lint"}
    assert criteria["tests"].inputs == WHOLE_TREE


def test_a_makefile_with_check_alone(tmp_path: Path) -> None:
    assert commands(project(tmp_path, {"makefile": "check: all\n\t./check.sh\nall:\n"})) == {"check": "make check"}


def test_a_makefile_that_runs_the_project_s_tests_stands_for_them(tmp_path: Path) -> None:
    files = {"pyproject.toml": PYTEST, "src/x.py": "", "Makefile": "test:\n\t./scripts/test\n"}
    criteria = project(tmp_path, files)
    assert commands(criteria) == {"tests": "make test"}
    assert criteria["tests"].inputs == ("src/**", "pyproject.toml", "Makefile")
    assert criteria["tests"].expect.tests == Comparison(">=", 1)


def test_a_makefile_that_runs_one_of_two_leaves_the_other(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": PYTEST,
        "tests/test_x.py": "",
        "package.json": NODE,
        "src/a.js": "",
        "Makefile": "test: unit\nunit:\n\tpytest -q\n",
    }
    criteria = project(tmp_path, files)
    assert commands(criteria) == {"tests": "make test", "node-tests": "CI=1 npm test", "lint": "npm run lint"}


def test_a_target_that_make_takes_for_a_file_is_left_out(tmp_path: Path) -> None:
    files = {"Makefile": "test:\n\tpytest\n", "test/test_x.py": "", "pyproject.toml": PYTEST}
    assert commands(project(tmp_path, files)) == {"tests": "pytest -q"}
    (tmp_path / "Makefile").write_text(".PHONY: test\ntest:\n\tpytest\n")
    assert commands(project(tmp_path, {})) == {"tests": "make test"}


def test_several_tool_chains_at_the_root(tmp_path: Path) -> None:
    files = {"pyproject.toml": PYTEST, "x.py": "", "package.json": NODE, "go.mod": "", "Cargo.toml": ""}
    assert commands(project(tmp_path, files)) == {
        "python-tests": "pytest -q",
        "node-tests": "CI=1 npm test",
        "lint": "npm run lint",
        "go-tests": "go test -count=1 ./...",
        "vet": "go vet ./...",
        "rust-tests": "cargo test",
    }


def test_projects_in_folders_below(tmp_path: Path) -> None:
    files = {
        "services/api/go.mod": "",
        "services/my app/pyproject.toml": PYTEST,
        "services/my app/src/x.py": "",
        "web/package.json": NODE,
        "web/src/a.ts": "",
        "other/web/package.json": NODE,
        "odd[1]*/package.json": NODE,
        "odd[1]*/src/x.js": "",
        "node_modules/x/package.json": NODE,
        "ignored/package.json": NODE,
        ".gitignore": "*.pyc\n/ignored/\n",
        "clone/.git/HEAD": "",
        "clone/package.json": NODE,
        "a/b/c/package.json": NODE,
    }
    criteria = project(tmp_path, files)
    assert commands(criteria) == {
        "odd-1-tests": "cd 'odd[1]*' && CI=1 npm test",
        "web-tests": "cd other/web && CI=1 npm test",
        "api-tests": "cd services/api && go test -count=1 ./...",
        "my-app-tests": "cd 'services/my app' && pytest -q",
        "web-node-tests": "cd web && CI=1 npm test",
    }
    assert criteria["my-app-tests"].inputs == ("services/my app/src/**", "services/my app/pyproject.toml")
    assert criteria["odd-1-tests"].inputs == ("odd\\[1]\\*/src/**", "odd\\[1]\\*/*.json")
    assert criteria["web-tests"].inputs == ("other/web/**",)


def test_workspaces_are_run_from_their_root(tmp_path: Path) -> None:
    root = json.dumps({"workspaces": ["packages/*"], "scripts": {"test": "npm test --workspaces"}})
    files = {"package.json": root, "packages/a/package.json": NODE, "tools/go.mod": ""}
    criteria = project(tmp_path, files)
    assert commands(criteria) == {"tests": "CI=1 npm test", "tools-tests": "cd tools && go test -count=1 ./..."}
    assert criteria["tests"].inputs == ("packages/**", "*.json")


@pytest.mark.parametrize("broken", ["{", "[]", '{"scripts": 1}', '{"scripts": {"test": []}}', "\ufeff", "[" * 100_000])
def test_files_that_cannot_be_read_are_passed_over(tmp_path: Path, broken: str) -> None:
    files = dict.fromkeys(("package.json", "pyproject.toml", "Makefile"), broken)
    assert commands(project(tmp_path, files)) == {"reviewed": ""}


def test_folders_that_cannot_be_entered_and_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "package.json").symlink_to("nowhere")
    assert commands(project(tmp_path, {})) == {"reviewed": ""}


@given(
    st.dictionaries(
        st.sampled_from(["pyproject.toml", "package.json", "go.mod", "Cargo.toml", "Makefile", "setup.py", "tests/x"]),
        st.sampled_from(["", PYTEST, NODE, "test:\n\tpytest\n", "[workspace]", "lint:\ncheck:\n\tcargo test"]),
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=6),
)
def test_whatever_is_mixed_reads_back(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, str], folder: str
) -> None:
    root = tmp_path_factory.mktemp("mixed")
    below = {f"{folder}/{name}": text for name, text in files.items()} if folder not in (".", "..") else {}
    criteria = project(root, {**files, **below})
    assert criteria
    for criterion in criteria.values():
        assert criterion.shows.isprintable()


def test_what_make_reaches() -> None:
    makefile = Makefile("a: b\\\n  c ; echo hi\nb::\n\tx\nb::\n\ty\nc = 1\nd := 2\nc:\n\t$(MAKE) e\ne:\n\tz\nf: a\n")
    assert {target: recipe.split() for target, recipe in makefile.reached("a").items()} == {
        "a": ["echo", "hi"],
        "b": ["x", "y"],
        "c": ["$(MAKE)", "e"],
        "e": ["z"],
    }
    assert makefile.reached("missing") == {}


UNITTEST = "import unittest\n\nclass T(unittest.TestCase):\n    def test_it(self):\n        pass\n"


@pytest.mark.parametrize("package", [False, True])
def test_the_command_for_unittest_works(tmp_path: Path, package: bool) -> None:
    files = {"pyproject.toml": "[project]\nname = 'x'", "tests/test_x.py": UNITTEST}
    criteria = project(tmp_path, files | ({"tests/__init__.py": ""} if package else {}))
    assert criteria["tests"].command.startswith("python3 -m unittest discover -s tests")
    unmet = run(tmp_path, criteria["tests"])
    assert unmet == []
    (tmp_path / "tests/test_x.py").write_text("")
    assert run(tmp_path, criteria["tests"]) != []


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
def test_the_command_for_make_works(tmp_path: Path) -> None:
    makefile = f"test:\n\t{sys.executable} -m pytest -q tests\n"
    files = {"pyproject.toml": PYTEST, "tests/test_x.py": "def test_it(): pass\n", "Makefile": makefile}
    criteria = project(tmp_path, files)
    assert run(tmp_path, criteria["tests"]) == []


def run(folder: Path, criterion: Criterion) -> list[str]:
    """What the run of a criterion lacks."""
    done = subprocess.run(criterion.argv, cwd=folder, capture_output=True, timeout=60)
    output = done.stdout + done.stderr
    report = read_console(output)
    executed = report.to_details()["counts"]["executed"] if report else None
    return criterion.expect.unmet(done.returncode, tests=executed, output=output.decode())
