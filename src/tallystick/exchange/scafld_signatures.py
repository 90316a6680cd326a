"""Whether scafld's receipts in a session are signed by keys that were trusted when they were minted."""

from __future__ import annotations

import re
from base64 import b64decode, urlsafe_b64encode
from datetime import datetime
from hashlib import sha256

from tallystick.errors import InputError
from tallystick.exchange.scafld_fields import extras_of
from tallystick.exchange.scafld_receipts import MISMATCH, receipt_chain
from tallystick.model import jsontext
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.text import BLANK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tallystick.exchange.scafld_receipts import Link, Receipt
    from tallystick.model import Session

_KEY_FIELDS = {
    "key_id": str,
    "alg": str,
    "public_key": str,
    "revoked": bool,
    "revoked_at": str,
    "expires_at": str,
}
_ENDED = {"revoked_at": "been revoked", "expires_at": "expired"}
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)T([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d+))?(?:Z|([+-])([01]\d|2[0-4]):([0-5]\d))",
    re.ASCII,
)


class ReceiptCheck(Frozen):
    """What verifying one receipt of a session found. Immutable."""

    FIELDS = (
        "position",
        "ok",
        "reason",
        "task_id",
        "verdict",
        "minted_at",
        "key_id",
        "receipt_digest",
        "ledger_head",
    )
    __slots__ = FIELDS

    position: int
    """The entry that holds the receipt, counted from 1."""
    ok: bool
    """Whether it is whole, in its place, and signed by a key trusted at `minted_at`."""
    reason: str
    """What is wrong with it; empty where `ok`."""
    task_id: str
    """The task that the receipt says it is about."""
    verdict: str
    """What the receipt says: `pass` or `fail`."""
    minted_at: str
    """When the receipt says it was signed (RFC 3339)."""
    key_id: str
    """The key that the receipt says it is signed by."""
    receipt_digest: str
    """Hex SHA-256 of the receipt's canonical body without its head."""
    ledger_head: str
    """The head of the receipt chain after it, as computed."""

    def __init__(self, position: int, reason: str, link: Link) -> None:
        receipt = link.receipt
        body: dict[str, Any] = receipt.body if receipt else {}
        set_once(self, "position", position)
        set_once(self, "ok", not reason)
        set_once(self, "reason", reason)
        for name in ("task_id", "verdict", "minted_at"):
            set_once(self, name, body.get(name, ""))
        set_once(self, "key_id", receipt.signature["key_id"] if receipt else "")
        set_once(self, "receipt_digest", link.digest)
        set_once(self, "ledger_head", link.expected)

    def to_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return {name: getattr(self, name) for name in self.FIELDS}


def verify_receipts(
    session: Session, trusted_keys: bytes, *, task_id: str | None = None, where: str = "trusted keys"
) -> list[ReceiptCheck]:
    """What each receipt of a session is worth, in the session's order.

    `trusted_keys` is a scafld `trusted-keys.json`, `where` its name in errors; a key counts at the receipt's
    `minted_at`. The receipts must be about `task_id` (None: the session's own). Every entry that takes part
    in the receipt chain has its check, also one that holds only a digest. Raises InputError where the keys
    cannot be read.
    """
    keys = _TrustedKeys(trusted_keys, where)
    task_id = session.task_id if task_id is None else task_id
    checks = []
    for link in receipt_chain(session).links:
        stated = extras_of(session.entries[link.position - 1]).get("receipt_digest", "")
        reason = _problem(link, keys, task_id, stated.strip(BLANK))
        checks.append(ReceiptCheck(link.position, reason, link))
    return checks


def _problem(link: Link, keys: _TrustedKeys, task_id: str, stated_digest: str) -> str:
    """What is wrong with a receipt, the worst first; empty for nothing."""
    receipt = link.receipt
    if receipt is None:
        return link.error or "there is a digest, but no receipt to verify"
    if receipt.repeated:
        return f"its body has {min(receipt.repeated)!r} twice, so it can be read in two ways"
    if problem := keys.problem_with(receipt):
        return problem
    if receipt.body["task_id"] != task_id:
        return f"it is about the task {receipt.body['task_id']!r}"
    if stated_digest and stated_digest != receipt.digest:
        return "its digest is not the receipt_digest that its entry states"
    if link.error == MISMATCH or receipt.body["ledger_head"] != link.expected:
        return "its ledger_head does not follow from the receipts before it"
    return link.error


class _TrustedKeys:
    """The keys of a `trusted-keys.json`, by key id."""

    def __init__(self, data: bytes, where: str) -> None:
        document = jsontext.loads(data, where)
        if not isinstance(document, dict) or set(document) - {"version", "keys"}:
            raise InputError("expected an object of version and keys", where=where)
        if type(document.get("version")) is not int or document["version"] != 1:
            raise InputError("the version is not 1", where=where)
        if not isinstance(document.get("keys", []), list):
            raise InputError("keys is not a list", where=where)
        self._keys: dict[str, dict[str, Any]] = {}
        for index, key in enumerate(document.get("keys", [])):
            self._add(key, f"{where}: keys[{index}]")

    def _add(self, key: Any, where: str) -> None:
        if not isinstance(key, dict):
            raise InputError("not an object", where=where)
        for name, value in key.items():
            if name not in _KEY_FIELDS:
                raise InputError(f"unknown field {name!r}", where=where)
            if type(value) is not _KEY_FIELDS[name]:
                raise InputError(f"{name} has a value of the wrong type", where=where)
        if key.get("alg") != "ed25519":
            raise InputError("alg is not ed25519", where=where)
        public = _from_base64(key.get("public_key", ""))
        if public is None or len(public) != 32:
            raise InputError("public_key is not 32 bytes in base64", where=where)
        if key.get("key_id") != key_id_of(public):
            raise InputError(f"key_id is not that of its public key, {key_id_of(public)}", where=where)
        if key["key_id"] in self._keys:
            raise InputError(f"the key {key['key_id']} comes twice", where=where)
        ends = {}
        for name in ("revoked_at", "expires_at"):
            if text := key.get(name, "").strip(BLANK):
                ends[name] = _moment(text)
                if ends[name] is None:
                    raise InputError(f"{name} {text!r} is not an RFC 3339 time", where=where)
        self._keys[key["key_id"]] = {"public": public, "revoked": key.get("revoked", False), "ends": ends}

    def problem_with(self, receipt: Receipt) -> str:
        """Why the receipt's signature does not count; empty where it does."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        key_id = receipt.signature["key_id"]
        key = self._keys.get(key_id)
        if key is None:
            return f"signed by {key_id!r}, which is not a trusted key"
        if key["revoked"]:
            return f"signed by {key_id}, which is revoked"
        minted = _moment(receipt.body["minted_at"].strip(BLANK))
        if minted is None:
            return f"minted_at {receipt.body['minted_at']!r} is not an RFC 3339 time"
        for name, end in key["ends"].items():
            if minted >= end:
                return f"signed by {key_id}, which had {_ENDED[name]} by then"
        signature = _from_base64(receipt.signature["sig"])
        try:
            Ed25519PublicKey.from_public_bytes(key["public"]).verify(signature or b"", receipt.signed)
        except (InvalidSignature, ValueError):
            return f"the signature by {key_id} does not fit the receipt"
        return ""


def key_id_of(public: bytes) -> str:
    """The id of a raw Ed25519 public key: `ed25519:` and unpadded URL-safe base64 of its SHA-256."""
    return "ed25519:" + urlsafe_b64encode(sha256(public).digest()).rstrip(b"=").decode()


def _from_base64(text: str) -> bytes | None:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return None


def _moment(text: str) -> tuple[int, int] | None:
    """An RFC 3339 time as seconds since the year 1 and nanoseconds; None where it is none."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    try:
        days = datetime.strptime(day, "%Y-%m-%d").toordinal()
    except ValueError:
        return None
    seconds = days * 86_400 + int(hour) * 3600 + int(minute) * 60 + int(second)
    if sign:
        offset = int(offset_hours) * 3600 + int(offset_minutes) * 60
        seconds -= offset if sign == "+" else -offset
    return seconds, int((fraction or "0")[:9].ljust(9, "0"))
