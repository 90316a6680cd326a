"""From where a command takes the base, the evidence and the keys that it judges by, as options and CI say."""

from __future__ import annotations

import os

from tallystick.errors import CheckFailedError, InputError
from tallystick.inherited import INSIDE, SIGNING_KEY
from tallystick.location import git_directories, work_tree_root
from tallystick.pipeline import may_be_ci, pipeline_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from tallystick.gate.base import Base, BaseRules
    from tallystick.gate.provenance import Provenance
    from tallystick.ledger import Ledger
    from tallystick.pipeline import Pipeline

BASE_VARIABLE = "TALLYSTICK_BASE"
IN_THE_CHECKOUT = (
    "the ledger lies in the checkout, where a change could bring it, so it counts as claimed: name a place outside"
    " (TALLYSTICK_LEDGER)"
)


def add_judging(parser: argparse.ArgumentParser) -> None:
    """The options of commands that judge."""
    parser.add_argument(
        "--base", metavar="BRANCH", help=f"the default branch; default: ${BASE_VARIABLE}, else what CI or git says"
    )
    parser.add_argument(
        "--allow-no-plan-on-base", action="store_true", help="in CI: judge by the change's own plan, for advice alone"
    )
    parser.add_argument(
        "--trust-recorded", action="store_true", help="in CI: count what other pipeline runs recorded in this ledger"
    )


def add_running(parser: argparse.ArgumentParser) -> None:
    """The options of commands that run a plan's commands."""
    parser.add_argument(
        "--keep-env",
        action="append",
        default=[],
        metavar="NAME",
        help="let commands inherit a variable that they do not get by default (GITHUB_OUTPUT, GIT_DIR, …)",
    )
    parser.add_argument(
        "--key-in-this-job", action="store_true", help="in CI: run although the signing key is in the environment"
    )


def pipeline() -> Pipeline | None:
    """The pipeline run that this is part of; None outside CI."""
    return pipeline_of(os.environ) if may_be_ci(os.environ) else None


def base_rules(options: argparse.Namespace | None = None) -> BaseRules:
    """How the base is found, as the options and CI say."""
    from tallystick.gate.base import BaseRules

    named = getattr(options, "base", None) or os.environ.get(BASE_VARIABLE, "")
    here = pipeline()
    if here is None:
        return BaseRules(named=named)
    from tallystick.gate.event import event_of

    allowed = bool(getattr(options, "allow_no_plan_on_base", False))
    return BaseRules(event_of(here, os.environ), named, allowed)


def provenance(options: argparse.Namespace, ledger: Ledger | None) -> Provenance:
    """Which runs in the ledger count as observed. Raises CheckFailedError if a key that was named did not sign."""
    from tallystick.gate.provenance import BUNDLE, Provenance

    here = pipeline()
    whole = bool(getattr(options, "trust_recorded", False))
    if ledger is None:
        return Provenance(here, whole)
    path = ledger_path(ledger)
    if path and _is_bundle(ledger):
        return Provenance(here, whole, "" if _is_signed(path, options) else BUNDLE)
    in_checkout = here is not None and not whole and bool(path) and lies_in_checkout(path)
    return Provenance(here, whole, IN_THE_CHECKOUT if in_checkout else "")


def ledger_path(ledger: Ledger) -> str:
    """The file that the ledger lies in; empty if it is no file."""
    from tallystick.location import sqlite_path

    return sqlite_path(ledger.url) or ("" if "://" in ledger.url else ledger.url)


def lies_in_checkout(path: str) -> bool:
    """Whether the file lies in the work tree that is judged or one around it, and not in a git directory of theirs."""
    real = os.path.realpath(path)
    top = work_tree_root(os.getcwd())
    while top is not None:
        git_dirs = [os.path.realpath(folder) + os.sep for folder in git_directories(top)]
        if real.startswith(tuple(git_dirs)):
            return False
        if real.startswith(os.path.realpath(top).rstrip(os.sep) + os.sep):
            return True
        above = os.path.dirname(top)
        top = work_tree_root(above) if above != top else None
    return False


def _is_bundle(ledger: Ledger) -> bool:
    from tallystick.stores.checkpoints import NoLog

    return isinstance(ledger.store.log, NoLog)


def _is_signed(path: str, options: argparse.Namespace) -> bool:
    """Whether a key that counts signed all of the bundle: one that was named, else one that the base trusts."""
    from argparse import Namespace

    from tallystick.cli.against import keys_of_base, read_trusted
    from tallystick.cli.bundle import verify_file

    keys = Namespace(key=getattr(options, "key", None) or [], keys=getattr(options, "keys", None), not_before=None)
    named = read_trusted(keys)
    trusted = named or keys_of_base(base_rules(options))
    if trusted is None:
        return False
    try:
        return bool((verify_file(path, keys, trusted)["checkpoint"] or {}).get("signers"))
    except CheckFailedError:
        if named is not None:
            raise
        return False


def require_outside_run() -> None:
    """Raises InputError in a command that `notch` runs: what is under test judges nothing."""
    if task := os.environ.get(INSIDE):
        raise InputError(
            f"this runs inside a run of {task!r} that notch watches, so it judges nothing",
            advice="judge after the run",
        )


def require_no_key(options: argparse.Namespace) -> None:
    """Raises InputError if code of the change would run beside the signing key, and for a key that is to be kept."""
    if SIGNING_KEY in options.keep_env:
        raise InputError(f"{SIGNING_KEY} is never handed on", where="--keep-env")
    if os.environ.get(SIGNING_KEY) and not options.key_in_this_job and pipeline() is not None:
        raise InputError(
            "the commands that are run could read the signing key",
            where=SIGNING_KEY,
            advice="sign in a second job (notch attest) that alone has the key, or --key-in-this-job",
        )


def require_reviewed(base: Base | None) -> None:
    """Raises InputError in CI if what is signed for is a change that nobody has merged yet."""
    if pipeline() is not None and not (base and base.reviewed):
        raise InputError(
            "this pipeline run is about a change that is not merged, and its code could have written the ledger",
            where="CI",
            advice="sign where the protected branch is pushed, or in the merge queue",
        )


def reviewed_base(options: argparse.Namespace) -> Base | None:
    """In CI the base of what is checked out; None elsewhere. Raises what finding it raises."""
    if pipeline() is None:
        return None
    from tallystick.gate.base import base_of
    from tallystick.workspace import Workspace

    return base_of(Workspace.find(os.getcwd()), base_rules(options))
