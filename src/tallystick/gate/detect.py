"""A first plan for a project, from what lies in its folder."""

from __future__ import annotations

import os
import re

from tallystick.gate import toml_text
from tallystick.gate.makefile import MAKEFILES, Makefile
from tallystick.gate.project_checks import Check, covers_below, ecosystems
from tallystick.gate.project_folder import ProjectFolder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT_LIMIT = 12
"""How many projects below the root get a criterion."""

_HEAD = """\
# What has to be shown before work here counts as done.
# `notch plan` shows what is in force, `notch run -c ID` runs one criterion, `notch gate` judges.
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

    __slots__ = ("chain", "check", "folder")

    def __init__(self, folder: ProjectFolder, chain: str, check: Check) -> None:
        self.folder = folder
        self.chain = chain
        self.check = check

    def patterns(self) -> list[str]:
        """Its inputs from the root of the work tree; empty for all of that."""
        whole = ["**"] if self.folder.prefix else []
        return [self.folder.pattern(pattern) for pattern in self.check.inputs or whole]


class _Criterion:
    """A criterion as it will be written."""

    __slots__ = ("counted", "id", "inputs", "run", "shows")

    def __init__(self, id: str, shows: str, run: str, inputs: list[str], *, counted: bool) -> None:
        self.id = id
        self.shows = shows
        self.run = run
        self.inputs = inputs
        self.counted = counted


def first_plan(folder: str | os.PathLike[str], repository_id: str) -> str:
    """The text of a `tallystick.toml` for the project at `folder`; `read_plan` reads it.

    `repository_id` becomes `[gate] id`: a new random name.

    Looks at names and at pyproject.toml, package.json, go.mod, Cargo.toml and Makefile, there and up to two levels
    below; runs nothing. What cannot be read is passed over.
    """
    root = ProjectFolder(os.fspath(folder))
    made, rest = _of_make(root, [*_at(root), *_below(root)])
    criteria = _named(made, rest)
    example = _EXAMPLE.format(id=repository_id)
    if not criteria:
        return _HEAD + _NOTHING_FOUND + example
    return _HEAD + "".join("\n" + _written(criterion) for criterion in criteria) + example


def _at(folder: ProjectFolder) -> list[_Found]:
    return [_Found(folder, chain, check) for chain, checks in ecosystems(folder).items() for check in checks]


def _below(root: ProjectFolder) -> list[_Found]:
    covered = covers_below(root)
    found = [one for folder in root.projects_below() for one in _at(folder)]
    return [one for one in found if one.check.kind == "tests" and one.chain not in covered][:PROJECT_LIMIT]


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


def _seems_done(root: ProjectFolder, makefile: Makefile, target: str) -> bool:
    """Whether make would take a file or folder of that name for the result, and do nothing."""
    return target not in makefile.phony and target in (*root.files, *root.folders)


def _runs(recipe: str, one: _Found, kind: str, found: list[_Found]) -> bool:
    """Whether the recipe runs the check already: it says so, or there is nothing else that it could run."""
    named = any(word in recipe for word in one.check.words)
    if one.folder.prefix:
        return named and one.folder.prefix in recipe
    alone = sum(other.check.kind == kind and not other.folder.prefix for other in found) == 1
    return named or (alone and one.check.kind == kind)


def _of_target(root: ProjectFolder, target: str, covered: list[_Found]) -> _Criterion:
    shows = {"test": "the tests pass", "lint": "the linter has nothing to say", "check": "the checks pass"}[target]
    whole = not covered or any(not one.patterns() for one in covered)
    patterns = dict.fromkeys(pattern for one in covered for pattern in one.patterns())
    inputs = [] if whole else [*patterns, *root.has(*MAKEFILES)]
    counted = any(one.check.counted for one in covered)
    return _Criterion("tests" if target == "test" else target, shows, f"make {target}", inputs, counted=counted)


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
    if criterion.inputs:
        lines += ["# Every file that this depends on; edits elsewhere leave a result standing."]
        lines += [toml_text.pair("inputs", criterion.inputs)]
    else:
        lines += ['# inputs = ["src/**"]   # the files that this depends on; left out: all']
    return "\n".join(lines) + "\n"
