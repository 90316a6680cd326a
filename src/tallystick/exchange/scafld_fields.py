"""The fields of scafld's session file in its two dialects, each in the order they are written in."""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.exchange.scafld_json import BOOLEAN, INTEGER, TEXT, ListOf, MapOf, Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tallystick.model import Entry

DIALECTS = ("2.3", "2.5")

_ENTRY_ALWAYS = ("type", "recorded_at")
_STATE_ALWAYS = ("status",)
_SESSION_ALWAYS = ("schema_version", "task_id", "entries")

ENTRY_23 = Struct(
    "entries",
    _ENTRY_ALWAYS,
    id=TEXT,
    type=TEXT,
    recorded_at=TEXT,
    criterion_id=TEXT,
    phase_id=TEXT,
    status=TEXT,
    reason=TEXT,
    provider=TEXT,
    command=TEXT,
    exit_code=INTEGER,
    output=TEXT,
    path=TEXT,
)
ENTRY_25 = Struct(
    "entries",
    _ENTRY_ALWAYS,
    id=TEXT,
    type=TEXT,
    recorded_at=TEXT,
    criterion_id=TEXT,
    phase_id=TEXT,
    status=TEXT,
    reason=TEXT,
    provider=TEXT,
    command=TEXT,
    expected_kind=TEXT,
    criterion_type=TEXT,
    exit_code=INTEGER,
    output=TEXT,
    path=TEXT,
    receipt_digest=TEXT,
    ledger_head=TEXT,
    trust_status=TEXT,
    trust_reason=TEXT,
    review_packet=TEXT,
    canonical_response_sha256=TEXT,
    provider_model=TEXT,
    provider_session=TEXT,
    attempt_id=TEXT,
    lease_expires_at=TEXT,
    review_mode=TEXT,
    review_pass_count=INTEGER,
    evidence_digest=TEXT,
    evidence_actor=TEXT,
    reviewed_head=TEXT,
    reviewed_dirty=TEXT,
    reviewed_diff=TEXT,
    reviewed_spec=TEXT,
    reviewed_scope=ListOf(TEXT),
    reviewed_material_digest=TEXT,
)
STATE_23 = Struct("states", _STATE_ALWAYS, status=TEXT, reason=TEXT, updated_at=TEXT, source_id=TEXT)
STATE_25 = Struct(
    "states",
    _STATE_ALWAYS,
    status=TEXT,
    reason=TEXT,
    updated_at=TEXT,
    source_id=TEXT,
    command=TEXT,
    expected_kind=TEXT,
    criterion_type=TEXT,
    phase_id=TEXT,
    evidence_digest=TEXT,
    evidence_actor=TEXT,
)
SESSION_23 = Struct(
    "",
    _SESSION_ALWAYS,
    schema_version=INTEGER,
    task_id=TEXT,
    created_at=TEXT,
    updated_at=TEXT,
    entries=ListOf(ENTRY_23),
    criterion_states=MapOf(STATE_23),
    phase_blocks=MapOf(STATE_23),
)
SESSION_25 = Struct(
    "",
    _SESSION_ALWAYS,
    schema_version=INTEGER,
    task_id=TEXT,
    created_at=TEXT,
    updated_at=TEXT,
    entries=ListOf(ENTRY_25),
    criterion_states=MapOf(STATE_25),
    phase_blocks=MapOf(STATE_25),
    ledger_head=TEXT,
    ledger_valid=BOOLEAN,
    ledger_error=TEXT,
)

ENTRY_EXTRAS = tuple(name for name in ENTRY_25.fields if name not in ENTRY_23.fields)
"""What only dialect 2.5 says of an entry; here it lies in `details.scafld`."""
STATE_EXTRAS = tuple(name for name in STATE_25.fields if name not in STATE_23.fields)
"""What only dialect 2.5 says of a state; it comes from the entry that set it."""
SESSION_EXTRAS = tuple(name for name in SESSION_25.fields if name not in SESSION_23.fields)
"""What only dialect 2.5 says of a session; it is computed."""


def extras_of(entry: Entry) -> dict[str, Any]:
    """What only dialect 2.5 says of an entry, as `details.scafld` has it: in order, empty fields left out.

    Raises InputError for a value of the wrong type.
    """
    held = entry.details.get("scafld")
    if not held:
        return {}
    if not isinstance(held, dict):
        raise InputError("details.scafld is not an object")
    extras = {name: value for name in ENTRY_EXTRAS if (value := held.get(name))}
    for name, value in extras.items():
        kind = ENTRY_25.fields[name]
        listed = isinstance(kind, ListOf)
        wanted = int if kind is INTEGER else str
        if listed != isinstance(value, list) or any(type(i) is not wanted for i in (value if listed else [value])):
            raise InputError(f"details.scafld.{name} has a value of the wrong type")
    return extras
