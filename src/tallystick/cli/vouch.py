"""attest, approve: standing behind results, and letting a weaker plan pass, with a key that others trust."""

from __future__ import annotations

from tallystick.cli.context import new_task_of
from tallystick.cli.gate import open_case
from tallystick.cli.judging import add_judging, require_reviewed
from tallystick.cli.parser import Command, add_task_argument
from tallystick.cli.record import report
from tallystick.errors import InputError
from tallystick.model import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from tallystick.gate.case import Case
    from tallystick.gate.subject import InFront
    from tallystick.ledger import Ledger
    from tallystick.stores.base import Head
    from tallystick.trust.keys import Key


def _attest_arguments(parser: argparse.ArgumentParser) -> None:
    add_task_argument(parser)
    add_judging(parser)
    parser.add_argument("--entry", action="append", type=int, metavar="POSITION", help="default: what the gate counts")
    parser.add_argument("--key", metavar="NAME", help="the key to sign with, where there are several")


def _attest(options: argparse.Namespace) -> int:
    task_id = new_task_of(options.task)
    with open_case(options, task_id, write=True) as case:
        ledger = _ledger(case)
        require_reviewed(case.plan.base)
        positions = options.entry or _counting(case)
        head = attest_entries(ledger, task_id, positions, _key(options, ledger), case.in_front)
        return report(ledger, task_id, head, options)


def _counting(case: Case) -> list[int]:
    from tallystick.gate.grades import Grade

    own = case.evidence.own
    least = [one.replace(grade=Grade.CLAIMED if one.manual else Grade.OBSERVED) for one in case.plan.task.criteria]
    found = [
        state.deciding.position
        for state in map(case.state, least)
        if state.deciding is not None
        and state.deciding.kind == "result"
        and state.state in ("pass", "flaky")
        and own is not None
        and state.deciding.ledger_id == own.key.ledger_id
        and state.deciding.task_id == case.task_id
    ]
    if not found:
        raise InputError("no result of this ledger passes here, so there is nothing to attest", advice="notch gate")
    return found


def attest_entries(
    ledger: Ledger, task_id: str, positions: list[int], key: Key, in_front: InFront | None = None
) -> Head:
    """Sign these entries of our own session and record that, in an entry for each kind of statement.

    `in_front`: what the signer has in front of it, if there is a plan. Raises NotFoundError, InputError.
    """
    from tallystick.recorded import StoredTree
    from tallystick.trust.statements import ATTESTATION, Subject, attest

    head = ledger.head(task_id)
    tree = StoredTree(ledger.store, ledger.sessions_of(task_id)[0])
    kinds: dict[str, dict[int, str]] = {}
    for position in sorted(set(positions)):
        entry = ledger.entry(task_id, position, outputs=False).entry
        kinds.setdefault(_kind_of(entry), {})[position] = tree.leaf(position).hex()
    entries = []
    for kind, leaves in kinds.items():
        subject = in_front.subject(head, kind=kind) if in_front is not None else Subject(task_id, head)
        note = attest(key, ledger.ledger_id, subject, leaves, kind)
        entries.append(
            Entry(
                type=ATTESTATION,
                provider=str(key),
                reason=f"attests {', '.join(f'#{position}' for position in leaves)}",
                details={ATTESTATION: {"note": note, "entries": list(leaves)}},
            )
        )
    return ledger.append(task_id, entries)


def _kind_of(entry: Entry) -> str:
    from tallystick.gate.attempts import as_object
    from tallystick.trust.statements import ATTESTATION, REPRODUCTION, REVIEW

    if entry.type == REVIEW:
        return REVIEW
    return REPRODUCTION if "reproduces" in as_object(entry.details.get("run")) else ATTESTATION


def _approve_arguments(parser: argparse.ArgumentParser) -> None:
    add_task_argument(parser)
    add_judging(parser)
    parser.add_argument("--reason", default="", help="why it may pass")
    parser.add_argument("--key", metavar="NAME", help="the key to sign with, if there are several")
    parser.add_argument("--exactly", action="store_true", help="for exactly this change: any other edit ends it")


def _approve(options: argparse.Namespace) -> int:
    from tallystick.trust.statements import APPROVAL, NOT_BEGUN, approve

    task_id = new_task_of(options.task)
    with open_case(options, task_id, write=True) as case:
        ledger = _ledger(case)
        weakened = [one.as_dict() for one in case.unapproved]
        files = case.unapproved_files
        if not weakened and not files:
            raise InputError("nothing is weaker than on the base, so there is nothing to approve", where=task_id)
        key = _key(options, ledger)
        own = case.evidence.own
        head = own.head if own is not None else NOT_BEGUN
        subject = case.in_front.subject(head, kind=APPROVAL, exactly=options.exactly)
        note = approve(key, ledger.ledger_id, subject, weakened)
        told = [*map(str, case.unapproved), *(f"{file} is protected" for file in files)]
        entry = Entry(
            type=APPROVAL,
            status="approved",
            provider=str(key),
            reason=options.reason or f"approves {len(told)} weakenings",
            details={
                APPROVAL: {"note": note, "weakened": weakened, "protected": [list(one) for one in subject.protected]}
            },
        )
        if not options.json:
            for line in told:
                print(f"approved  {line}")
            print(f"until {subject.expires}, for this plan and these protected files")
        return report(ledger, task_id, ledger.append(task_id, entry), options)


def _ledger(case: Case) -> Ledger:
    assert case.ledger is not None, "opened for writing"
    return case.ledger


def _key(options: argparse.Namespace, ledger: Ledger) -> Key:
    from tallystick.cli.trust import required_key

    return required_key(options.key, ledger)


COMMANDS = {
    "attest": Command(_attest_arguments, _attest, "  notch attest add-cache      (the results that the gate counts)"),
    "approve": Command(_approve_arguments, _approve, '  notch approve add-cache --reason "the suite was split in two"'),
}
