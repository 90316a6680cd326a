"""A verdict for people: as text for a terminal, as Markdown for a page."""

from __future__ import annotations

from tallystick.gate.policies import supplying_command
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tallystick.gate.freshness import CriterionState
    from tallystick.gate.policies import Objection
    from tallystick.gate.verdict import Verdict


def as_of(verdict: Verdict) -> str:
    """As of which moment and head the verdict holds, in a line that a log can keep."""
    head = str(verdict.head) if verdict.head else "nothing recorded"
    number = f", checkpoint {verdict.checkpoint.splitlines()[1]}" if verdict.checkpoint else ""
    return f"as of {verdict.at}, head {head}{number}"


def text(verdict: Verdict, paint: Callable[[str, str], str] = lambda words, _: words) -> Iterator[str]:
    """The verdict, line by line. `paint` colours words by a status."""
    word = "open" if verdict.open else "shut"
    yield f"gate {paint(word, word)}  {printable(verdict.task_id)}  {as_of(verdict)}"
    width = max((len(printable(state.criterion.id)) for state in verdict.states), default=0)
    for state in verdict.states:
        mark = paint("✓" if state.ok else "✗", "pass" if state.ok else "fail")
        name = f"{printable(state.criterion.id):<{width}}"
        yield f"  {mark} {name}  {paint(f'{state.state:<11}', state.state)}  {printable(state.reason)}{_marks(state)}"
        if command := supplying_command(verdict.task_id, state, verdict.command):
            yield f"    {'':<{width}}  next: {printable(command)}"
    for objection in verdict.objections:
        if objection.rule != "criteria" or not objection.criterion:
            yield f"  {paint('✗', 'fail')} {objection.rule}: {printable(objection.what)}"
            if objection.next:
                yield f"    next: {printable(objection.next)}"
    if _weakens(verdict):
        yield f"    {OPENS}"
    for why in verdict.advisory:
        yield f"  advisory: {printable(why)}"
    if verdict.checkpoint:
        yield from ("", *verdict.checkpoint.splitlines())


OPENS = "what is weakened or protected opens once it is on the base, or a trusted key approves it"


def _weakens(verdict: Verdict) -> bool:
    return any(objection.rule in ("weakened", "protected") for objection in verdict.objections)


def _marks(state: CriterionState) -> str:
    return "  [unfalsified]" if state.ok and state.unfalsified else ""


def markdown(verdict: Verdict) -> Iterator[str]:
    """The verdict as a Markdown section, line by line."""
    yield f"## Gate {'open' if verdict.open else 'shut'}: {inline(verdict.task_id)}"
    yield ""
    if verdict.states:
        yield "| criterion | state | grade | why |"
        yield "|---|---|---|---|"
        for state in verdict.states:
            sign = "✅" if state.ok else "❌"
            grade = str(state.grade) if state.grade else ""
            yield f"| {cell(state.criterion.id)} | {sign} {state.state} | {grade} | {cell(state.reason)} |"
        yield ""
    other = [one for one in verdict.objections if one.rule != "criteria" or not one.criterion]
    for objection in other:
        yield f"- **{objection.rule}**: {cell(objection.what)}"
    if _weakens(verdict):
        yield f"\n{OPENS}"
    if other:
        yield ""
    commands = list(dict.fromkeys(one.next for one in verdict.objections if one.next))
    if commands:
        yield "What supplies what is missing:"
        yield ""
        yield from fenced("\n".join(commands), "sh")
        yield ""
    yield f"{as_of(verdict)}"
    for why in verdict.advisory:
        yield f"\n> advisory: {cell(why)}"


def objections_of(verdict: Verdict, criterion_id: str) -> list[Objection]:
    """What keeps the gate shut because of one criterion."""
    return [one for one in verdict.objections if one.criterion == criterion_id]


_SPECIAL = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]<>|#!~"})


def cell(words: str) -> str:
    """Words from outside as literal Markdown on one line."""
    return printable(words).translate(_SPECIAL)


def inline(words: str) -> str:
    """Words from outside as Markdown code on one line."""
    shown = printable(words)
    ticks = "`" * (1 + max((len(run) for run in _runs(shown)), default=0))
    return f"{ticks}{shown}{ticks}" if ticks == "`" else f"{ticks} {shown} {ticks}"


def _runs(words: str) -> list[str]:
    import re

    return re.findall("`+", words)


def fenced(words: str, language: str = "text") -> Iterator[str]:
    """Words from outside as a Markdown code block that they cannot end."""
    fence = "`" * max(3, 1 + max((len(run) for run in _runs(words)), default=0))
    yield f"{fence}{language}"
    for line in words.splitlines():
        yield printable(line)
    yield fence
