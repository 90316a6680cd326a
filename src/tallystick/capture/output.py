"""What becomes of a command's output: filtered, listened to, kept."""

from __future__ import annotations

from tallystick.model.output import OutputKeeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class OutputFilter(Protocol):
        """What stands between the command's output and what is kept of it, such as the masking of secrets."""

        def feed(self, data: bytes) -> bytes:
            """The bytes to keep of those fed so far; it may hold some back."""

        def finish(self) -> bytes:
            """The bytes that were held back."""


class OutputRecorder:
    """Takes output as the command writes it: through the filter, into `output`, and to the listener."""

    def __init__(self, listener: Callable[[bytes], None] | None, through: OutputFilter | None) -> None:
        self.output = OutputKeeper()
        self._listener = listener
        self._through = through

    def record(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._keep(data if self._through is None else self._through.feed(data))

    def finish(self) -> None:
        """There is no more."""
        if self._through is not None:
            self._keep(self._through.finish())

    def _keep(self, data: bytes) -> None:
        if data:
            self.output.feed(data)
            if self._listener is not None:
                self._listener(data)
