"""A function of a PostgreSQL ledger: what makes it, and what it is called."""

from __future__ import annotations

from tallystick.stores import postgres_schema as schema


class Function:
    """One function: what it takes, gives and does, and how it runs."""

    __slots__ = ("arguments", "body", "name", "pinned", "returns", "secure")

    def __init__(
        self, name: str, body: str, *, arguments: str = "", returns: str = "trigger", secure: bool, pinned: bool = True
    ) -> None:
        self.name = name
        self.body = body
        self.arguments = arguments
        self.returns = returns
        self.secure = secure
        """Whether it runs as the owner."""
        self.pinned = pinned
        """Whether it has a search path of its own; where not, every name in it is qualified."""

    @property
    def statement(self) -> str:
        """What makes the function, or replaces it by that of this version."""
        return (
            f"CREATE OR REPLACE FUNCTION tallystick.{self.name}({self.arguments}) RETURNS {self.returns}"
            f" LANGUAGE plpgsql{' SECURITY DEFINER' if self.secure else ''}"
            f"{' SET search_path = pg_catalog, pg_temp' if self.pinned else ''} AS $body${self.body}$body$"
        )


def called(name: str, digit: str) -> str:
    """What the function of that name in `CALLED` is called in a partition.

    Those that do not look at the client's version have ours in their name: an older client calls what is not there.
    """
    version = schema.SCHEMA_VERSION if name.startswith("append") else ""
    return f"{name}{version}_{digit}"
