"""scafld's signed receipts: how one is read, its digest, and the chain of heads that binds them in order.

Only receipts are chained. The head begins at hex SHA-256 of `scafld-ledger-v1 genesis`; each receipt moves it
to hex SHA-256 of `scafld-ledger-v1`, the head before and the receipt's digest, joined by newlines.
"""

from __future__ import annotations

from hashlib import sha256

from tallystick.errors import InputError
from tallystick.exchange.scafld_fields import extras_of
from tallystick.exchange.scafld_json import (
    BOOLEAN,
    INTEGER,
    TEXT,
    Boolean,
    Integer,
    ListOf,
    MapOf,
    Number,
    Struct,
    Text,
    parse_first,
    quoted,
    read,
)
from tallystick.model.text import BLANK, is_blank

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tallystick.exchange.scafld_json import Kind
    from tallystick.model import Entry, Session

MISMATCH = "receipt ledger_head mismatch"
_REJECTED = "receipt trust rejected: "
_DOMAIN = "scafld-ledger-v1"
_LISTS = ("acceptance", "ignored_unreviewed", "open_blockers", "reviewed_context_provenance", "scope")

GENESIS_HEAD = sha256(f"{_DOMAIN} genesis".encode()).hexdigest()
"""The head of a chain without receipts."""

BODY = Struct(
    "body",
    (
        "schema_version",
        "task_id",
        "session_id",
        "verdict",
        "snapshot_mode",
        "base_commit",
        "head_commit",
        "tree_sha",
        "file_digests",
        "reviewer",
        "host_under_review",
        "independence",
        "spec_fingerprint",
        "acceptance_declared",
        "mutation_guard",
        "ledger_head",
        "minted_at",
        *_LISTS,
    ),
    schema_version=INTEGER,
    task_id=TEXT,
    session_id=TEXT,
    verdict=TEXT,
    snapshot_mode=TEXT,
    base_ref=TEXT,
    base_commit=TEXT,
    head_commit=TEXT,
    scope=ListOf(TEXT),
    tree_sha=TEXT,
    file_digests=MapOf(TEXT),
    ignored_unreviewed=ListOf(TEXT),
    reviewed_context_provenance=ListOf(
        Struct("provenance", ("kind",), kind=TEXT, path=TEXT, sha256=TEXT, bytes=INTEGER)
    ),
    reviewer=Struct("reviewer", ("provider",), provider=TEXT, model=TEXT, binary_sha256=TEXT, endpoint_host=TEXT),
    host_under_review=Struct("host", ("agent",), agent=TEXT, model=TEXT, session_id=TEXT),
    independence=Struct(
        "independence", ("level", "distinct"), level=TEXT, distinct=BOOLEAN, downgraded=TEXT, reason=TEXT
    ),
    spec_fingerprint=TEXT,
    acceptance_declared=BOOLEAN,
    acceptance=ListOf(
        Struct(
            "acceptance",
            ("id", "status"),
            id=TEXT,
            phase_id=TEXT,
            command=TEXT,
            expected_kind=TEXT,
            status=TEXT,
            reason=TEXT,
            exit_code=INTEGER,
            output_sha256=TEXT,
            evidence_sha256=TEXT,
            evidence_actor=TEXT,
            evidence_recorded_at=TEXT,
            diagnostic=TEXT,
        )
    ),
    open_blockers=ListOf(
        Struct("blockers", ("id",), id=TEXT, severity=TEXT, location=TEXT, summary=TEXT, validation=TEXT)
    ),
    mutation_guard=Struct("guard", ("status",), status=TEXT, scope=ListOf(TEXT), reason=TEXT),
    ledger_head=TEXT,
    minted_at=TEXT,
)
SIGNATURE = Struct("signature", ("alg", "key_id", "sig"), alg=TEXT, key_id=TEXT, sig=TEXT)
ENVELOPE = Struct("", ("body", "signature"), body=BODY, signature=SIGNATURE)

_NOT_BLANK = (
    "task_id",
    "session_id",
    "verdict",
    "snapshot_mode",
    "base_commit",
    "head_commit",
    "tree_sha",
    "spec_fingerprint",
    "minted_at",
    "ledger_head",
    "reviewer.provider",
    "host_under_review.agent",
    "independence.level",
    "mutation_guard.status",
)


class Receipt:
    """A signed receipt that could be read."""

    __slots__ = ("body", "digest", "repeated", "signature", "signed")

    def __init__(
        self,
        body: dict[str, Any],
        signature: dict[str, Any],
        signed: bytes,
        repeated: set[str],
        digest: str,
    ) -> None:
        self.body = body
        """The body's fields as scafld reads them."""
        self.signature = signature
        """`alg`, `key_id` and `sig`."""
        self.signed = signed
        """The canonical JSON of the body as it was written: what the signature is over."""
        self.repeated = repeated
        """Names that come twice in one object of the body as it was written."""
        self.digest = digest
        """Hex SHA-256 of the canonical body with `ledger_head` set to the empty text."""


def open_receipt(output: str, *, closed: bool = False) -> Receipt:
    """The receipt that an entry's output holds as JSON.

    Raises InputError where it is none that scafld would take. Fields it does not know are taken as a later
    version's, unless `closed`.
    """
    value = parse_first(output, "")
    unknown: dict[str, int] = {}
    envelope = read(ENVELOPE, value, "", unknown)
    if unknown and closed:
        raise InputError(f"unknown field {next(iter(unknown))}")
    body, signature = envelope.get("body", {}), envelope.get("signature", {})
    _check(body, signature)
    try:
        repeated: set[str] = set()
        raw: dict[str, Any] = {}
        for key, item in value:
            if item and ENVELOPE.name_of(key) == "body":
                repeated.update(raw)
                raw.update(_plain(item, repeated))
        unsigned = canonical({**raw, "ledger_head": ""}) if unknown else _written(BODY, {**body, "ledger_head": ""})
        signed = canonical(raw).encode()
    except RecursionError:
        raise InputError("nested too deeply") from None
    return Receipt(body, signature, signed, repeated, sha256(unsigned.encode()).hexdigest())


def _check(body: dict[str, Any], signature: dict[str, Any]) -> None:
    """Raise InputError unless body and signature have what every receipt must have."""
    if body.get("schema_version") != 1:
        raise InputError("schema_version must be 1")
    missing = [path for path in _NOT_BLANK if is_blank(_at(body, path))]
    missing += [name for name in ("file_digests", *_LISTS) if body.get(name) is None]
    if missing:
        raise InputError(f"missing required receipt fields: {', '.join(sorted(missing))}")
    _check_coverage(body)
    if body["verdict"] not in ("pass", "fail"):
        raise InputError(f"invalid verdict {body['verdict']!r}")
    if body["snapshot_mode"] not in ("working_tree", "base_delta"):
        raise InputError(f"invalid snapshot_mode {body['snapshot_mode']!r}")
    if body["snapshot_mode"] == "working_tree" and not is_blank(body.get("base_ref", "")):
        raise InputError("base_ref is for snapshot_mode base_delta alone")
    if signature.get("alg") != "ed25519":
        raise InputError("signature alg must be ed25519")
    for name in ("key_id", "sig"):
        if is_blank(signature.get(name, "")):
            raise InputError(f"signature {name} is required")


def _at(body: dict[str, Any], path: str) -> str:
    outer, _, inner = path.rpartition(".")
    holder = body.get(outer, {}) if outer else body
    value: str = holder.get(inner, "")
    return value


def _check_coverage(body: dict[str, Any]) -> None:
    """Raise InputError unless every signed file was reviewed as signed, or is named as not reviewed."""
    reviewed = [item for item in body["reviewed_context_provenance"] if item.get("path")]
    digests = {item["path"]: item["sha256"] for item in reviewed if item.get("sha256")}
    covered = {*(item["path"] for item in reviewed), *body["ignored_unreviewed"]}
    for path, digest in sorted(body["file_digests"].items()):
        if path not in covered:
            raise InputError(f"file_digests has {path!r}, which was not reviewed")
        if digest and path in digests and digests[path] != digest:
            raise InputError(f"file_digests has {path!r} with another content than was reviewed")


def _plain(value: Any, repeated: set[str]) -> Any:
    """A parsed value with its objects as dicts; of a name that comes twice (`repeated`), the last."""
    if isinstance(value, tuple):
        result: dict[str, Any] = {}
        for key, item in value:
            if key in result:
                repeated.add(key)
            result[key] = _plain(item, repeated)
        return result
    if isinstance(value, list):
        return [_plain(item, repeated) for item in value]
    return value


def canonical(value: Any) -> str:
    """Canonical JSON: compact, keys sorted by the bytes of their UTF-8, numbers as written."""
    if isinstance(value, dict):
        items = sorted(value.items())
        return "{" + ",".join(f"{quoted(key)}:{canonical(item)}" for key, item in items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, str):
        return quoted(value)
    return {None: "null", True: "true", False: "false"}[value]


def _written(kind: Kind, value: Any) -> str:
    """Canonical JSON of what was read as `kind`: fields that are always written are there, if only empty."""
    if isinstance(kind, Text):
        return quoted(value or "")
    if isinstance(kind, Integer):
        return str(value or 0)
    if isinstance(kind, Boolean):
        return "true" if value else "false"
    if isinstance(kind, Struct):
        present = value or {}
        names = sorted(name for name in kind.fields if name in kind.always or present.get(name))
        return "{" + ",".join(f'"{name}":{_written(kind.fields[name], present.get(name))}' for name in names) + "}"
    if value is None:
        return "null"
    if isinstance(kind, ListOf):
        return "[" + ",".join(_written(kind.kind, item) for item in value) + "]"
    items = sorted(value.items())
    return "{" + ",".join(f"{quoted(key)}:{_written(kind.kind, item)}" for key, item in items) + "}"


class Link:
    """An entry that takes part in the receipt chain."""

    __slots__ = ("digest", "error", "expected", "position", "receipt")

    def __init__(self, position: int) -> None:
        self.position = position
        self.digest = ""
        """Of the receipt; as the entry states it where there is no receipt to compute it from."""
        self.expected = ""
        """The head after this receipt, as computed."""
        self.receipt: Receipt | None = None
        self.error = ""
        """Why the chain does not go on here; empty where it does."""


class Chain:
    """The receipt chain of a session."""

    __slots__ = ("error", "head", "links")

    def __init__(self) -> None:
        self.head = GENESIS_HEAD
        """Hex SHA-256 after the last receipt that followed from those before it."""
        self.error = ""
        """What is wrong with the chain, in scafld's words; empty where it is valid."""
        self.links: list[Link] = []


def next_head(prior: str, digest: str) -> str:
    """The head after a receipt of this digest."""
    return sha256(f"{_DOMAIN}\n{prior}\n{digest}".encode()).hexdigest()


def receipt_chain(session: Session) -> Chain:
    """The chain of a session's receipts, recomputed.

    A receipt that cannot be read keeps the error that the imported file stated, and so does one that scafld
    itself, which knew the trusted keys, rejected.
    """
    stated = session.origin.ledger_error if session.origin else ""
    chain = Chain()
    for position, entry in enumerate(session.entries, start=1):
        extras = extras_of(entry)
        if not (entry.type == "receipt" and entry.output) and not extras.get("receipt_digest"):
            continue
        link = _link(position, entry, extras, chain.head, stated)
        if not link.digest and not link.error:
            continue
        chain.links.append(link)
        if link.error:
            chain.error = link.error
        else:
            chain.head = link.expected
    return chain


def _link(position: int, entry: Entry, extras: dict[str, Any], head: str, stated: str) -> Link:
    link = Link(position)
    link.digest = extras.get("receipt_digest", "").strip(BLANK)
    said = extras.get("ledger_head", "").strip(BLANK)
    if entry.type == "receipt" and not is_blank(entry.output):
        try:
            link.receipt = open_receipt(entry.output, closed=bool(stated))
        except InputError as error:
            link.error = stated or f"invalid receipt entry: {error}"
            return link
        if stated and extras.get("trust_status") == "rejected":
            link.error = _REJECTED + extras.get("trust_reason", "")
            return link
        link.digest = link.receipt.digest
        said = said or link.receipt.body["ledger_head"]
    if not link.digest:
        return link
    link.expected = next_head(head, link.digest)
    if said and said != link.expected:
        link.error = MISMATCH
    return link
