"""verify --trusted-keys: the signed receipts inside imported sessions."""

from __future__ import annotations

from tallystick.cli.terminal import paint, print_json
from tallystick.errors import CheckFailedError
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from tallystick.exchange.scafld_signatures import ReceiptCheck
    from tallystick.ledger import Ledger


def verify_receipts(ledger: Ledger, options: argparse.Namespace) -> int:
    """Check the receipts of the tasks that are named, else of all; returns 0 where every one holds, else 1."""
    from tallystick.cli.files import read_file
    from tallystick.exchange import scafld_signatures

    keys = read_file(options.trusted_keys, ledger)
    tasks = options.tasks or [one.task_id for one in ledger.tasks() if one.ledger_id == ledger.ledger_id]
    found: list[tuple[str, ReceiptCheck]] = []
    for task_id in tasks:
        checks = scafld_signatures.verify_receipts(ledger.session(task_id), keys, where=options.trusted_keys)
        found += [(task_id, check) for check in checks]
    if options.json:
        receipts = [{"session": task_id, **check.to_dict()} for task_id, check in found]
        print_json({"ok": all(check.ok for _, check in found), "receipts": receipts})
    else:
        for task_id, check in found:
            where = f"{printable(task_id)} #{check.position}"
            if check.ok:
                print(paint("ok", "pass") + f"  {where}: receipt of {check.minted_at}, signed by {check.key_id}")
            else:
                print(paint("fails", "fail") + f"  {where}: {printable(check.reason)}")
        if not found:
            print("no receipt in these sessions")
    return 0 if all(check.ok for _, check in found) else CheckFailedError.exit_code
