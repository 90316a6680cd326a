"""One evidence event, and the state that it leaves behind."""

from __future__ import annotations

from tallystick.model.frozen import EMPTY, Frozen, FrozenDict, frozen_json, set_once
from tallystick.model.text import BLANK, clean_text, decode_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Self

    from tallystick.model.session import Session

ENTRY_WORKSPACE_BASELINE = "workspace_baseline"

RESULT_TYPES = frozenset({"criterion", "run"})
"""The types whose entries are results: what the gate judges."""


class Entry(Frozen):
    """One evidence event. Immutable; fields are those of the session format, and `details`."""

    FIELDS = (
        "id",
        "type",
        "recorded_at",
        "criterion_id",
        "phase_id",
        "status",
        "reason",
        "provider",
        "command",
        "exit_code",
        "output",
        "path",
        "details",
    )
    __slots__ = (
        "_output",
        "command",
        "criterion_id",
        "details",
        "exit_code",
        "id",
        "path",
        "phase_id",
        "provider",
        "reason",
        "recorded_at",
        "status",
        "type",
    )

    _output: str | bytes
    id: str
    """Its name in the session; may repeat in imported sessions."""
    type: str
    """What kind of event: `criterion`, `run`, `phase`, `review`, … or any other text."""
    recorded_at: str
    """When it happened, as the caller tells it (RFC 3339)."""
    criterion_id: str
    """The criterion whose state it sets; empty for none."""
    phase_id: str
    """The phase it belongs to; empty for none."""
    status: str
    """What it showed: `pass`, `fail`, … The type stands for it where it is empty."""
    reason: str
    """Why, for a person."""
    provider: str
    """Who or what reported it."""
    command: str
    """The command that was run."""
    exit_code: int
    """The command's exit code; 0 also where there is none."""
    path: str
    """A file it is about."""
    details: Mapping[str, Any]
    """A JSON object for what a type needs beyond these."""

    def __init__(
        self,
        *,
        id: str = "",
        type: str = "",
        recorded_at: str = "",
        criterion_id: str = "",
        phase_id: str = "",
        status: str = "",
        reason: str = "",
        provider: str = "",
        command: str = "",
        exit_code: int = 0,
        output: str | bytes = "",
        path: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        set_once(self, "id", id)
        set_once(self, "type", type)
        set_once(self, "recorded_at", recorded_at)
        set_once(self, "criterion_id", criterion_id)
        set_once(self, "phase_id", phase_id)
        set_once(self, "status", status)
        set_once(self, "reason", reason)
        set_once(self, "provider", provider)
        set_once(self, "command", command)
        set_once(self, "exit_code", exit_code)
        set_once(self, "_output", output)
        set_once(self, "path", path)
        if not isinstance(details, FrozenDict):
            details = frozen_json(details) if details else EMPTY
        set_once(self, "details", details)

    @property
    def output(self) -> str:
        """What was printed, as text: bytes that are not UTF-8 read as U+FFFD."""
        return self._output if isinstance(self._output, str) else decode_text(self._output)

    @property
    def output_bytes(self) -> bytes:
        """What was printed, as it was printed."""
        return self._output if isinstance(self._output, bytes) else clean_text(self._output).encode()

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return super().replace(**{"output": self._output, **changes})

    def sharing(self, memo: dict[str, str]) -> Entry:
        """This entry with its texts taken from `memo` where they are there already, to save memory."""
        share = memo.setdefault
        for name in ("type", "criterion_id", "phase_id", "status", "reason", "provider", "command", "path"):
            value = getattr(self, name)
            set_once(self, name, share(value, value))
        return self

    def to_dict(self) -> dict[str, Any]:
        """Fields by name in the session format's order, empty ones left out except `type`, `recorded_at`."""
        return {
            name: value for name in self.FIELDS if (value := getattr(self, name)) or name in ("type", "recorded_at")
        }

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild, (kind, fields) = super().__reduce__()
        return rebuild, (kind, {**fields, "output": self._output})


class StateRecord(Frozen):
    """The state of a criterion or a phase: that of the last entry that set it. Immutable."""

    FIELDS = ("status", "reason", "updated_at", "source_id", "position")
    __slots__ = FIELDS

    status: str
    """The entry's status, or its type where that is empty."""
    reason: str
    """The entry's reason; empty once erased."""
    updated_at: str
    """The entry's `recorded_at`."""
    source_id: str
    """The entry's id, or its type where that is empty."""
    position: int
    """The entry's place in its session, counted from 1; not in the session file."""

    def __init__(
        self,
        status: str = "",
        reason: str = "",
        updated_at: str = "",
        source_id: str = "",
        position: int = 0,
    ) -> None:
        set_once(self, "status", status)
        set_once(self, "reason", reason)
        set_once(self, "updated_at", updated_at)
        set_once(self, "source_id", source_id)
        set_once(self, "position", position)

    def to_dict(self) -> dict[str, Any]:
        """`status`, `reason`, `updated_at`, `source_id` and `position`, all of them."""
        return {name: getattr(self, name) for name in self.FIELDS}


def first_workspace_baseline(session: Session) -> Entry | None:
    """The session's first entry of type `workspace_baseline`."""
    return next((entry for entry in session.entries if entry.type == ENTRY_WORKSPACE_BASELINE), None)


def workspace_baseline_snapshot(entry: Entry) -> list[str]:
    """The lines of a baseline's output that are not blank, each without trailing carriage returns."""
    return [line.rstrip("\r") for line in entry.output.split("\n") if line.strip(BLANK)]
