"""What there is to check in a project, by the files that its tools leave: Python, Node, Go, Rust."""

from __future__ import annotations

import re

from tallystick.gate.project_folder import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from tallystick.gate.project_folder import ProjectFolder


class Check:
    """A criterion in the making; commands and patterns are written from the project's folder."""

    __slots__ = ("counted", "inputs", "kind", "run", "shows", "tool", "words")

    def __init__(
        self,
        kind: str,
        shows: str,
        run: str,
        inputs: Iterable[str],
        *,
        counted: bool = False,
        words: tuple[str, ...],
        tool: str = "",
    ) -> None:
        self.kind = kind
        """What it is called where it is the only one of its kind: `tests`, `lint`."""
        self.shows = shows
        self.run = run
        self.inputs = tuple(inputs)
        """What a user may narrow its inputs to; empty if nothing narrower than the whole project can be named."""
        self.counted = counted
        """Whether its output tells how many tests there were."""
        self.words = words
        """Words by which a Makefile's recipe is seen to run it already."""
        self.tool = tool or next(word for word in run.split() if "=" not in word)
        """The program that runs it."""


def ecosystems(
    folder: ProjectFolder, installed: Callable[[str], bool], root: ProjectFolder | None = None
) -> dict[str, list[Check]]:
    """The checks of each tool chain that has a project in the folder.

    `installed` says whether there is a program of that name. `root`: of the workspace that the folder is a member of,
    which holds the lock file and the settings of all members.
    """
    python = folder.has("pyproject.toml", "setup.py", "setup.cfg", "pytest.ini")
    found = {
        "python": list(_python(folder, installed, root or folder)) if python else [],
        "node": list(_node(folder, root or folder)) if folder.has("package.json") else [],
        "go": list(_go(folder)) if folder.has("go.mod") else [],
        "rust": list(_rust(folder)) if folder.has("Cargo.toml") else [],
    }
    return {name: checks for name, checks in found.items() if checks}


_PYTHON_SETTINGS = (
    "pyproject.toml", "setup.py", "setup.cfg", "pytest.ini", "tox.ini", "mypy.ini", "ruff.toml", ".ruff.toml",
    "requirements.txt", "uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock",
)  # fmt: skip
_PYTHON_RUNNERS = {
    "uv.lock": "uv run ",
    "poetry.lock": "poetry run ",
    "pdm.lock": "pdm run ",
    "Pipfile.lock": "pipenv run ",
}


def _python(folder: ProjectFolder, installed: Callable[[str], bool], root: ProjectFolder) -> Iterator[Check]:
    project = folder.toml("pyproject.toml")
    tools = table(project, "tool")
    needed = _requirements(folder, project)
    runner = next((_PYTHON_RUNNERS[lock] for lock in root.has(*_PYTHON_RUNNERS)), "")
    if runner and not installed(runner.split()[0]) and installed("pytest"):
        runner = ""  # the environment is there already, made by another tool
    settings = folder.has(*_PYTHON_SETTINGS)
    inputs = _python_inputs(folder, settings)
    run = _python_tests(folder, uses_pytest="pytest" in needed or "pytest" in tools)
    if run:
        words = ("pytest", "unittest", "tox", "nox")
        yield Check("tests", "the tests pass", runner + run, inputs, counted=True, words=words)
    sources = ("**/*.py", "**/*.pyi", *settings)
    if "ruff" in tools or "ruff" in needed or folder.has("ruff.toml", ".ruff.toml"):
        yield Check("lint", "the linter has nothing to say", runner + "ruff check .", sources, words=("ruff",))
    if "mypy" in tools or folder.has("mypy.ini"):
        named = {"files", "packages", "modules"} & set(table(tools, "mypy")) or "files" in folder.text("mypy.ini")
        run = "mypy" if named else "mypy ."
        yield Check("types", "the types fit", runner + run, sources, words=("mypy",))


def _requirements(folder: ProjectFolder, project: dict[str, Any]) -> set[str]:
    """The names of all packages that the project asks for, for whatever purpose."""
    texts: list[str] = folder.text("requirements.txt").splitlines()
    texts += folder.text("requirements-dev.txt").splitlines()
    for value in (table(project, "project"), table(project, "dependency-groups"), table(project, "tool")):
        texts += _strings(value)
    names = (re.match(r"[A-Za-z0-9._-]+", text.strip()) for text in texts)
    return {name[0].lower() for name in names if name}


def _strings(value: Any) -> Iterator[str]:
    """Every string in lists below the value, and every key below a `dependencies` table."""
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, str))
    elif isinstance(value, dict):
        for key, item in value.items():
            if key.endswith("dependencies") and isinstance(item, dict):
                yield from item
            yield from _strings(item)


def _python_tests(folder: ProjectFolder, *, uses_pytest: bool) -> str:
    places = [name for name in ("tests", "test") if name in folder.folders]
    here = any(re.fullmatch(r"test_\w+\.py|\w+_test\.py", name) for name in folder.files)
    marks = folder.has("pytest.ini", "conftest.py") or any(folder.below(name).has("conftest.py") for name in places)
    if uses_pytest or marks or "[tool:pytest]" in folder.text("setup.cfg"):
        return "pytest -q"
    for name in places:
        inner = folder.below(name)
        if any(re.fullmatch(r"test\w*\.py", file) for file in inner.files):
            return f"python3 -m unittest discover -s {name}" + (" -t ." if inner.has("__init__.py") else "")
    return "pytest -q" if here else ""


def _python_inputs(folder: ProjectFolder, settings: list[str]) -> list[str]:
    packages = [name for name in folder.folders if name == "src" or folder.below(name).has("__init__.py")]
    if not packages and not folder.with_ending(".py"):
        return []
    tests = [name for name in ("tests", "test") if name in folder.folders and name not in packages]
    loose = [f"*{ending}" for ending in folder.with_ending(".py")]
    kept = [name for name in settings if not (loose and name.endswith(".py"))]
    return [*(f"{name}/**" for name in packages + tests if name.isidentifier()), *loose, *kept]


_NODE_LOCKS: dict[str, str] = {
    "pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lock": "bun", "bun.lockb": "bun", "package-lock.json": "npm",
}  # fmt: skip
_NODE_FOLDERS = (
    "src", "lib", "app", "apps", "bin", "pages", "components", "packages", "public", "server", "client", "test",
    "tests", "__tests__", "spec", "e2e", "cypress",
)  # fmt: skip
_NODE_ENDINGS = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".jsx", ".tsx")
_SWEEPS = re.compile(r"--workspaces\b|-ws\b|--recursive\b|\s-r\b|\bturbo\b|\bnx\b|\blerna\b|\bforeach\b|--filter\b")
_NODE_COUNTED = re.compile(r"\b(jest|vitest|mocha|playwright)\b|\bnode\b.*--test\b")


_TYPE_SCRIPTS = ("typecheck", "type-check", "check-types", "check:types", "types", "tsc")


def _node(folder: ProjectFolder, root: ProjectFolder) -> Iterator[Check]:
    package = folder.json("package.json")
    scripts = table(package, "scripts")
    manager = node_manager(root, root.json("package.json"))
    inputs = _node_inputs(folder)
    test = _script(scripts, "test")
    if test and "no test specified" not in test:
        run = f"CI=1 {manager} {'run ' if manager == 'bun' else ''}test"  # CI: no runner then waits for changes
        counted = _NODE_COUNTED.search(test) is not None
        words = (f"{manager} test", f"{manager} run test", "jest", "vitest", "mocha")
        yield Check("tests", "the tests pass", run, inputs, counted=counted, words=words)
    if _script(scripts, "lint"):
        run = f"{manager} run lint"
        yield Check("lint", "the linter has nothing to say", run, inputs, words=(run, f"{manager} lint", "eslint"))
    if name := next((name for name in _TYPE_SCRIPTS if _script(scripts, name)), ""):
        run = f"{manager} run {name}"
        yield Check("types", "the types fit", run, inputs, words=(run, f"{manager} {name}", "tsc"))


def _script(scripts: dict[str, Any], name: str) -> str:
    value = scripts.get(name)
    return value.strip() if isinstance(value, str) else ""


def runs_members(folder: ProjectFolder) -> bool:
    """Whether the root's own test script only runs the tests of the members."""
    return _SWEEPS.search(_script(table(folder.json("package.json"), "scripts"), "test")) is not None


def turbo_of(folder: ProjectFolder) -> str:
    """How the root calls turbo, which knows what a member's tests need built before; empty if it does not use it."""
    if not folder.has("turbo.json"):
        return ""
    manager = node_manager(folder, folder.json("package.json"))
    return {"npm": "npx turbo", "pnpm": "pnpm exec turbo", "yarn": "yarn turbo", "bun": "bunx turbo"}[manager]


def node_manager(folder: ProjectFolder, package: dict[str, Any]) -> str:
    """The package manager that the folder's package.json or lock file names: npm, pnpm, yarn or bun."""
    named = str(package.get("packageManager", "")).partition("@")[0]
    if named in _NODE_LOCKS.values():
        return named
    return next((_NODE_LOCKS[lock] for lock in folder.has(*_NODE_LOCKS)), "npm")


def _node_inputs(folder: ProjectFolder) -> list[str]:
    places = [f"{name}/**" for name in _NODE_FOLDERS if name in folder.folders]
    loose = [f"*{ending}" for ending in folder.with_ending(*_NODE_ENDINGS)]
    locks = folder.has("pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb")
    return [*places, *loose, "*.json", *locks] if places or loose else []


def _go(folder: ProjectFolder) -> Iterator[Check]:
    inputs = ["**/*.go", "**/testdata/**", *folder.has("go.mod", "go.sum", "go.work")]
    # without -count=1 go shows old results from its cache, which are no runs
    yield Check("tests", "the tests pass", "go test -count=1 ./...", inputs, words=("go test",))
    yield Check("vet", "go vet has nothing to say", "go vet ./...", inputs, words=("go vet", "golangci-lint"))


def _rust(folder: ProjectFolder) -> Iterator[Check]:
    workspace = "workspace" in folder.toml("Cargo.toml")
    inputs = [
        "**/*.rs",
        "**/Cargo.toml",
        *folder.has("Cargo.lock"),
        *(f"{n}/**" for n in folder.folders if n == "tests"),
    ]
    run = "cargo test --workspace" if workspace else "cargo test"
    yield Check("tests", "the tests pass", run, inputs, counted=True, words=("cargo test", "cargo nextest"))
