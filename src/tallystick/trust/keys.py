"""The keys that this user signs with: in files of the configuration folder, in ssh-agent, or given in a variable.

A file holds one line: a signing key as C2SP notes spell it, or the public key of one that an ssh-agent holds. A key
signs under the name of whatever log it signs for, so that one key serves many ledgers.
"""

from __future__ import annotations

import os
import re

from tallystick.errors import InputError, NotFoundError, StoreUnavailableError
from tallystick.files import make_folder, open_plain, write_first
from tallystick.proof.keys import ED25519, MLDSA44_COSIGNATURE, SEED_SIZE, Signer, SigningKey, VerifierKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE = "TALLYSTICK_SIGNING_KEY"
DEFAULT_NAME = "default"
KEY_TYPES = {"ed25519": ED25519, "ml-dsa-44": MLDSA44_COSIGNATURE}
"""The types of keys that sign a ledger, by the names that the command has for them."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_LONGEST_FILE = 8192


class Key:
    """A key to sign with."""

    __slots__ = ("_secret", "_sign", "key_type", "name", "place", "public")

    def __init__(
        self,
        name: str,
        place: str,
        key_type: int,
        public: bytes,
        *,
        secret: SigningKey | None = None,
        sign: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self.name = name
        """What this user calls it; empty for the one in the variable."""
        self.place = place
        """Where the private half is: `file`, `ssh-agent` or `variable`."""
        self.key_type = key_type
        self.public = public
        self._secret = secret
        self._sign = sign

    @property
    def fingerprint(self) -> str:
        """16 hex digits that tell keys apart, whatever they are called."""
        from hashlib import sha256

        return sha256(bytes((self.key_type,)) + self.public).hexdigest()[:16]

    def verifier(self, name: str) -> VerifierKey:
        """The public half, under the name that it signs with there. Raises InputError."""
        return VerifierKey(name, self.key_type, self.public)

    def signer(self, name: str) -> Signer:
        """A signer under that name. Raises InputError."""
        if self._secret is not None:
            return self._secret.named(name).signer()
        assert self._sign is not None
        return Signer(self.verifier(name), self._sign)

    def __str__(self) -> str:
        return f"the key {self.name}" if self.name else f"the key in ${VARIABLE}"


class KeyFolder:
    """The user's folder of keys. It is never inside a work tree: what lies there is soon committed."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        config = environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
        self.path = os.path.join(config, "tallystick", "keys")

    def names(self) -> list[str]:
        """The names of the keys in it, in order."""
        try:
            return sorted(one.name for one in os.scandir(self.path) if one.is_file() and _NAME.fullmatch(one.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreUnavailableError(f"cannot be read: {error.strerror}", where=self.path) from None

    def load(self, name: str) -> Key:
        """The key of that name. Raises NotFoundError, InputError for one that others could read."""
        self.require_outside()
        path = self._file(name)
        line = self._read(path).strip()
        if line.startswith("PRIVATE+KEY+"):
            return _from_secret(name, "file", line, path)
        from tallystick.trust.ssh_agent import SshAgent, parse_public_line

        try:
            public, _ = parse_public_line(line)
        except InputError:
            raise InputError("the file holds no key", where=path) from None
        environ = self._environ
        return Key(name, "ssh-agent", ED25519, public, sign=lambda message: SshAgent(environ).sign(public, message))

    def new(self, name: str = DEFAULT_NAME, key_type: int = ED25519) -> Key:
        """Make a key and keep it in a file.

        Raises InputError if there is one of that name, or if keys of that type cannot be made here.
        """
        path = self._file(name)
        secret = SigningKey(name, key_type, os.urandom(SEED_SIZE))
        self._write(path, secret.encode())
        return _from_secret(name, "file", secret.encode(), path)

    def from_agent(self, name: str, wanted: str = "") -> Key:
        """Use a key that the ssh-agent holds, found by comment, fingerprint or as the only Ed25519 one.

        Only its public half is written. Raises InputError, NotFoundError, StoreUnavailableError.
        """
        from tallystick.trust.ssh_agent import SshAgent, fingerprint, public_line

        path = self._file(name)
        held = SshAgent(self._environ).held()
        fitting = [one for one in held if wanted in ("", one[1], fingerprint(one[0]))]
        if len(fitting) != 1:
            shown = ", ".join(f"{comment} ({fingerprint(public)})" for public, comment in held) or "none"
            raise NotFoundError(
                f"not one but {len(fitting)} Ed25519 keys in the ssh-agent fit",
                advice=f"it holds {shown}; ssh-add adds one",
            )
        public, comment = fitting[0]
        self._write(path, public_line(public, comment))
        return self.load(name)

    def require_outside(self) -> None:
        """Raises InputError where the folder lies inside a git work tree."""
        folder = os.path.realpath(self.path)
        while not os.path.exists(os.path.join(folder, ".git")):
            above = os.path.dirname(folder)
            if above == folder:
                return
            folder = above
        raise InputError(
            f"keys are never kept inside a work tree, and this is in {folder}",
            where=self.path,
            advice="set XDG_CONFIG_HOME to a folder outside of it",
        )

    def make(self) -> None:
        """Make the folder, for this user alone. Raises InputError, StoreUnavailableError."""
        self.require_outside()
        try:
            make_folder(self.path)
            found = os.stat(self.path)
        except OSError as error:
            raise StoreUnavailableError(
                f"cannot be made: {error.strerror}", where=self.path, advice="set XDG_CONFIG_HOME to a folder of yours"
            ) from None
        if found.st_mode & 0o022 and os.name == "posix":
            raise InputError("others can write to it", where=self.path, advice=f"chmod 700 {self.path}")

    def _file(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise InputError(
                f"a key cannot be called {name!r}", advice="letters, digits, dots, dashes, at most 64 of them"
            )
        return os.path.join(self.path, name)

    def _read(self, path: str) -> str:
        try:
            with open(open_plain(path), encoding="ascii", errors="replace") as file:
                found = os.fstat(file.fileno())
                if os.name == "posix" and (found.st_mode & 0o077 or found.st_uid not in (0, os.geteuid())):
                    raise InputError("others can read or own this key", where=path, advice=f"chmod 600 {path}")
                return file.read(_LONGEST_FILE)
        except FileNotFoundError:
            raise NotFoundError("there is no such key", where=path, advice="notch key list shows them") from None
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=path) from None

    def _write(self, path: str, line: str) -> None:
        """Write a new file that only this user can read, durable on return."""
        self.make()
        try:
            write_first(path, [f"{line}\n".encode("ascii", "replace")])
        except FileExistsError:
            raise InputError("there is a key of that name", where=path, advice="give the new one another") from None
        except OSError as error:
            raise StoreUnavailableError(f"cannot be written: {error.strerror}", where=path) from None


def given_key(environ: Mapping[str, str]) -> Key | None:
    """The key that the variable holds, as CI gives it. Raises InputError, which never repeats any of it."""
    value = environ.get(VARIABLE, "").strip()
    return _from_secret("", "variable", value, f"${VARIABLE}") if value else None


def _from_secret(name: str, place: str, line: str, where: str) -> Key:
    try:
        secret = SigningKey.parse(line)
        return Key(name, place, secret.key.key_type, secret.key.public, secret=secret)
    except InputError as error:
        raise InputError(error.what, where=where, advice=error.advice) from None
