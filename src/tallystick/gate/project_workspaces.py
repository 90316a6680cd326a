"""The members of a monorepo, as its root declares them: npm, pnpm, yarn and bun, Cargo, Go, uv."""

from __future__ import annotations

import re

from tallystick.gate.project_folder import ProjectFolder, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MARKS = {"node": "package.json", "rust": "Cargo.toml", "go": "go.mod", "python": "pyproject.toml"}
"""The file that makes a folder a member, by tool chain."""
_DEEPEST = 6


def members(root: ProjectFolder) -> dict[str, list[ProjectFolder]]:
    """The folders that the root declares as members, by tool chain; the root itself left out.

    A tool chain whose root declares none is not in it.
    """
    declared = {"node": _node(root), "rust": _rust(root), "go": _go(root), "python": _uv(root)}
    return {chain: list(_expanded(root, patterns, MARKS[chain])) for chain, patterns in declared.items() if patterns}


def _node(root: ProjectFolder) -> list[str]:
    if root.has("pnpm-workspace.yaml"):
        return _yaml_list(root.text("pnpm-workspace.yaml"), "packages")
    named = root.json("package.json").get("workspaces")
    return _texts(named.get("packages") if isinstance(named, dict) else named)


def _yaml_list(text: str, key: str) -> list[str]:
    """The plain list below a key of a YAML file, in block or flow style."""
    found = re.search(rf"^{key}:[ \t]*(\[[^\]]*\]|(?:#.*)?(?:\n(?:[ \t]*-.*|[ \t]*#.*|[ \t]*))+)", text, re.MULTILINE)
    if found is None:
        return []
    lines = found[1].strip("[]").split(",") if found[1].startswith("[") else found[1].split("\n")
    bare = (re.sub(r"\s+#.*", "", line).strip().removeprefix("-").strip() for line in lines)
    return [item.strip("'\"") for item in bare if item and not item.startswith("#")]


def _rust(root: ProjectFolder) -> list[str]:
    workspace = table(root.toml("Cargo.toml"), "workspace")
    return _with_excluded(workspace)


def _uv(root: ProjectFolder) -> list[str]:
    return _with_excluded(table(root.toml("pyproject.toml"), "tool", "uv", "workspace"))


def _with_excluded(workspace: dict[str, object]) -> list[str]:
    excluded = [f"!{one}" for one in _texts(workspace.get("exclude"))]
    wanted = _texts(workspace.get("members"))
    return [*wanted, *excluded] if wanted else []


def _go(root: ProjectFolder) -> list[str]:
    text = re.sub(r"//.*", "", root.text("go.work"))
    blocks = re.findall(r"^use[ \t]*\(([^)]*)\)", text, re.MULTILINE)
    single = re.findall(r"^use[ \t]+([^(\s]+)", text, re.MULTILINE)
    return [one.strip('"`') for one in [*(word for block in blocks for word in block.split()), *single]]


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _expanded(root: ProjectFolder, patterns: Iterable[str], mark: str) -> Iterator[ProjectFolder]:
    """The folders below that hold `mark` and match; the last pattern that matches decides, `!` excludes."""
    rules = [(one.startswith("!"), _expression(one.removeprefix("!"))) for one in patterns]
    for folder in _folders(root, _DEEPEST):
        wanted = False
        for excludes, expression in rules:
            if expression.fullmatch(folder.prefix):
                wanted = not excludes
        if wanted and folder.has(mark):
            yield folder


def _expression(pattern: str) -> re.Pattern[str]:
    """A workspace's glob: `*` within one name, `**` across folders, `{a,b}` one of several."""
    plain = pattern.removeprefix("./").rstrip("/")
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")", ",": "|"}
    made = "".join(wild.get(part) or re.escape(part) for part in re.split(r"(\*\*/|\*\*|[*?{},])", plain))
    try:
        return re.compile(made)
    except re.error:
        return re.compile(re.escape(plain))


def _folders(folder: ProjectFolder, depth: int) -> Iterator[ProjectFolder]:
    for inner in folder.inner_folders():
        yield inner
        if depth > 1:
            yield from _folders(inner, depth - 1)
