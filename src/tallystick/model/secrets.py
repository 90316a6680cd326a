"""Secrets that the environment holds, kept out of what is recorded."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

SHORTEST = 8
"""Bytes: a shorter value is no secret that could be told from other text."""

_CAMEL_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORDS = frozenset(
    (
        "auth", "bearer", "cookie", "cookies", "creds", "dsn", "jwt", "key", "keys", "pass", "pat", "pin", "pw",
        "salt", "sas", "sig", "signature",
    )
)  # fmt: skip
_ENDINGS = (
    "apikey", "apikeys", "accesskey", "secretkey", "privatekey", "authkey", "deploykey", "signingkey",
    "credential", "credentials", "passcode", "passphrase", "passwd", "password", "passwords", "pwd",
    "token", "tokens",
)  # fmt: skip
_PHRASES = ("CONNECTION_STRING", "CONNECTIONSTRING", "DATABASE_URL", "DB_URL", "MONGO_URI", "REDIS_URL")
# Compiled where a value is a URL: most environments have none.
_PASSWORD_IN_URL = r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s@]*?:([^/?#\s]+)@|[?&](?:ssl)?password=([^&\s]+)"
_PERCENT = rb"%([0-9A-Fa-f]{2})"
_NO_SECRETS = frozenset(("PWD", "OLDPWD", "SSH_AUTH_SOCK", "GPG_TTY"))


def looks_secret(name: str) -> bool:
    """Whether a variable of this name is likely to hold a secret. Errs on the side of yes."""
    if name in _NO_SECRETS:
        return False
    if any(phrase in name.upper() for phrase in _PHRASES):
        return True
    words = _CAMEL_HUMP.sub("_", name).lower().split("_")
    return any(word in _WORDS or "secret" in word or word.rstrip("0123456789").endswith(_ENDINGS) for word in words)


def passwords_in(value: str) -> list[str]:
    """The passwords that a URL carries, as they stand in it and as they are meant; none for other text."""
    found = re.findall(_PASSWORD_IN_URL, value) if "://" in value else []
    if not found:
        return []
    written = [login or parameter for login, parameter in found]
    return list(dict.fromkeys([*written, *map(_unquoted, written)]))


def _unquoted(text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    return re.sub(_PERCENT, lambda found: bytes([int(found[1], 16)]), data).decode("utf-8", "surrogateescape")


class SecretMask:
    """The secrets of an environment, each written as `[masked NAME]` wherever its value stands."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._names: dict[bytes, bytes] = {}
        for name, value in environ.items():
            passwords = passwords_in(value)
            for secret in (value, *passwords) if passwords or looks_secret(name) else ():
                data = secret.encode("utf-8", "surrogateescape")
                if len(data) >= SHORTEST:
                    self._names.setdefault(data, b"[masked %s]" % name.encode("utf-8", "surrogateescape"))
        longest_first = sorted(self._names, key=len, reverse=True)
        self._longest = len(longest_first[0]) if longest_first else 0
        self._pattern = re.compile(b"|".join(map(re.escape, longest_first))) if longest_first else None

    def __bool__(self) -> bool:
        """Whether there is any secret to mask."""
        return self._pattern is not None

    def data(self, data: bytes) -> bytes:
        """The bytes with every secret masked."""
        return data if self._pattern is None else self._pattern.sub(self._replacement, data)

    def text(self, text: str) -> str:
        """The text with every secret masked."""
        if self._pattern is None:
            return text
        return self.data(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def value(self, value: Any) -> Any:
        """A JSON value with every secret in its texts and keys masked."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        return [self.value(item) for item in value] if isinstance(value, (list, tuple)) else value

    def filter(self) -> SecretFilter | None:
        """What masks a stream; None where there is nothing to mask."""
        return SecretFilter(self._pattern, self._longest, self._replacement) if self._pattern is not None else None

    def _replacement(self, found: re.Match[bytes]) -> bytes:
        return self._names[found[0]]


class SecretFilter:
    """Masks secrets in a stream, those too that come in several pieces.

    It holds back as many bytes as the longest secret could still need; `finish` gives them.
    """

    def __init__(self, pattern: re.Pattern[bytes], longest: int, replacement: Any) -> None:
        self._pattern = pattern
        self._longest = longest
        self._replacement = replacement
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The bytes that are certain by now."""
        data = self._held + data
        decided = len(data) - self._longest + 1
        if decided <= 0:
            self._held = data
            return b""
        told, place = [], 0
        for found in self._pattern.finditer(data):
            if found.start() >= decided:
                break
            told += [data[place : found.start()], self._replacement(found)]
            place = found.end()
        end = max(decided, place)
        told.append(data[place:end])
        self._held = data[end:]
        return b"".join(told)

    def finish(self) -> bytes:
        """The rest."""
        held, self._held = self._held, b""
        return self._pattern.sub(self._replacement, held)
