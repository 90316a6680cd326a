"""A first plan for a project, from what lies in its folder."""

from __future__ import annotations

import os
import re

from tallystick.gate import toml_text
from tallystick.gate.makefile import MAKEFILES, Makefile
from tallystick.gate.project_checks import Check, ecosystems
from tallystick.gate.project_folder import ProjectFolder, table
from tallystick.gate.project_members import member_checks
from tallystick.model.frozen import Frozen, set_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT_LIMIT = 12
"""How many projects below the root get a criterion."""

_HEAD = """\
# What has to be shown before work here counts as done.
# `notch plan` shows what is in force, `notch run -c ID` runs one criterion, `notch gate` judges.
"""

_WIDE = """\
# Every file of the tree counts for every result. To let edits elsewhere leave a result standing, name the files that
# its command reads: take the # from the line `inputs` and check that nothing is missing there.
"""

_EXAMPLE = """
# What one task must show besides:
# [tasks.add-cache.criteria.ac1]
# run = "…"

[gate]
# What signed statements know this repository by. Keep it.
id = "{id}"
# Files whose change shuts the gate until it is on the base:
# protect = [".github/**"]
"""

_NOTHING_FOUND = """
# No tests were found here, so a person has to say that the work is done:
#   notch record --type criterion -c reviewed --status pass --reason "read it"
[criteria.reviewed]
shows = "somebody has read the change"
manual = true

# Once there is something to run, it looks like this:
# [criteria.tests]
# shows = "the tests pass"
# run = "make test"
# inputs = ["src/**", "tests/**"]
"""


class _Found:
    """A check and the project it was found in."""

    __slots__ = ("chain", "check", "folder", "member")

    def __init__(self, folder: ProjectFolder, chain: str, check: Check, *, member: bool = False) -> None:
        self.folder = folder
        self.chain = chain
        self.check = check
        self.member = member
        """Whether the folder is a member of the root's workspace."""

    def patterns(self) -> list[str]:
        """What its inputs may be narrowed to, from the root of the work tree; empty for all of that."""
        if self.member and self.folder.prefix:
            return [self.folder.pattern("**"), "*"]  # the settings of all members lie at the root
        whole = ["**"] if self.folder.prefix else []
        return [self.folder.pattern(pattern) for pattern in self.check.inputs or whole]


class _Criterion:
    """A criterion as it will be written."""

    __slots__ = ("counted", "id", "missing", "narrower", "run", "shows")

    def __init__(self, id: str, shows: str, run: str, narrower: list[str], *, counted: bool, missing: str = "") -> None:
        self.id = id
        self.shows = shows
        self.run = run
        self.narrower = narrower
        """What its inputs may be narrowed to."""
        self.counted = counted
        self.missing = missing
        """The program that it needs and that is not here; empty if it is."""


class FirstPlan(Frozen):
    """A plan for a project that had none."""

    __slots__ = FIELDS = ("text", "notes")

    text: str
    """What to write into `tallystick.toml`; `read_plan` reads it."""
    notes: tuple[str, ...]
    """What the user should know before the plan is used: a line each."""

    def __init__(self, text: str, notes: tuple[str, ...] = ()) -> None:
        set_once(self, "text", text)
        set_once(self, "notes", notes)


def first_plan(
    folder: str | os.PathLike[str], repository_id: str, installed: Callable[[str], bool] | None = None
) -> FirstPlan:
    """A plan for the project at `folder`.

    `repository_id` becomes `[gate] id`: a new random name. `installed` says whether a program of that name is there;
    by default whether PATH leads to one.

    Every criterion has the whole tree as its inputs, since a command reads what nobody can see from outside; the plan
    says in a comment how each may be narrowed. Looks at names and at the files in which projects say what they are,
    there, in the members of a workspace and up to two levels below; runs nothing. Skips what it cannot read.
    """
    installed = installed or _in_path
    root = ProjectFolder(os.fspath(folder))
    found, left_out = _all(root, installed)
    made, rest = _of_make(root, found)
    criteria = [*_named(made, rest)]
    for criterion, tool in zip(criteria, [*["make"] * len(made), *(one.check.tool for one in rest)], strict=True):
        criterion.missing = "" if installed(tool) else tool
    example = _EXAMPLE.format(id=repository_id)
    if not criteria:
        return FirstPlan(_HEAD + _NOTHING_FOUND + example)
    text = _HEAD + _WIDE + "".join("\n" + _written(criterion) for criterion in criteria) + example
    return FirstPlan(text, (*_missing(criteria), *_dependencies(root, rest), *left_out))


def _in_path(program: str) -> bool:
    from shutil import which

    return which(program) is not None


def _missing(criteria: list[_Criterion]) -> Iterator[str]:
    """A line for each program that criteria need and that is not here."""
    for tool in dict.fromkeys(one.missing for one in criteria if one.missing):
        needing = [one for one in criteria if one.missing == tool]
        kept = ", ".join(one.id for one in needing if _is_asked(one))
        out = ", ".join(one.id for one in needing if not _is_asked(one))
        if kept:
            yield f"{tool} is not installed here, and {kept} cannot be run without it"
        if out:
            yield f"{tool} is not installed here, so {out} stands in the plan as a comment"


def _is_asked(criterion: _Criterion) -> bool:
    """Whether the plan asks for it: tests always, other checks only if the program for them is here."""
    return not criterion.missing or criterion.counted or "tests" in criterion.id


def _dependencies(root: ProjectFolder, found: list[_Found]) -> Iterator[str]:
    package = root.json("package.json")
    asks = table(package, "devDependencies") or table(package, "dependencies")
    if asks and any(one.chain == "node" for one in found) and "node_modules" not in root.folders:
        yield "node_modules is not here: install the packages before the first check"


def _at(folder: ProjectFolder, installed: Callable[[str], bool]) -> list[_Found]:
    found = ecosystems(folder, installed)
    return [_Found(folder, chain, check) for chain, checks in found.items() for check in checks]


def _all(root: ProjectFolder, installed: Callable[[str], bool]) -> tuple[list[_Found], list[str]]:
    """All that was found, and a line about what was left out."""
    of_members = member_checks(root, installed)
    replacing = {chain for chain, members in of_members.items() if members.replaced}
    found = [one for one in _at(root, installed) if one.chain not in replacing or one.check.kind != "tests"]
    known = set()
    for chain, members in of_members.items():
        known |= {(folder.prefix, chain) for folder in members.folders}
        found += [_Found(folder, chain, check, member=True) for folder, check in members.checks]
    others = [one for folder in root.projects_below() for one in _at(folder, installed)]
    others = [one for one in others if one.check.kind == "tests" and (one.folder.prefix, one.chain) not in known]
    dropped = [one.folder.prefix for one in others[PROJECT_LIMIT:]]
    told = [f"the plan leaves out {', '.join(dropped)}: write criteria for them"] if dropped else []
    return [*found, *others[:PROJECT_LIMIT]], told


def _of_make(root: ProjectFolder, found: list[_Found]) -> tuple[list[_Criterion], list[_Found]]:
    """The criteria of the Makefile's targets, and the checks that none of them runs already."""
    makefile = Makefile(next((root.text(name) for name in root.has(*MAKEFILES)), ""))
    made = []
    for target, kind in (("test", "tests"), ("lint", "lint"), ("check", "tests")):
        reached = makefile.reached(target)
        if (
            not reached
            or _seems_done(root, makefile, target)
            or (target == "check" and {"test", "lint"} & set(reached))
        ):
            continue
        recipe = "\n".join(reached.values())
        covered = [one for one in found if _runs(recipe, one, kind, found)]
        found = [one for one in found if one not in covered]
        made.append(_of_target(root, target, covered))
    return made, found


_ALL_MEMBERS = re.compile(r"--workspaces?\b|--recursive\b|\s-r\b|\bturbo\b")
"""What a recipe says that runs the checks of all members of a workspace."""


def _seems_done(root: ProjectFolder, makefile: Makefile, target: str) -> bool:
    """Whether make would take a file or folder of that name for the result, and do nothing."""
    return target not in makefile.phony and target in (*root.files, *root.folders)


def _runs(recipe: str, one: _Found, kind: str, found: list[_Found]) -> bool:
    """Whether the recipe runs the check already: it says so, or there is nothing else that it could run."""
    named = any(word in recipe for word in one.check.words)
    if one.folder.prefix:
        return named and (one.folder.prefix in recipe or (one.member and _ALL_MEMBERS.search(recipe) is not None))
    alone = sum(other.check.kind == kind and not other.folder.prefix for other in found) == 1
    return named or (alone and one.check.kind == kind)


def _of_target(root: ProjectFolder, target: str, covered: list[_Found]) -> _Criterion:
    shows = {"test": "the tests pass", "lint": "the linter has nothing to say", "check": "the checks pass"}[target]
    whole = not covered or any(not one.patterns() for one in covered)
    patterns = dict.fromkeys(pattern for one in covered for pattern in one.patterns())
    narrower = [] if whole else [*patterns, *root.has(*MAKEFILES)]
    counted = any(one.check.counted for one in covered)
    return _Criterion("tests" if target == "test" else target, shows, f"make {target}", narrower, counted=counted)


def _named(made: list[_Criterion], rest: list[_Found]) -> list[_Criterion]:
    criteria = list(made)
    for one in rest:
        taken = {criterion.id for criterion in criteria}
        id = next(name for name in _names(one, rest) if name not in taken)
        where = f" in {one.folder.prefix}" if one.folder.prefix else ""
        run = one.folder.command(one.check.run)
        criteria.append(_Criterion(id, one.check.shows + where, run, one.patterns(), counted=one.check.counted))
    return criteria


def _names(one: _Found, rest: list[_Found]) -> Iterator[str]:
    """Ids for the criterion, the shortest that tells it from others first."""
    kind, chain = one.check.kind, one.chain
    if one.folder.prefix:
        leaf, path = _slug(one.folder.prefix.rpartition("/")[2]), _slug(one.folder.prefix)
        yield from (f"{leaf}-{kind}", f"{leaf}-{chain}-{kind}", f"{path}-{kind}", f"{path}-{chain}-{kind}")
    else:
        same = sum(other.check.kind == kind and not other.folder.prefix for other in rest)
        yield from [kind] * (same == 1)
        yield f"{chain}-{kind}"
    yield from (f"{chain}-{kind}-{number}" for number in range(2, len(rest) + 3))


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)[:100].strip("-.") or "project"


def _written(criterion: _Criterion) -> str:
    lines = [
        f"[criteria.{toml_text.key(criterion.id)}]",
        toml_text.pair("shows", criterion.shows),
        toml_text.pair("run", criterion.run),
    ]
    if criterion.counted:
        lines += ["# Raise it to the number of tests there are: fewer then fail.", 'expect = { tests = ">= 1" }']
    if criterion.narrower:
        lines += ["# " + line for line in toml_text.pair("inputs", criterion.narrower).splitlines()]
    if not _is_asked(criterion):
        asked = f"# {criterion.missing} is not installed here; once it is, take the # away:"
        lines = [asked, *(line if line.startswith("#") else f"# {line}" for line in lines)]
    elif criterion.missing:
        lines = [f"# {criterion.missing} is not installed here, and this cannot be run without it.", *lines]
    return "\n".join(lines) + "\n"
