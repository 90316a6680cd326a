"""What there is to check in each member of a monorepo."""

from __future__ import annotations

from tallystick.gate.project_checks import Check, ecosystems, node_manager, runs_members, turbo_of
from tallystick.gate.project_folder import table
from tallystick.gate.project_workspaces import members

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tallystick.gate.project_folder import ProjectFolder

MEMBER_LIMIT = 24
"""Of how many members each gets a criterion; if there are more, one criterion runs them all."""
_PER_MEMBER = ("tests", "types")


class MemberChecks:
    """The members of one tool chain, and what is checked in them."""

    __slots__ = ("checks", "folders", "replaced")

    def __init__(
        self, folders: list[ProjectFolder], checks: list[tuple[ProjectFolder, Check]], *, replaced: bool
    ) -> None:
        self.folders = folders
        self.checks = checks
        self.replaced = replaced
        """Whether these take the place of the tests that were found at the root."""


def member_checks(root: ProjectFolder, installed: Callable[[str], bool]) -> dict[str, MemberChecks]:
    """What to check in the members of each workspace that the root declares, by tool chain."""
    return {chain: _of_chain(root, chain, folders, installed) for chain, folders in members(root).items()}


def _of_chain(
    root: ProjectFolder, chain: str, folders: list[ProjectFolder], installed: Callable[[str], bool]
) -> MemberChecks:
    checks = [(folder, check) for folder in folders for check in _in_member(root, chain, folder, installed)]
    tested = sum(check.kind == "tests" for _, check in checks)
    if chain == "rust" and _has_undeclared(root, folders):
        return MemberChecks(folders, [], replaced=False)  # `cargo test --workspace` knows them all
    if tested > MEMBER_LIMIT:
        return MemberChecks(folders, [*_all_at_once(root, chain, folders)], replaced=True)
    if not tested:
        return MemberChecks(folders, checks, replaced=False)
    if chain == "rust" and "package" in root.toml("Cargo.toml"):
        own = Check("tests", "the tests pass", "cargo test", (), counted=True, words=("cargo test",))
        checks.insert(0, (root, own))
    return MemberChecks(folders, checks, replaced=_only_runs_members(root, chain))


def _in_member(
    root: ProjectFolder, chain: str, folder: ProjectFolder, installed: Callable[[str], bool]
) -> Iterator[Check]:
    turbo = turbo_of(root) if chain == "node" else ""
    for check in ecosystems(folder, installed, root).get(chain, []):
        if check.kind not in _PER_MEMBER:
            continue
        if turbo and check.kind == "tests":
            # --force: what turbo takes from its cache is no run
            yield Check("tests", check.shows, f"CI=1 {turbo} run test --force", (), words=("turbo",))
        else:
            yield check


def _only_runs_members(root: ProjectFolder, chain: str) -> bool:
    """Whether the root's check of the chain shows nothing besides what its members show."""
    if chain == "node":
        return runs_members(root)
    if chain == "python":
        own = [name for name in ("tests", "test", "src") if name in root.folders]
        asked = table(root.toml("pyproject.toml"), "tool", "pytest", "ini_options")
        return not own and "testpaths" not in asked and not root.with_ending(".py")
    return chain == "rust"


def _has_undeclared(root: ProjectFolder, folders: list[ProjectFolder]) -> bool:
    """Whether a crate depends on one by its path that the workspace does not declare: that is a member too."""
    import os

    known = {folder.prefix for folder in folders} | {""}
    for crate in (root, *folders):
        manifest = crate.toml("Cargo.toml")
        tables = [table(manifest, name) for name in ("dependencies", "dev-dependencies", "build-dependencies")]
        tables.append(table(manifest, "workspace", "dependencies"))
        for found in (value for one in tables for value in one.values()):
            path = found.get("path") if isinstance(found, dict) else None
            if not isinstance(path, str):
                continue
            place = os.path.normpath(os.path.join(crate.prefix, path))
            if not place.startswith("..") and place.removeprefix(".") not in known:
                return True
    return False


def _all_at_once(
    root: ProjectFolder, chain: str, folders: list[ProjectFolder]
) -> Iterator[tuple[ProjectFolder, Check]]:
    """One check at the root for all members, if there are too many for a criterion each."""
    shows = "the tests pass"
    at_root = ecosystems(root, lambda _: True).get(chain, [])
    own = next((check for check in at_root if check.kind == "tests"), None)
    if chain == "rust":
        yield root, Check("tests", shows, "cargo test --workspace", (), counted=True, words=("cargo test",))
    elif chain == "go":
        import shlex

        places = " ".join(shlex.quote(f"./{folder.prefix}/...") for folder in folders)
        yield root, Check("tests", shows, f"go test -count=1 {places}", (), words=("go test",))
        if own is not None:
            yield root, own
    elif chain == "python":
        run = own.run if own is not None else "pytest -q"
        yield root, Check("tests", shows, run, (), counted=True, words=("pytest",))
    elif own is not None and runs_members(root):
        yield root, own
    else:
        if own is not None:
            yield root, own
        run = _NODE_ALL[node_manager(root, root.json("package.json"))]
        yield root, Check("tests", shows, run, (), words=("--workspaces", "--recursive"))


_NODE_ALL = {
    "npm": "CI=1 npm test --workspaces --if-present",
    "pnpm": "CI=1 pnpm --recursive test",
    "yarn": "CI=1 yarn workspaces foreach --all run test",
    "bun": "CI=1 bun run --filter '*' test",
}
