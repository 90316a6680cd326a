"""The acceptance criteria of a scafld spec (Markdown, as of scafld 2.5) as criteria of a plan."""

from __future__ import annotations

import re

from tallystick.errors import PlanError
from tallystick.gate import plan_checks, toml_text
from tallystick.gate.table_reader import cut, did_you_mean
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

KINDS = ("exit_code_zero", "exit_code_nonzero", "no_matches", "manual", "browser_evidence")
"""What scafld can expect of a criterion."""

BROWSER_EVIDENCE = (
    r'(?s)\A(?=.*"url")(?=.*"viewport")(?=.*"console_errors"\s*:\s*(\[\s*\]|null))'
    r'(?=.*"network_errors"\s*:\s*(\[\s*\]|null))'
)
"""What of a browser's evidence an expression can ask for: where it was, and that nothing went wrong."""

_PHASE = re.compile(r"## Phase ([0-9]{1,9}):[ \t]*(.*)")
_ITEM = re.compile(r"- \[[ xX]\] `([^`]+)`[ \t]+(.*)")
_TYPED = re.compile(r"(\S+)[ \t]+[-\u2013\u2014](?:[ \t]+(.*))")
_DETAIL = re.compile(r"[ \t]*(?:-[ \t]+)?([A-Za-z][A-Za-z _-]*?)[ \t]*:(.*)")
_PHASE_LABELS = ("goal", "objective", "status", "dependencies", "changes", "acceptance")


class _Criterion:
    __slots__ = ("command", "id", "kind", "line", "phase", "title", "type")

    def __init__(self, id: str, text: str, phase: str, line: int) -> None:
        typed = _TYPED.fullmatch(text)
        self.id = id
        self.type = typed[1] if typed else ""
        self.title = (typed[2] if typed else text).strip()
        self.phase = phase
        self.line = line
        self.command = ""
        self.kind = ""


class _Spec:
    """What a spec says, read line by line."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.task_id = ""
        self.title = ""
        self.phases: dict[str, str] = {}
        self.criteria: dict[str, _Criterion] = {}
        self.phase = ""
        self.listed = False
        self.criterion: _Criterion | None = None

    def fail(self, line: int, what: str, advice: str = "") -> NoReturn:
        raise PlanError(cut(printable(what), 200), where=f"{self.where}:{line}", advice=cut(printable(advice), 200))

    def heading(self, text: str, line: int) -> None:
        """A `## ` section: criteria are listed in `## Acceptance`, and in phases below the label `Acceptance:`."""
        self.criterion = None
        self.phase = ""
        self.listed = text.removeprefix("## ").strip().lower() == "acceptance"
        phase = _PHASE.fullmatch(text)
        if phase:
            self.phase = f"phase{int(phase[1])}"
            if self.phase in self.phases:
                self.fail(line, f"{self.phase} stands there twice", "number each phase once")
            self.phases[self.phase] = phase[2].strip()

    def body(self, text: str, line: int) -> None:
        label = text.partition(":")[0].strip().lower() if text[:1].isalpha() else ""
        if self.phase and label in _PHASE_LABELS:
            self.listed = label == "acceptance"
            self.criterion = None
        elif self.listed and (item := _ITEM.fullmatch(text)):
            self.add(_Criterion(item[1], item[2], self.phase, line))
        elif self.criterion and (detail := _DETAIL.fullmatch(text)):
            self.detail(self.criterion, detail[1], _value(detail[2]), line)

    def add(self, criterion: _Criterion) -> None:
        problem = plan_checks.id_problem(criterion.id)
        if problem:
            self.fail(criterion.line, *problem)
        if criterion.id in self.criteria:
            first = self.criteria[criterion.id].line
            self.fail(criterion.line, f"{criterion.id} stands there twice, first on line {first}", "rename one")
        self.criteria[criterion.id] = self.criterion = criterion

    def detail(self, criterion: _Criterion, name: str, value: str, line: int) -> None:
        name = " ".join(re.split(r"[ _-]+", name.lower()))
        if value == "none":
            return
        if name == "command":
            if "\0" in value:
                self.fail(line, "a command has no NUL", "leave it out")
            criterion.command = value
        elif name == "expected kind" and value:
            if value not in KINDS:
                advice = did_you_mean(value, KINDS) or f"known: {', '.join(KINDS)}"
                self.fail(line, f"unknown expected kind {value}", advice)
            criterion.kind = value


def criteria_from_spec(markdown: bytes, *, where: str = "SPEC.md") -> str:
    """TOML with a `[tasks.<id>]` table and a table for each acceptance criterion, to be put into a plan.

    A criterion without a command is manual where the spec expects nothing that a command would have to show.
    `PlanError` names `where` and the line of what cannot be taken over: no front matter with a `task_id`, an id twice,
    an unknown expected kind, a command that is missing.
    """
    spec = _read(markdown, where)
    fields: dict[str, Any] = {"title": spec.title, "phases": list(spec.phases)}
    count = len(spec.criteria)
    head = toml_text.comment(f"From a scafld spec: {count} acceptance criteri{'on' if count == 1 else 'a'}.")
    head += "".join(toml_text.comment(f"{phase}: {name}") for phase, name in spec.phases.items())
    head += toml_text.table(("tasks", spec.task_id), {name: value for name, value in fields.items() if value})
    return "\n".join([head, *(_written(spec, criterion) for criterion in spec.criteria.values())])


def _read(markdown: bytes, where: str) -> _Spec:
    spec = _Spec(where)
    try:
        lines = markdown.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        spec.fail(markdown.count(b"\n", 0, error.start) + 1, "not UTF-8", "save the file as UTF-8")
    end = _front_matter(spec, lines)
    fence = 0
    for number, text in enumerate(lines[end:], end + 1):
        if text.startswith("```"):
            fence = 0 if fence else number
        elif fence:
            continue
        elif text.startswith("## "):
            spec.heading(text, number)
        elif text.startswith("# "):
            spec.title = spec.title or text[2:].strip()
        else:
            spec.body(text, number)
    if fence:
        spec.fail(fence, "a fence that is never closed", "close it with ```")
    return spec


def _front_matter(spec: _Spec, lines: list[str]) -> int:
    """Reads the lines between `---` at the start; the number of lines that it takes."""
    if lines[0] != "---" or "---" not in lines[1:]:
        spec.fail(1, "no front matter", "a scafld spec starts with --- and its task_id")
    end = lines.index("---", 1)
    for number, text in enumerate(lines[1:end], 2):
        name, _, value = text.partition(":")
        if name.strip() == "task_id":
            spec.task_id = value.strip().strip("'\"")
            problem = plan_checks.id_problem(spec.task_id)
            if problem:
                spec.fail(number, *problem)
    if not spec.task_id:
        spec.fail(1, "the front matter has no task_id", "add one")
    return end + 1


def _value(text: str) -> str:
    """A value without the code span or quotes around it; one that only begins and ends with quotes stays."""
    import json

    text = text.strip()
    inner = text[1:-1]
    if len(text) < 2 or text[0] != text[-1]:
        return text
    if text[0] == "`":
        return inner.strip()
    if text[0] == "'" and "'" not in inner:
        return inner
    try:
        return str(json.loads(text)) if text[0] == '"' else text
    except ValueError:
        return text


def _written(spec: _Spec, criterion: _Criterion) -> str:
    kind = criterion.kind or {"manual": "manual", "browser": "browser_evidence"}.get(criterion.type, "")
    fields: dict[str, Any] = {"shows": criterion.title} if criterion.title else {}
    if kind == "manual" or not (kind or criterion.command.strip()):
        if criterion.command.strip():
            spec.fail(criterion.line, f"{criterion.id} is manual and has a command", "keep one of the two")
        fields["manual"] = True
    elif not criterion.command.strip():
        spec.fail(criterion.line, f"{criterion.id} has no command", "add “- Command: `…`”, or make it manual")
    else:
        fields["run"] = criterion.command
    if criterion.phase:
        fields["phase"] = criterion.phase
    text = toml_text.table(("tasks", spec.task_id, "criteria", criterion.id), fields)
    return text + _expected(kind)


def _expected(kind: str) -> str:
    """The `expect` line for what scafld expects; empty for an exit code of 0, which is the default."""
    match kind:
        case "exit_code_nonzero":
            return 'expect = { exit = "!= 0" }\n'
        case "no_matches":  # no output, whatever the exit code
            return "expect = { exit = \">= 0\", output = '\\A\\Z' }\n"
        case "browser_evidence":
            return f"expect = {{ output = {toml_text.pattern(BROWSER_EVIDENCE)} }}\n"
    return ""
