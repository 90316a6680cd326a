"""PostgreSQL URLs: read without ever showing a password, filled with what survives the loss of a server."""

from __future__ import annotations

import os

from tallystick.errors import InputError, StoreUnavailableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SCHEMES = ("postgresql://", "postgres://")
_SECRET = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
CONNECT_SECONDS = 10
DEFAULTS = {
    "connect_timeout": str(CONNECT_SECONDS),
    "keepalives_idle": "20",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "fallback_application_name": "tallystick",
}
"""What a URL that does not say so gets, so that a server that vanished is noticed within half a minute."""
_VARIABLES = {"connect_timeout": "PGCONNECT_TIMEOUT", "target_session_attrs": "PGTARGETSESSIONATTRS"}
_ADVICE = (
    "write postgresql://USER@HOST:PORT/DATABASE, and in a password @ as %40, / as %2F, : as %3A, % as %25;"
    " better, leave the password to ~/.pgpass or PGPASSWORD"
)


class Target:
    """Where a ledger is: libpq's parameters, and how to name the place without a password."""

    __slots__ = ("parameters", "secrets", "several", "shown")

    def __init__(self, parameters: dict[str, Any], shown: str, secrets: list[str]) -> None:
        self.parameters = parameters
        self.shown = shown
        """The URL without a password."""
        self.secrets = secrets
        self.several = "," in str(parameters.get("host", "")) or "," in str(parameters.get("hostaddr", ""))
        """Whether it names more than one server, so that another may take over."""

    def redact(self, text: str) -> str:
        """The text with every password in it replaced."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def require_psycopg() -> None:
    """Raises StoreUnavailableError where the `postgres` extra is not installed, or finds no libpq."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        what = "a PostgreSQL ledger needs psycopg, which is not installed"
        if error.name != "psycopg":
            what = "psycopg is installed, but finds no PostgreSQL client library"
        raise StoreUnavailableError(what, advice="pip install 'tallystick[postgres]'") from None


def parse(url: str, *, read_only: bool) -> Target:
    """What a `postgresql://` URL says. Raises InputError, showing nothing of it, where it cannot be read."""
    require_psycopg()
    from psycopg import Error, conninfo

    shown, secrets = without_secrets(url)
    try:
        parameters = conninfo.conninfo_to_dict(url)
    except Error:
        raise InputError("the PostgreSQL URL cannot be read", advice=_ADVICE) from None
    secrets += [str(parameters[name]) for name in _SECRET if parameters.get(name)]
    if os.environ.get("PGPASSWORD"):
        secrets.append(os.environ["PGPASSWORD"])
    defaults = dict(DEFAULTS)
    if not read_only:
        defaults["target_session_attrs"] = "read-write"
    for name, value in defaults.items():
        if name not in parameters and _VARIABLES.get(name, "") not in os.environ:
            parameters[name] = value
    parameters["client_encoding"] = "utf8"
    return Target(parameters, shown, sorted(set(secrets), key=len, reverse=True))


def without_secrets(url: str) -> tuple[str, list[str]]:
    """The URL without passwords, and the passwords as they stand in it."""
    scheme, _, rest = url.partition("://")
    authority, mark, tail = rest, "", ""
    for at, character in enumerate(rest):
        if character in "/?":
            authority, mark, tail = rest[:at], character, rest[at:]
            break
    login, at_sign, hosts = authority.rpartition("@")
    path, _, query = tail.partition("?")
    # A password with @, / or ? in it splits elsewhere than meant; libpq would then print the rest as a host.
    if "@" in login or "@" in path or (mark and not at_sign and "@" in tail.partition("&")[0].partition("=")[0]):
        raise InputError("the PostgreSQL URL cannot be read", advice=_ADVICE)
    if not at_sign and any(not _is_port(host) for host in hosts.split(",")):
        raise InputError("the PostgreSQL URL cannot be read", advice=_ADVICE)
    user, colon, password = login.partition(":")
    secrets = [password] if colon and password else []
    kept = []
    for pair in query.split("&") if query else []:
        name, _, value = pair.partition("=")
        if _unquoted(name) in _SECRET:
            secrets += [value] if value else []
        else:
            kept.append(pair)
    shown = f"{scheme}://{user}{at_sign}{hosts}{path}"
    return shown + (f"?{'&'.join(kept)}" if kept else ""), secrets


def _unquoted(name: str) -> str:
    """The name as libpq reads it."""
    if "%" not in name:
        return name
    from urllib.parse import unquote

    return unquote(name)


def _is_port(host: str) -> bool:
    """Whether what follows the last colon outside brackets can be a port."""
    _, colon, port = host.rpartition("]")[2].rpartition(":")
    return not colon or not port or port.isdigit()
