"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES = 420

LONGER_WITH_REASON: dict[str, str] = {
    "src/tallystick/capture/run.py": "one run, from what is asked for to what is recorded",
    "src/tallystick/ledger.py": "the one door: every public call of a ledger, documented, in one place",
    "src/tallystick/stores/postgres.py": "the store's calls, each a few lines over the modules that do the work",
    "src/tallystick/stores/postgres_writer.py": "one statement's life, from its parameters to its answer",
    "tests/capture/test_capture_process.py": "the cases of one call",
    "tests/capture/test_capture_terminal.py": "the cases of one call, at a terminal",
    "tests/cli/test_cli_check_reuse.py": "the cases of one option",
    "tests/cli/test_cli_gate.py": "the twenty-two scenarios stand together",
    "tests/gate/test_plan_detect.py": "one kind of project after another",
    "tests/postgres/test_postgres_appends.py": "the cases of one call",
    "tests/postgres/test_postgres_tampering.py": "one edit after another, by a superuser",
    "tests/workspace/test_workspace_git.py": "what git trees get into, one case after another",
}
"""Python files of more lines than that, and why each is better whole."""

MACHINE_PATH = re.compile(r"(?<![\w./~$})-])/(?:work|root|home|Users)/\w")
"""An absolute path of somebody's machine."""

REGISTRY_HOST = re.compile(
    r"\b(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|deb\.debian\.org|archive\.ubuntu\.com|crates\.io)\b"
)
"""Where packages are fetched from is for each machine's configuration to say."""

SAYS_SO = frozenset({"tests/test_repository.py"})
"""Files that hold such text because it is what they are about."""


def tracked() -> list[Path]:
    """The files that git tracks; in an unpacked source archive, all that it holds."""
    if not (ROOT / ".git").exists():
        return [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name for name in listed.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> str | None:
    """A file's text; None for one that is not UTF-8."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return None


SOURCES = [path for path in tracked() if path.suffix == ".py"]
MODULES = [path for path in SOURCES if name(path).startswith("src/")]


def test_files_stay_short() -> None:
    lengths = {name(path): len(path.read_text("utf-8").splitlines()) for path in SOURCES}
    longer = {path for path, length in lengths.items() if length > MOST_LINES}
    assert longer <= set(LONGER_WITH_REASON), {path: lengths.get(path) for path in longer - set(LONGER_WITH_REASON)}


def test_every_module_says_what_it_is() -> None:
    assert MODULES
    silent = [name(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_bytes()))]
    assert silent == []


def test_every_package_has_its_file() -> None:
    folders = {path.parent for path in MODULES}
    assert [name(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_there_is_no_drawer_for_everything() -> None:
    assert [name(path) for path in MODULES if path.stem in {"utils", "util", "helpers", "misc", "common"}] == []


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY_HOST], ids=["paths", "registries"])
def test_nothing_of_one_machine_is_tracked(pattern: re.Pattern[str]) -> None:
    found = []
    for path in tracked():
        text = None if name(path) in SAYS_SO else text_of(path)
        for number, line in enumerate((text or "").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{name(path)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_the_patterns_find_what_they_are_for() -> None:
    assert MACHINE_PATH.search('open("/home/ada/x")')
    assert MACHINE_PATH.search("see /work/main")
    assert not MACHINE_PATH.search("https://example.org/home/page")
    assert not MACHINE_PATH.search("docs/work/x and $(HOME)/work/x")
    assert REGISTRY_HOST.search("https://pypi.org/simple")


def test_tests_have_names_of_their_own() -> None:
    """Test files are collected without packages, so two of one name would shadow each other."""
    tests = [path for path in SOURCES if name(path).startswith("tests/") and path.name.startswith("test_")]
    names = [path.name for path in tests]
    assert sorted({n for n in names if names.count(n) > 1}) == []


def test_the_changelog_keeps_its_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[0] == "[Unreleased]" or headings[0].startswith(f"[{version}] - ")
    assert all(re.fullmatch(r"\[Unreleased\]|\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", line) for line in headings)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds


def test_every_dependency_is_justified() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    page = (ROOT / "docs/explanation/dependencies.md").read_text("utf-8")
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    names = [re.split(r"[\[<>=;~ ]", requirement)[0] for requirement in wanted]
    assert [package for package in names if f"| [{package}](" not in page and f"[{package}](" not in page] == []


def test_exit_codes_are_those_of_the_errors() -> None:
    from tallystick import errors

    page = (ROOT / "docs/reference/exit-codes.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d) \|[^|]*\|([^|]*)\|$", page, re.MULTILINE)
    written = {error: int(code) for code, cell in rows for error in re.findall(r"`(\w+)`", cell)}
    real = {
        error.__name__: error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.TallystickError)
    }
    assert written == real
