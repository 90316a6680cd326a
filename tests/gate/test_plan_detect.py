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

from tallystick.gate.detect import FirstPlan, first_plan
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
    plan = read_plan(draft(root).text.encode())
    assert not plan.tasks
    assert all(criterion.inputs == WHOLE_TREE for criterion in plan.criteria.values())
    return dict(plan.criteria)


def draft(root: Path, *missing: str) -> FirstPlan:
    """The first plan on a machine that has every program but these."""
    return first_plan(root, "r", lambda program: program not in missing)


def narrowed(root: Path, *missing: str) -> dict[str, tuple[str, ...]]:
    """The inputs of each criterion once the user has taken the # away."""
    text = draft(root, *missing).text.replace("# inputs =", "inputs =")
    return {id: criterion.inputs for id, criterion in read_plan(text.encode()).criteria.items()}


def commands(criteria: dict[str, Criterion]) -> dict[str, str]:
    return {id: criterion.command for id, criterion in criteria.items()}


PYTEST = "[project]\nname = 'x'\n[dependency-groups]\ntest = ['pytest>=8']\n"
NODE = json.dumps({"scripts": {"test": "vitest", "lint": "eslint ."}})


def test_an_empty_folder_gets_one_manual_criterion_and_an_example(tmp_path: Path) -> None:
    criteria = project(tmp_path, {})
    assert commands(criteria) == {"reviewed": ""}
    assert criteria["reviewed"].manual
    uncommented = draft(tmp_path).text.replace("# [", "[").replace("# run", "run").replace("# shows", "shows")
    plan = read_plan(uncommented.replace("# inputs", "inputs").replace("# protect", "protect").encode())
    assert plan.criteria["tests"].run == "make test"
    assert plan.gate.protect == (".github/**",)
    assert plan.tasks["add-cache"].criteria["ac1"].run == "…"


def test_a_folder_that_is_not_there_gets_the_same(tmp_path: Path) -> None:
    assert draft(tmp_path / "nowhere") == draft(tmp_path)


def test_python_with_pytest(tmp_path: Path) -> None:
    files = {"pyproject.toml": PYTEST, "src/x/__init__.py": "", "tests/test_x.py": "", "README.md": ""}
    criteria = project(tmp_path, files)
    assert commands(criteria) == {"tests": "pytest -q"}
    assert narrowed(tmp_path)["tests"] == ("src/**", "tests/**", "pyproject.toml")
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
    assert narrowed(tmp_path)["tests"] == ("pkg/**", "*.py", "pyproject.toml", "uv.lock")
    assert narrowed(tmp_path)["lint"] == ("**/*.py", "**/*.pyi", "pyproject.toml", "setup.py", "uv.lock")


def test_node(tmp_path: Path) -> None:
    criteria = project(tmp_path, {"package.json": NODE, "src/a.ts": "", "vite.config.ts": "", "package-lock.json": ""})
    assert commands(criteria) == {"tests": "CI=1 npm test", "lint": "npm run lint"}
    assert narrowed(tmp_path)["tests"] == ("src/**", "*.ts", "*.json")
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
    assert criteria["tests"].expect.tests is None


def test_node_without_tests(tmp_path: Path) -> None:
    script = 'echo "Error: no test specified" && exit 1'
    assert commands(project(tmp_path, {"package.json": json.dumps({"scripts": {"test": script}})})) == {"reviewed": ""}


def test_go(tmp_path: Path) -> None:
    criteria = project(tmp_path, {"go.mod": "module x", "go.sum": "", "main.go": ""})
    assert commands(criteria) == {"tests": "go test -count=1 ./...", "vet": "go vet ./..."}
    assert narrowed(tmp_path)["tests"] == ("**/*.go", "**/testdata/**", "go.mod", "go.sum")


def test_rust(tmp_path: Path) -> None:
    files = {"Cargo.toml": "[workspace]\nmembers = ['a']", "Cargo.lock": "", "a/Cargo.toml": "[package]"}
    criteria = project(tmp_path, files)
    assert commands(criteria) == {"a-tests": "cd a && cargo test"}
    assert narrowed(tmp_path)["a-tests"] == ("a/**", "*")


def test_a_makefile_alone(tmp_path: Path) -> None:
    makefile = ".PHONY: test lint\nall: x\ntest lint:\n\t./run $@\ncheck: test lint\n"
    criteria = project(tmp_path, {"Makefile": makefile})
    assert commands(criteria) == {"tests": "make test", "lint": "make lint"}


def test_a_makefile_with_check_alone(tmp_path: Path) -> None:
    assert commands(project(tmp_path, {"makefile": "check: all\n\t./check.sh\nall:\n"})) == {"check": "make check"}


def test_a_makefile_that_runs_the_project_s_tests_stands_for_them(tmp_path: Path) -> None:
    files = {"pyproject.toml": PYTEST, "src/x.py": "", "Makefile": "test:\n\t./scripts/test\n"}
    criteria = project(tmp_path, files)
    assert commands(criteria) == {"tests": "make test"}
    assert narrowed(tmp_path)["tests"] == ("src/**", "pyproject.toml", "Makefile")
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
    assert narrowed(tmp_path)["my-app-tests"] == ("services/my app/src/**", "services/my app/pyproject.toml")
    assert narrowed(tmp_path)["odd-1-tests"] == ("odd\\[1]\\*/src/**", "odd\\[1]\\*/*.json")
    assert narrowed(tmp_path)["web-tests"] == ("other/web/**",)


MEMBERS = {"a": "vitest", "b": "node --test"}


def members(mark: str = "package.json") -> dict[str, str]:
    """Two members with tests, one without, and one that the patterns leave out."""
    tested = {f"packages/{name}/{mark}": json.dumps({"scripts": {"test": run}}) for name, run in MEMBERS.items()}
    untested = {f"packages/c/{mark}": "{}", f"packages/b/node_modules/x/{mark}": NODE}
    return tested | untested


@pytest.mark.parametrize(
    ("root", "manager"),
    [
        ({"package.json": '{"workspaces": ["packages/*"]}'}, "npm"),
        ({"package.json": '{"workspaces": {"packages": ["./packages/*/"]}}', "yarn.lock": ""}, "yarn"),
        ({"package.json": "{}", "pnpm-workspace.yaml": "packages:\n  # all\n  - 'packages/*' # here\n"}, "pnpm"),
        ({"package.json": "{}", "pnpm-workspace.yaml": 'packages: ["packages/*", "!**/x"]\nx: 1'}, "pnpm"),
        ({"package.json": '{"workspaces": ["packages/{a,b}"]}', "bun.lock": ""}, "bun"),
        (
            {"package.json": '{"workspaces": ["packages/*"], "scripts": {"test": "npm test --workspaces"}}'},
            "npm",
        ),
    ],
)
def test_each_member_of_a_node_workspace_gets_a_criterion(tmp_path: Path, root: dict[str, str], manager: str) -> None:
    lock = {"pnpm-lock.yaml": ""} if "pnpm-workspace.yaml" in root else {}
    criteria = project(tmp_path, {**members(), **root, **lock, "tools/go.mod": ""})
    test = f"CI=1 {manager} {'run ' if manager == 'bun' else ''}test"
    assert commands(criteria) == {
        "a-tests": f"cd packages/a && {test}",
        "b-tests": f"cd packages/b && {test}",
        "tools-tests": "cd tools && go test -count=1 ./...",
    }
    assert narrowed(tmp_path)["a-tests"] == ("packages/a/**", "*")


def test_tests_of_the_root_stay_beside_those_of_its_members(tmp_path: Path) -> None:
    root = json.dumps({"workspaces": ["packages/a"], "scripts": {"test": "vitest", "typecheck": "tsc -b"}})
    criteria = project(tmp_path, {**members(), "package.json": root})
    assert commands(criteria) == {
        "tests": "CI=1 npm test",
        "types": "npm run typecheck",
        "a-tests": "cd packages/a && CI=1 npm test",
        "b-tests": "cd packages/b && CI=1 npm test",
    }


def test_members_that_turbo_builds_are_tested_by_turbo(tmp_path: Path) -> None:
    root = json.dumps({"workspaces": ["packages/*"], "scripts": {"test": "turbo run test"}})
    criteria = project(tmp_path, {**members(), "package.json": root, "turbo.json": "{}"})
    assert commands(criteria)["a-tests"] == "cd packages/a && CI=1 npx turbo run test --force"
    assert "tests" not in criteria


def test_very_many_members_are_tested_at_once(tmp_path: Path) -> None:
    many = {f"packages/p{n}/package.json": json.dumps({"scripts": {"test": "vitest"}}) for n in range(40)}
    criteria = project(tmp_path, {**many, "package.json": '{"workspaces": ["packages/*"]}'})
    assert commands(criteria) == {"tests": "CI=1 npm test --workspaces --if-present"}


def test_each_crate_of_a_cargo_workspace_gets_a_criterion(tmp_path: Path) -> None:
    root = "[workspace]\nmembers = ['crates/*']\nexclude = ['crates/old']\n"
    crates = {f"crates/{name}/Cargo.toml": f"[package]\nname = '{name}'\n" for name in ("one", "two", "old")}
    assert commands(project(tmp_path, {"Cargo.toml": root, **crates})) == {
        "one-tests": "cd crates/one && cargo test",
        "two-tests": "cd crates/two && cargo test",
        "old-tests": "cd crates/old && cargo test",
    }
    project(tmp_path, {"Cargo.toml": root + "[package]\nname = 'root'\n"})
    assert commands(project(tmp_path, {}))["tests"] == "cargo test"


def test_a_crate_that_is_a_member_by_its_path_alone_is_tested_too(tmp_path: Path) -> None:
    files = {
        "Cargo.toml": "[workspace]\nmembers = ['one']\n",
        "one/Cargo.toml": "[package]\n[dependencies]\nx = { path = '../hidden' }\n",
        "hidden/Cargo.toml": "[package]\n",
    }
    assert commands(project(tmp_path, files))["tests"] == "cargo test --workspace"


def test_each_module_of_a_go_workspace_gets_a_criterion(tmp_path: Path) -> None:
    work = "go 1.22\nuse ./api // first\nuse (\n\t./deep/er/still\n)\n"
    files = {"go.work": work, "api/go.mod": "module a", "deep/er/still/go.mod": "module b"}
    assert commands(project(tmp_path, files)) == {
        "api-tests": "cd api && go test -count=1 ./...",
        "still-tests": "cd deep/er/still && go test -count=1 ./...",
    }


def test_each_member_of_a_uv_workspace_gets_a_criterion(tmp_path: Path) -> None:
    root = PYTEST + "[tool.uv.workspace]\nmembers = ['packages/*']\n"
    member = {"packages/a/pyproject.toml": PYTEST, "packages/a/tests/test_a.py": ""}
    files = {"pyproject.toml": root, "uv.lock": "", **member}
    assert commands(project(tmp_path, files)) == {"a-tests": "cd packages/a && uv run pytest -q"}
    assert commands(project(tmp_path, {"tests/test_r.py": ""})) == {
        "tests": "uv run pytest -q",
        "a-tests": "cd packages/a && uv run pytest -q",
    }


def test_a_makefile_that_tests_all_members_stands_for_them(tmp_path: Path) -> None:
    makefile = "test:\n\tnpm test --workspaces\n"
    criteria = project(tmp_path, {**members(), "package.json": '{"workspaces": ["packages/*"]}', "Makefile": makefile})
    assert commands(criteria) == {"tests": "make test"}


@pytest.mark.parametrize("name", ["typecheck", "type-check", "check-types", "types"])
def test_a_script_that_checks_types_is_proposed(tmp_path: Path, name: str) -> None:
    criteria = project(tmp_path, {"package.json": json.dumps({"scripts": {"test": "vitest", name: "tsc --noEmit"}})})
    assert commands(criteria) == {"tests": "CI=1 npm test", "types": f"npm run {name}"}


def test_a_program_that_is_not_here_is_named(tmp_path: Path) -> None:
    project(tmp_path, {"pyproject.toml": PYTEST + "[tool.ruff]\n[tool.mypy]\n", "x.py": "", "tests/test_x.py": ""})
    found = draft(tmp_path, "ruff", "pytest")
    assert found.notes == (
        "pytest is not installed here, and tests cannot be run without it",
        "ruff is not installed here, so lint stands in the plan as a comment",
    )
    assert list(read_plan(found.text.encode()).criteria) == ["tests", "types"]
    lines = found.text.split("\n")
    start = lines.index("# ruff is not installed here; once it is, take the # away:")
    restored = "\n".join(line.removeprefix("# ") for line in lines[start + 1 : start + 4])
    assert read_plan(restored.encode()).criteria["lint"].run == "ruff check ."


def test_a_lock_file_whose_tool_is_not_here_is_no_obstacle_if_pytest_is(tmp_path: Path) -> None:
    project(tmp_path, {"pyproject.toml": PYTEST, "uv.lock": "", "tests/test_x.py": ""})
    assert read_plan(draft(tmp_path, "uv").text.encode()).criteria["tests"].run == "pytest -q"
    both = draft(tmp_path, "uv", "pytest")
    assert read_plan(both.text.encode()).criteria["tests"].run == "uv run pytest -q"
    assert both.notes == ("uv is not installed here, and tests cannot be run without it",)


def test_packages_that_are_not_installed_are_named(tmp_path: Path) -> None:
    package = json.dumps({"scripts": {"test": "vitest"}, "devDependencies": {"vitest": "^4"}})
    project(tmp_path, {"package.json": package})
    assert draft(tmp_path).notes == ("node_modules is not here: install the packages before the first check",)
    (tmp_path / "node_modules").mkdir()
    assert draft(tmp_path).notes == ()


def test_projects_that_the_plan_leaves_out_are_named(tmp_path: Path) -> None:
    project(tmp_path, {f"p{n:02}/go.mod": "" for n in range(14)})
    assert draft(tmp_path).notes == ("the plan leaves out p12, p13: write criteria for them",)


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
