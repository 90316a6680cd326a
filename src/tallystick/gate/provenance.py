"""Which recorded runs count as observed: outside CI those of our own ledger, in CI those of this pipeline run."""

from __future__ import annotations

from tallystick.gate.attempts import as_object
from tallystick.model.frozen import Frozen, set_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.pipeline import Pipeline
    from tallystick.recorded import Recorded

WHOLE_LEDGER = "--trust-recorded: every run in the ledger counts as observed, whoever recorded it"
BUNDLE = "the evidence is a bundle that no trusted key signed, so it counts as claimed"


class Provenance(Frozen):
    """What a run's record has to say so that it counts as observed."""

    __slots__ = FIELDS = ("pipeline", "whole", "refusal")

    pipeline: Pipeline | None
    """The pipeline run that judges; None outside CI."""
    whole: bool
    """Whether the caller vouches for the whole ledger."""
    refusal: str
    """Why nothing in this ledger counts as observed; empty if that is not so."""

    def __init__(self, pipeline: Pipeline | None = None, whole: bool = False, refusal: str = "") -> None:
        set_once(self, "pipeline", pipeline)
        set_once(self, "whole", whole)
        set_once(self, "refusal", refusal)

    def doubt(self, started: Recorded) -> str:
        """Why a run that began there does not count as observed; empty if it does."""
        if self.refusal:
            return self.refusal
        if self.pipeline is None or self.whole:
            return ""
        told = as_object(as_object(started.entry.details.get("run")).get("pipeline"))
        if not told:
            return "it was not recorded by a CI run"
        if dict(told) == self.pipeline.as_dict():
            return ""
        if told.get("run") == self.pipeline.run and told.get("system") == self.pipeline.system:
            return "it was recorded by another attempt of this CI run: rerun all its jobs"
        return "it was recorded by another CI run"

    def advice(self) -> str:
        """What the verdict has to say of it; empty for nothing."""
        if self.refusal:
            return self.refusal
        return WHOLE_LEDGER if self.whole and self.pipeline is not None else ""


OUTSIDE_CI = Provenance()
"""Every watched run of our own ledger counts."""
