"""The time now, as records carry it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tallystick.errors import InputError


def now() -> str:
    """RFC 3339 in UTC with six digits of fraction and `Z`."""
    return f"{datetime.now(UTC).isoformat(timespec='microseconds')[: -len('+00:00')]}Z"


def seconds_from_now(seconds: float) -> str:
    """The time that many seconds from now, as records carry it."""
    return format_time(datetime.now(UTC) + timedelta(seconds=min(seconds, 10**9)))


def format_time(moment: datetime) -> str:
    """The moment as records carry it. It must have a time zone."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> datetime:
    """The moment that an ISO 8601 date or time stands for; UTC where no zone is given.

    Raises InputError otherwise.
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        raise InputError(f"{text!r} is not a time", advice="write it like 2026-11-24T10:35:05Z") from None
