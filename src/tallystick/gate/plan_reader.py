"""From the bytes of a `tallystick.toml` to a `Plan`, with a line and a key for whatever is wrong."""

from __future__ import annotations

import re

from tallystick.errors import PlanError
from tallystick.gate import plan_checks
from tallystick.gate.expectation import (
    EXIT_ZERO,
    OPERATORS,
    PATTERN_LIMIT,
    Comparison,
    Expectation,
    parse_comparison,
)
from tallystick.gate.grades import Grade
from tallystick.gate.plan import (
    FLAKY_PASSES,
    WHOLE_TREE,
    Criterion,
    Environment,
    GatePolicy,
    Plan,
    Task,
)
from tallystick.gate.table_reader import TableReader, did_you_mean, kind, shown
from tallystick.gate.trusted import ROLES, Quorum, TrustedKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from tallystick.gate.table_reader import Path, Table

SIZE_LIMIT = 256 * 1024
"""The largest plan, in bytes."""

LINE_LIMIT = 4096
"""The longest line, in characters: tomllib takes a minute for a key of a hundred thousand parts."""

COUNT_LIMIT = 2**53 - 1
FLAKY_LIMIT = 1_000

_TOML_PLACE = r" \(at (?:line (\d+), column (\d+)|end of document)\)$"


def parse(data: bytes, where: str) -> Plan:
    """The plan in the bytes; see `plan.read_plan`."""
    source = _decoded(data, where)
    return _Reader(source, where).plan(_loaded(source, where))


def _decoded(data: bytes, where: str) -> str:
    if len(data) > SIZE_LIMIT:
        raise PlanError(f"a plan has at most {SIZE_LIMIT} bytes, this one {len(data)}", where=where)
    try:
        source = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PlanError("not UTF-8", where=f"{where}:{line}", advice="save the file as UTF-8") from None
    for line, text in enumerate(source.split("\n"), 1):
        if len(text) > LINE_LIMIT:
            what = f"a line has at most {LINE_LIMIT} characters, this one {len(text)}"
            raise PlanError(what, where=f"{where}:{line}", advice="break it up")
    return source


def _loaded(source: str, where: str) -> Table:
    import tomllib

    try:
        return tomllib.loads(source)
    except (ValueError, OverflowError) as error:  # TOMLDecodeError; a number or date beyond what Python holds
        what = str(error)
        place = re.search(_TOML_PLACE, what)
        if place is None:
            raise PlanError(f"not valid TOML: {what}", where=where) from None
        line = int(place[1]) if place[1] else source.rstrip("\n").count("\n") + 1
        what = what[: place.start()]
        raise PlanError(f"not valid TOML: {what[:1].lower()}{what[1:]}", where=f"{where}:{line}") from None
    except RecursionError:
        raise PlanError("values are nested too deeply", where=where) from None


class _Reader(TableReader):
    def plan(self, top: Table) -> Plan:
        self.known((), top, ("criteria", "tasks", "gate", "keys"))
        standing = self.criteria(("criteria",), top.get("criteria", {}))
        tasks = {}
        for id, table in self.entries(("tasks",), top.get("tasks", {})):
            tasks[id] = self.task(id, table, standing)
        gate = self.gate(top.get("gate", {}))
        return Plan(standing, tasks, gate, self.keys(top.get("keys", {})))

    def criteria(self, path: Path, table: Any) -> dict[str, Criterion]:
        return {id: self.criterion((*path, id), id, fields) for id, fields in self.entries(path, table)}

    def entries(self, path: Path, table: Any) -> Iterable[tuple[str, Any]]:
        """The items of a table whose keys are ids."""
        for id, fields in self.table(path, table).items():
            self.check((*path, id), plan_checks.id_problem(id))
            yield id, fields

    def criterion(self, path: Path, id: str, fields: Any) -> Criterion:
        fields = self.table(path, fields)
        self.known(path, fields, (
            "shows", "run", "manual", "expect", "inputs", "environment", "grade", "phase", "setup",
        ))  # fmt: skip
        manual = self.manual(path, fields)
        return Criterion(
            id,
            shows=self.text((*path, "shows"), fields.get("shows", "")),
            run="" if manual else self.run((*path, "run"), fields["run"]),
            manual=manual,
            expect=self.expect((*path, "expect"), fields.get("expect", {})),
            inputs=self.inputs((*path, "inputs"), fields),
            environment=self.environment((*path, "environment"), fields.get("environment", {})),
            grade=self.grade((*path, "grade"), fields.get("grade"), manual=manual),
            phase=self.phase((*path, "phase"), fields),
            setup=self.run((*path, "setup"), fields["setup"]) if "setup" in fields else "",
        )

    def manual(self, path: Path, fields: Table) -> bool:
        if "manual" not in fields:
            if "run" not in fields:
                self.fail(path, "says neither what to run nor that it is manual", 'add run = "…" or manual = true')
            return False
        if fields["manual"] is not True:
            self.fail((*path, "manual"), "can only be true", "leave it out of a criterion that is run")
        if "run" in fields:
            self.fail((*path, "manual"), "a criterion is run or manual, not both", "keep one of the two")
        for name in ("expect", "environment", "setup"):
            if name in fields:
                self.fail((*path, name), "only a criterion that is run has this", "leave it out")
        return True

    def run(self, path: Path, value: Any) -> str | tuple[str, ...]:
        if isinstance(value, str):
            self.check(path, plan_checks.command_problem(value))
            return value
        if not isinstance(value, list):
            example = 'run = "pytest -q"' if path[-1] == "run" else 'setup = "npm ci"'
            self.fail(path, f"must be a string or a list of strings, not {kind(value)}", f"write {example}")
        words = self.texts(path, value)
        if not words:
            self.fail(path, "the command is empty", 'write what to run, such as ["pytest", "-q"]')
        self.check((*path, 0), plan_checks.command_problem(words[0]))
        for place, word in enumerate(words):
            if "\0" in word:
                self.fail((*path, place), "a command has no NUL", "leave it out")
        return words

    def expect(self, path: Path, value: Any) -> Expectation:
        fields = self.table(path, value)
        self.known(path, fields, ("exit", "tests", "skipped", "output"))
        exit = self.exit((*path, "exit"), fields["exit"]) if "exit" in fields else EXIT_ZERO
        tests, skipped = (
            self.comparison((*path, name), fields[name], example) if name in fields else None
            for name, example in (("tests", ">= 40"), ("skipped", "<= 2"))
        )
        output = self.expression((*path, "output"), fields["output"]) if "output" in fields else ""
        return Expectation(exit, tests, skipped, output)

    def exit(self, path: Path, value: Any) -> Comparison:
        if isinstance(value, int) and not isinstance(value, bool):
            if not 0 <= value <= 255:
                self.fail(path, f"an exit code is 0 to 255, not {shown(value)}", "write 0")
            return Comparison("==", value)
        condition = self.comparison(path, value, "!= 0", plain="0")
        if not any(condition.allows(code) for code in range(256)):
            self.fail(path, f"no exit code (0 to 255) is {condition}", 'write 0 or "!= 0"')
        return condition

    def comparison(self, path: Path, value: Any, example: str, plain: str = "") -> Comparison:
        condition = parse_comparison(value) if isinstance(value, str) else None
        if condition is None:
            what = f"must be {'a whole number or ' if plain else ''}a comparison, not {shown(value)}"
            self.fail(path, what, _comparison_advice(value, example, plain))
        if condition.number > COUNT_LIMIT:
            self.fail(path, "the number is too large", f'write "{example}"')
        if not condition.satisfiable():
            self.fail(path, f"no number is {condition}", f'write "{example}"')
        return condition

    def expression(self, path: Path, value: Any) -> str:
        import warnings

        text = self.text(path, value, filled=True)
        if len(text) > PATTERN_LIMIT:
            self.fail(path, f"an expression has at most {PATTERN_LIMIT} characters", "shorten it")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # an expression that Python will one day read otherwise is wrong now
                re.compile(text)
        except (re.error, ValueError, OverflowError, RecursionError, Warning) as error:
            self.fail(path, f"not a regular expression: {error}", "write one as Python's re module reads it")
        return text

    def inputs(self, path: Path, fields: Table) -> tuple[str, ...]:
        if "inputs" not in fields:
            return WHOLE_TREE
        patterns = self.patterns(path, fields["inputs"])
        if not patterns:
            self.fail(path, "a result with no inputs would never be stale", "leave it out for the whole tree")
        return patterns

    def patterns(self, path: Path, value: Any) -> tuple[str, ...]:
        return self.texts(path, value, plan_checks.pattern_problem)

    def environment(self, path: Path, value: Any) -> Environment:
        fields = self.table(path, value)
        self.known(path, fields, ("variables", "versions", "platform"))
        platform = fields.get("platform", False)
        if not isinstance(platform, bool):
            self.fail((*path, "platform"), f"must be true or false, not {shown(platform)}", "write true")
        return Environment(
            self.texts((*path, "variables"), fields.get("variables", []), plan_checks.variable_problem),
            self.texts((*path, "versions"), fields.get("versions", []), plan_checks.command_problem),
            platform,
        )

    def grade(self, path: Path, value: Any, *, manual: bool) -> Grade | None:
        if value is None:
            return None
        words = ("claimed", "attested") if manual else tuple(str(grade) for grade in Grade)
        if manual and value in ("observed", "reproduced"):
            what = f"nobody can have {value} a manual criterion" if value == "reproduced" else "no run is observed"
            self.fail(path, what, 'write "claimed", or "attested" for a signed one')
        return Grade.named(self.one_of(path, value, words))

    def phase(self, path: Path, fields: Table) -> str:
        if "phase" not in fields:
            return ""
        phase = self.text(path, fields["phase"])
        self.check(path, plan_checks.id_problem(phase))
        return phase

    def task(self, id: str, value: Any, standing: dict[str, Criterion]) -> Task:
        path = ("tasks", id)
        fields = self.table(path, value)
        self.known(path, fields, ("title", "phases", "criteria"))
        phases = self.texts((*path, "phases"), fields.get("phases", []), plan_checks.id_problem)
        self.distinct((*path, "phases"), phases)
        criteria = self.criteria((*path, "criteria"), fields.get("criteria", {}))
        for name, criterion in criteria.items():
            at = (*path, "criteria", name)
            if name in standing:
                self.fail(at, f"{name} is the id of a standing criterion already", "give it another id")
            if phases and criterion.phase and criterion.phase not in phases:
                advice = did_you_mean(criterion.phase, phases) or "add it to the task's phases"
                self.fail((*at, "phase"), f"the task has no phase {shown(criterion.phase)}", advice)
        return Task(id, title=self.text((*path, "title"), fields.get("title", "")), phases=phases, criteria=criteria)

    def gate(self, value: Any) -> GatePolicy:
        path = ("gate",)
        fields = self.table(path, value)
        self.known(path, fields, ("id", "base", "protect", "flaky_passes", "setup"))
        base: tuple[str, ...] = ()
        if "base" in fields:
            base = self.branches((*path, "base"), fields["base"])
        passes = fields.get("flaky_passes", FLAKY_PASSES)
        if isinstance(passes, bool) or not isinstance(passes, int) or not 1 <= passes <= FLAKY_LIMIT:
            what = f"must be a whole number from 1 to {FLAKY_LIMIT}, not {shown(passes)}"
            self.fail((*path, "flaky_passes"), what, f"write {FLAKY_PASSES}")
        name = self.text((*path, "id"), fields.get("id", ""))
        if "id" in fields:
            self.check((*path, "id"), plan_checks.id_problem(name))
        setup = self.run((*path, "setup"), fields["setup"]) if "setup" in fields else ""
        return GatePolicy(base, self.patterns((*path, "protect"), fields.get("protect", [])), passes, name, setup)

    def branches(self, path: Path, value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            self.check(path, plan_checks.branch_problem(self.text(path, value)))
            return (value,)
        return self.texts(path, value, plan_checks.branch_problem)

    def keys(self, value: Any) -> dict[str, TrustedKey | Quorum]:
        found: dict[str, TrustedKey | Quorum] = {}
        for name, fields in self.entries(("keys",), value):
            if "members" in self.table(("keys", name), fields):
                found[name] = self.quorum(name, fields, found)
            else:
                found[name] = self.key(name, fields, found)
        return found

    def key(self, name: str, fields: Table, before: Mapping[str, TrustedKey | Quorum]) -> TrustedKey:
        path = ("keys", name)
        self.known(path, fields, ("public", "roles", "until"))
        for needed, example in (("public", 'public = "…"'), ("roles", 'roles = ["attest"]')):
            if needed not in fields:
                self.fail(path, f"has no {needed}", f"add {example}")
        public = self.text((*path, "public"), fields["public"])
        self.check((*path, "public"), plan_checks.vkey_problem(public))
        same = plan_checks.public_half(public)
        twins = (one for one in before.values() if isinstance(one, TrustedKey))
        if twin := next((one for one in twins if plan_checks.public_half(one.public) == same), None):
            self.fail((*path, "public"), f"the same key as that of keys.{twin.name}", "name each key once")
        roles = self.roles((*path, "roles"), fields["roles"])
        until = fields.get("until")
        if until is not None and (type(until) is not int or not 0 <= until <= COUNT_LIMIT):
            self.fail((*path, "until"), f"must be the number of a checkpoint, not {shown(until)}", "write until = 12")
        return TrustedKey(name, public, roles, until)

    def quorum(self, name: str, fields: Table, before: Mapping[str, TrustedKey | Quorum]) -> Quorum:
        path = ("keys", name)
        self.known(path, fields, ("members", "threshold", "roles"))
        for needed, example in (("threshold", "threshold = 2"), ("roles", 'roles = ["approve"]')):
            if needed not in fields:
                self.fail(path, f"has no {needed}", f"add {example}")
        members = self.texts((*path, "members"), fields["members"], plan_checks.id_problem)
        self.distinct((*path, "members"), members)
        if not members:
            self.fail((*path, "members"), "a quorum of nobody", "name keys that stand above it")
        taken = {one: q.name for q in before.values() if isinstance(q, Quorum) for one in q.members}
        for place, member in enumerate(members):
            if member not in before:
                advice = did_you_mean(member, tuple(before)) or "write its table above this one"
                self.fail((*path, "members", place), f"no key or quorum above is named {shown(member)}", advice)
            if member in taken:
                self.fail((*path, "members", place), f"already a member of keys.{taken[member]}", "name it in one")
        threshold = self.threshold((*path, "threshold"), fields["threshold"], len(members))
        return Quorum(name, members, threshold, self.roles((*path, "roles"), fields["roles"]))

    def threshold(self, path: Path, value: Any, members: int) -> int:
        value = {"all": members, "any": 1}.get(value, value) if isinstance(value, str) else value
        if type(value) is not int or value < 1:
            self.fail(path, f"must be a whole number from 1, any or all, not {shown(value)}", "write threshold = 2")
        if value > members:
            self.fail(path, f"{shown(value)} of {members} members can never sign", f"write at most {members}")
        return int(value)

    def roles(self, path: Path, value: Any) -> tuple[str, ...]:
        roles = self.texts(path, value)
        for place, role in enumerate(roles):
            self.one_of((*path, place), role, ROLES)
        if not roles:
            self.fail(path, "a key without a role is trusted for nothing", 'write ["attest"]')
        self.distinct(path, roles)
        return roles


def _comparison_advice(value: Any, example: str, plain: str) -> str:
    if isinstance(value, str) and value.strip().isdecimal() and value.isascii():
        value = int(value[:17])
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= COUNT_LIMIT:
        operator = next(sign for sign in OPERATORS if example.startswith(sign))
        return f"write {value}" if plain else f'write "{operator} {value}"'
    return f'write {plain} or "{example}"' if plain else f'write "{example}"'
