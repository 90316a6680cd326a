// Verifies a tallystick bundle without tallystick: no dependencies, no network. Written from docs/formats.md.
//
// In a page or a program: `await verifyBundle(bytes, { keys, keyFile, notBefore, requireSignature })`, which returns what
// the bundle shows or throws a BundleError. `bytes` is a Uint8Array or a string. `keys` is a list of VKEYs, `keyFile` the
// contents of a file of them or of a C2SP tlog-policy, `notBefore` a time or the text of a signed note that you kept.
// `verifyCheckpoint` and `verifyNote` say in the same way who signed a ledger's checkpoint, or any signed note.

const USAGE = `usage: node notch-verify.mjs FILE [--key VKEY]… [--keys FILE] [--not-before TIME|CHECKPOINT] [--require-signature]

Verify a bundle of tallystick, and print what it shows as JSON.

  --key VKEY           a key that may have signed it; behind a retired one stands " until NUMBER"
  --keys FILE          such keys, a line each, or a C2SP tlog-policy
  --not-before TIME    it must be as of this time or later: 2026-11-24T10:35:05Z
  --not-before FILE    it must extend the signed checkpoint in this file
  --require-signature  fail if no key is given to check its signature with
  -h, --help           show this

Exit codes: 0 it verifies, 1 a check on it fails, 2 bad usage or no bundle, 3 evidence in it was changed,
4 a later version wrote it.`;

const LINE_LIMIT = 4 << 20;
const RECORD_LIMIT = 65535;
const NOTE_LIMIT = 1 << 20;
const CHECKPOINT_LIMIT = 1 << 16;
const POLICY_LIMIT = 1 << 20;
const KEY_LIMIT = 4096;
const TASK_LIMIT = 512;
const MOST_SIGNATURES = 100;
const PARTS = ["text", "details", "output"];
const CHUNK = 1 << 20;
const INLINE = 64 * 1024;
const MOST = 2n ** 53n; // counts beyond it are not read the same everywhere
const WIDE = 2n ** 63n;

export class BundleError extends Error {
  constructor(code, what) {
    super(what);
    this.code = code;
  }
}
const malformed = (what) => new BundleError(2, what);
const tampered = (what) => new BundleError(3, what);
const failed = (what) => new BundleError(1, what);
const closed = () => new BundleError(4, "a later version wrote to this session, so this one gives no verdict");

// --- bytes and text

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const LONE_SURROGATE = /\p{Surrogate}/u;

function decode(bytes, what) {
  try {
    return decoder.decode(bytes);
  } catch {
    throw malformed(`${what} is not UTF-8`);
  }
}

function asText(given, what) {
  if (typeof given !== "string") return decode(given, what);
  if (LONE_SURROGATE.test(given)) throw malformed(`${what} is not valid Unicode`);
  return given;
}

const asBytes = (given) => (typeof given === "string" ? encoder.encode(given) : given);
const sizeOf = (text) => encoder.encode(text).length;

function latin1(bytes) {
  let text = "";
  for (let start = 0; start < bytes.length; start += 8192) {
    text += String.fromCharCode(...bytes.subarray(start, start + 8192));
  }
  return text;
}

const fromLatin1 = (text) => Uint8Array.from(text, (char) => char.charCodeAt(0));

function concat(...parts) {
  const all = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let place = 0;
  for (const part of parts) {
    all.set(part, place);
    place += part.length;
  }
  return all;
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

function fromHex(text, what) {
  if (typeof text !== "string" || !/^([0-9a-f]{2})*$/.test(text)) throw malformed(`${what} is not hex`);
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

const toBase64 = (bytes) =>
  typeof Buffer !== "undefined" ? Buffer.from(bytes).toString("base64") : btoa(latin1(bytes));

function fromBase64(text, what) {
  let bytes = null;
  try {
    if (typeof text === "string") {
      bytes = typeof Buffer !== "undefined" ? new Uint8Array(Buffer.from(text, "base64")) : fromLatin1(atob(text));
    }
  } catch {
    bytes = null;
  }
  if (bytes === null || toBase64(bytes) !== text) throw malformed(`${what} is not canonical base64`);
  return bytes;
}

const same = (one, other) => one.length === other.length && one.every((byte, place) => byte === other[place]);

function hash(bytes, what) {
  if (bytes.length !== 32) throw malformed(`${what} is not 32 bytes`);
  return bytes;
}

const isDigest = (text) => /^[0-9a-f]{64}$/.test(text);

async function sha256(bytes) {
  return new Uint8Array(await globalThis.crypto.subtle.digest("SHA-256", bytes));
}

function be64(number) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(number));
  return bytes;
}

// The ASCII decimal of C2SP formats: below 2^64, without leading zeroes.
function decimal(text, what) {
  if (!/^(0|[1-9]\d{0,19})$/.test(text ?? "") || BigInt(text) >= 2n ** 64n) throw malformed(`${what} is no number`);
  return BigInt(text);
}

// A line is spelled as JSON.stringify spells it, so that a number beyond 2^53 was told apart from its neighbours before.
function count(value, what) {
  if (!Number.isInteger(value) || value < 0 || BigInt(value) > MOST || Object.is(value, -0)) {
    throw malformed(`${what} is no count`);
  }
  return value;
}

const TIME = /^(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z$/;
const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function isTime(text) {
  const match = TIME.exec(text);
  if (!match) return false;
  const [year, month, day] = match.slice(1, 4).map(Number);
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return year > 0 && month > 0 && day > 0 && day <= (month === 2 && !leap ? 28 : (DAYS[month - 1] ?? 0));
}

// --- the RFC 6962 tree

const leafHash = (record) => sha256(concat(Uint8Array.of(0), record));
const nodeHash = (left, right) => sha256(concat(Uint8Array.of(1), left, right));

class Tree {
  size = 0;
  edge = [];

  async append(record) {
    let node = await leafHash(record);
    for (let bits = this.size; bits % 2 === 1; bits = Math.floor(bits / 2)) node = await nodeHash(this.edge.pop(), node);
    this.edge.push(node);
    this.size += 1;
  }

  async root() {
    let root = this.edge[this.edge.length - 1];
    for (let place = this.edge.length - 2; place >= 0; place -= 1) root = await nodeHash(this.edge[place], root);
    return root;
  }
}

// RFC 9162 section 2.1.3.2
async function rootFromInclusion(leaf, index, size, path) {
  let node = leaf;
  let first = index;
  let last = size - 1n;
  for (const sibling of path) {
    if (last === 0n) throw malformed("the inclusion proof is too long");
    if (first % 2n === 1n || first === last) {
      node = await nodeHash(sibling, node);
      while (first % 2n === 0n && first !== 0n) {
        first /= 2n;
        last /= 2n;
      }
    } else {
      node = await nodeHash(node, sibling);
    }
    first /= 2n;
    last /= 2n;
  }
  if (last !== 0n) throw malformed("the inclusion proof is too short");
  return node;
}

// RFC 9162 section 2.1.4.2
async function verifyConsistency(oldSize, oldRoot, size, root, path) {
  if (oldSize > size) throw malformed("the older checkpoint is not of a shorter log");
  if (oldSize === size) {
    if (path.length) throw malformed("the consistency proof between equal sizes must be empty");
    if (!same(oldRoot, root)) throw failed(`two roots are claimed for checkpoint ${size}`);
    return;
  }
  const isPower = (oldSize & (oldSize - 1n)) === 0n;
  const nodes = isPower ? [oldRoot, ...path] : [...path];
  if (!nodes.length) throw malformed("the consistency proof is too short");
  let first = oldSize - 1n;
  let last = size - 1n;
  while (first % 2n === 1n) {
    first /= 2n;
    last /= 2n;
  }
  let before = nodes[0];
  let after = nodes[0];
  for (const node of nodes.slice(1)) {
    if (last === 0n) throw malformed("the consistency proof is too long");
    if (first % 2n === 1n || first === last) {
      before = await nodeHash(node, before);
      after = await nodeHash(node, after);
      while (first % 2n === 0n && first !== 0n) {
        first /= 2n;
        last /= 2n;
      }
    } else {
      after = await nodeHash(after, node);
    }
    first /= 2n;
    last /= 2n;
  }
  if (last !== 0n) throw malformed("the consistency proof is too short");
  if (!same(before, oldRoot) || !same(after, root)) throw failed("the log does not extend the older checkpoint");
}

// --- the head map

function parseMap(map) {
  exactly(map, ["siblings", ...(has(map, "other") ? ["other"] : [])]);
  if (!Array.isArray(map.siblings) || map.siblings.length > 256) throw malformed("the map proof has no siblings");
  const siblings = map.siblings.map((sibling) => hash(fromHex(sibling, "a sibling"), "a sibling"));
  if (siblings.length && siblings.at(-1).every((byte) => byte === 0)) throw malformed("the map proof ends beside nothing");
  if (!has(map, "other")) return { siblings, other: null };
  const { key, position, root } = exactly(map.other, ["key", "position", "root"]);
  return {
    siblings,
    other: {
      key: hash(fromHex(key, "the other key"), "the other key"),
      position: count(position, "the other position"),
      root: hash(fromHex(root, "the other root"), "the other root"),
    },
  };
}

const mapLeaf = (key, position, root) => sha256(concat(Uint8Array.of(2), key, be64(position), root));
const bit = (key, depth) => (key[depth >> 3] >> (7 - (depth & 7))) & 1;

async function mapRoot(key, end, siblings) {
  let node = end;
  for (let depth = siblings.length - 1; depth >= 0; depth -= 1) {
    const pair = bit(key, depth) ? [siblings[depth], node] : [node, siblings[depth]];
    node = await sha256(concat(Uint8Array.of(3), ...pair));
  }
  return node;
}

async function verifyPresence(taskId, position, root, map, heads) {
  if (map.other) throw failed("the map proof is about the absence of the task");
  const key = await sha256(encoder.encode(taskId));
  if (!same(await mapRoot(key, await mapLeaf(key, position, root), map.siblings), heads)) {
    throw failed("the map of the checkpoint does not hold this head of the task");
  }
}

async function verifyAbsence(taskId, map, heads) {
  const key = await sha256(encoder.encode(taskId));
  let end = new Uint8Array(32);
  if (map.other) {
    if (same(map.other.key, key)) throw failed("the map of the checkpoint holds a head of the task");
    for (let depth = 0; depth < map.siblings.length; depth += 1) {
      if (bit(map.other.key, depth) !== bit(key, depth)) throw failed("the other task does not stand on the path of this one");
    }
    end = await mapLeaf(map.other.key, map.other.position, map.other.root);
  }
  if (!same(await mapRoot(key, end, map.siblings), heads)) {
    throw failed("the map of the checkpoint does not show the absence of the task");
  }
}

// --- C2SP signed notes, checkpoints, tlog-proofs

// Unicode spaces are those with the property White_Space: not what \s stands for.
const NAME = /^[^\p{White_Space}+]+$/u;
const CONTROL = /[\u0000-\u0009\u000b-\u001f]/;

function noteText(given, what, limit) {
  const text = asText(given, what);
  if (CONTROL.test(text)) throw malformed(`${what} has a control character`);
  if (sizeOf(text) > limit) throw malformed(`${what} is too long`);
  return text;
}

function parseNote(given) {
  const text = noteText(given, "the note", NOTE_LIMIT);
  const end = text.lastIndexOf("\n\n");
  if (end < 0 || end + 2 >= text.length || !text.endsWith("\n")) throw malformed("this is no signed note");
  const lines = text.slice(end + 2, -1).split("\n");
  if (lines.length > MOST_SIGNATURES) throw malformed(`the note has over ${MOST_SIGNATURES} signatures`);
  return { text: text.slice(0, end + 1), signatures: lines.map(parseSignature) };
}

function parseSignature(line) {
  const [dash, name, encoded, ...more] = line.split(" ");
  if (dash !== "\u2014" || encoded === undefined || more.length || !NAME.test(name)) {
    throw malformed("a signature line is malformed");
  }
  const blob = fromBase64(encoded, "a signature");
  if (blob.length < 5) throw malformed("a signature is too short");
  return { name, keyId: hex(blob.subarray(0, 4)), signature: blob.subarray(4) };
}

function parseCheckpoint(text) {
  const lines = noteText(text, "the checkpoint", CHECKPOINT_LIMIT).split("\n");
  if (lines.pop() !== "" || lines.length < 3) throw malformed("the note holds no checkpoint");
  const [origin, size, root, ...extensions] = lines;
  if (!origin || extensions.includes("")) throw malformed("the checkpoint has an empty line");
  const found = {
    origin,
    size: decimal(size, "the tree size"),
    root: hash(fromBase64(root, "the root"), "the root"),
    extensions,
  };
  if (found.size === 0n && hex(found.root) !== EMPTY_ROOT) throw malformed("the root is not that of an empty tree");
  return found;
}

const EMPTY_ROOT = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"; // SHA-256 of nothing

// Which epoch of the ledger's log an origin names; 0 if it is another log's.
function epochOf(origin, ledger) {
  const base = `tallystick/${ledger}`;
  if (origin === base) return 1;
  const epoch = origin.startsWith(base) ? Number(/^\/([1-9]\d{0,8})$/.exec(origin.slice(base.length))?.[1] ?? 0) : 0;
  return epoch === 1 ? 0 : epoch;
}

function requireOwn(checkpoint, ledger) {
  if (!epochOf(checkpoint.origin, ledger)) throw failed("the checkpoint is that of another ledger");
  if (checkpoint.extensions.length) {
    throw failed("the checkpoint has lines behind its root, and those of ledgers have none");
  }
}

function requireCounted({ size }) {
  if (size > MOST) throw malformed(`no ledger has ${size} checkpoints`);
}

function parseTlogProof(given) {
  const text = noteText(given, "the tlog-proof", 2 * NOTE_LIMIT);
  const end = text.indexOf("\n\n");
  const [header, index, ...lines] = text.slice(0, Math.max(end, 0)).split("\n");
  if (end < 0 || header !== "c2sp.org/tlog-proof@v1") throw malformed("this is no tlog-proof");
  if (!index?.startsWith("index ")) throw malformed("the tlog-proof states no index");
  if (lines.length > 64) throw malformed("the inclusion proof is too long");
  const path = lines.map((line) => hash(fromBase64(line, "a hash"), "a hash"));
  return { index: decimal(index.slice(6), "the index"), path, note: parseNote(text.slice(end + 2)) };
}

const LEAF =
  /^\{"v":1,"kind":"checkpoint","at":"([^"]*)","tasks":(0|[1-9]\d{0,15}),"heads":"([0-9a-f]{64})"(?:,"epoch":([1-9]\d{0,8}),"after":\{"origin":"(tallystick\/[0-9a-f]{32}(?:\/[1-9]\d{0,8})?)","size":([1-9]\d{0,15}),"root":"[0-9a-f]{64}"\})?\}$/;

function parseLeaf(text) {
  const match = LEAF.exec(text);
  if (!match) throw malformed("the leaf is not that of a checkpoint");
  const [, at, tasks, heads, epoch, after, size] = match;
  if (!isTime(at)) throw malformed("the time of the checkpoint does not exist");
  if (BigInt(tasks) > MOST || BigInt(size ?? 0) > MOST) throw malformed("a number in the leaf is too large");
  if (epoch === "1") throw malformed("the leaf begins the first epoch after another");
  return { at, tasks: Number(tasks), heads: fromHex(heads, "heads"), epoch: Number(epoch ?? 0), after };
}

// --- keys

const ED25519 = 1;
const ED25519_COSIGNATURE = 4;
const ML_DSA_44 = 6;
const KEY_SIZES = { [ED25519]: 32, [ED25519_COSIGNATURE]: 32, [ML_DSA_44]: 1312 };
const SIGNATURE_SIZES = { [ED25519]: 64, [ED25519_COSIGNATURE]: 64, [ML_DSA_44]: 2420 };

async function makeKey(name, type, publicKey) {
  const id = await sha256(concat(encoder.encode(`${name}\n`), Uint8Array.of(type), publicKey));
  return { name, type, public: publicKey, keyId: hex(id.subarray(0, 4)) };
}

const sameKey = (one, other) => one.name === other.name && one.type === other.type && same(one.public, other.public);

async function parseVkey(given) {
  const text = noteText(given, "the key", KEY_LIMIT);
  const [name, keyId, ...encoded] = text.split("+");
  if (!NAME.test(name) || !/^[0-9a-f]{8}$/.test(keyId ?? "") || !encoded.length) throw malformed("this is no vkey");
  const material = fromBase64(encoded.join("+"), "the vkey");
  const [type, publicKey] = [material[0], material.subarray(1)];
  if (!(type in KEY_SIZES)) throw malformed(`the key of ${name} is of an unknown type`);
  if (publicKey.length !== KEY_SIZES[type]) throw malformed(`the public key of ${name} has not the length of its type`);
  if (type !== ML_DSA_44 && isWeak(publicKey)) throw malformed(`the public key of ${name} is one that anybody can sign for`);
  if (type === ML_DSA_44 && sizeOf(name) > 255) throw malformed("the name of an ML-DSA-44 key is too long");
  const key = await makeKey(name, type, publicKey);
  if (key.keyId !== keyId) throw malformed("the vkey's id is not that of its key");
  return key;
}

// An Ed25519 key that is not canonical, or of small order: signatures under it prove nothing.
const PRIME = 2n ** 255n - 19n;

function power(base, exponent) {
  let result = 1n;
  for (let factor = base, rest = exponent; rest > 0n; rest >>= 1n, factor = (factor * factor) % PRIME) {
    if (rest & 1n) result = (result * factor) % PRIME;
  }
  return result;
}

const CURVE_D = (((PRIME - 121665n) * power(121666n, PRIME - 2n)) % PRIME + PRIME) % PRIME;

function isWeak(publicKey) {
  const y = BigInt(`0x${hex(publicKey.slice().reverse())}`) & (2n ** 255n - 1n);
  if (y >= PRIME || y === 0n || y === 1n || y === PRIME - 1n) return true;
  return (CURVE_D * power(y, 4n) + 2n * y * y - 1n) % PRIME === 0n;
}

const SPACES = /[ \t\n\r\v\f]+/;

// `VKEY`, or `VKEY until NUMBER` for one that retired.
async function parseTrusted(given) {
  const [vkey, word, number, ...more] = asText(given, "the key").split(SPACES).filter((item) => item);
  if (vkey === undefined) throw malformed("this is no vkey");
  const key = await parseVkey(vkey);
  if (key.type === ED25519_COSIGNATURE) throw malformed(`the key of ${key.name} is a witness's`);
  if (word === undefined) return { key, until: null };
  if (word !== "until" || more.length) throw malformed("after a key comes until and a number");
  return { key, until: decimal(number, "the checkpoint it retired at") };
}

// A file of keys or a tlog-policy. Lines are octets: only what has to be Unicode is decoded.
async function parseKeyFile(given) {
  const text = latin1(asBytes(given));
  const lines = text.split("\n").map((line) => line.split(SPACES).filter((item) => item));
  const filled = lines.filter((items) => items.length && !items[0].startsWith("#"));
  if (!filled.length) throw malformed("the file names no key");
  if (["log", "witness", "group", "quorum"].includes(filled[0][0])) return { keys: [], policy: await parsePolicy(text) };
  const keys = [];
  for (const items of filled) keys.push(await parseTrusted(decode(fromLatin1(items.join(" ")), "a key")));
  return { keys, policy: null };
}

async function parsePolicy(text) {
  if (text.length > POLICY_LIMIT) throw malformed("the policy is too long");
  if (/[^\t\n\u0020-\u007e\u0080-\u00ff]/.test(text)) throw malformed("the policy has a control character");
  const policy = { logs: [], witnesses: new Map(), groups: new Map(), quorum: null };
  const members = new Set();
  for (const line of text.split("\n")) {
    const [word, ...values] = line.split(/[ \t]+/).filter((item) => item);
    if (word === undefined || word.startsWith("#")) continue;
    if (word === "log" && (values.length === 1 || values.length === 2)) await addLog(policy, values[0]);
    else if (word === "witness" && (values.length === 2 || values.length === 3)) await addWitness(policy, values);
    else if (word === "group" && values.length >= 3) addGroup(policy, values, members);
    else if (word === "quorum" && values.length === 1) setQuorum(policy, values[0]);
    else throw malformed("a line of the policy is no definition");
  }
  if (policy.quorum === null) throw malformed("the policy has no quorum line");
  return policy;
}

const isNamed = (policy, name) => policy.witnesses.has(name) || policy.groups.has(name);
const keysOf = (policy) => [...policy.logs, ...policy.witnesses.values()];

async function policyKey(policy, vkey, types, what) {
  const key = await parseVkey(decode(fromLatin1(vkey), "a vkey"));
  if (!types.includes(key.type)) throw malformed(`the key of ${key.name} is not that of a ${what}`);
  if (keysOf(policy).some((other) => same(other.public, key.public))) throw malformed("the policy names a key twice");
  return key;
}

async function addLog(policy, vkey) {
  policy.logs.push(await policyKey(policy, vkey, [ED25519, ML_DSA_44], "log"));
}

async function addWitness(policy, [name, vkey]) {
  const key = await policyKey(policy, vkey, [ED25519_COSIGNATURE, ML_DSA_44], "witness");
  if (name === "none" || isNamed(policy, name)) throw malformed("a name in the policy is taken");
  policy.witnesses.set(name, key);
}

function addGroup(policy, [name, needed, ...members], taken) {
  const threshold = needed === "any" ? 1 : needed === "all" ? members.length : Number(/^[1-9]\d{0,8}$/.exec(needed)?.[0] ?? 0);
  if (threshold < 1 || threshold > members.length) throw malformed("a group needs all, any or a number of its members");
  if (name === "none" || isNamed(policy, name)) throw malformed("a name in the policy is taken");
  for (const member of members) {
    if (!isNamed(policy, member)) throw malformed("a group has a member that is not defined before it");
    if (taken.has(member)) throw malformed("a name is already a member of a group");
    taken.add(member);
  }
  policy.groups.set(name, { threshold, members });
}

function setQuorum(policy, name) {
  if (policy.quorum !== null) throw malformed("the quorum is defined twice");
  if (name !== "none" && !isNamed(policy, name)) throw malformed("the quorum is not defined before it");
  policy.quorum = name;
}

function isQuorum(policy, cosigned) {
  if (policy.quorum === "none") return true;
  const satisfied = new Set(cosigned);
  for (const [name, { threshold, members }] of policy.groups) {
    if (members.filter((member) => satisfied.has(member)).length >= threshold) satisfied.add(name);
  }
  return satisfied.has(policy.quorum);
}

// --- signatures

// The keys that signed the note. Each signature whose name and id are a key's is verified, all others are ignored.
async function signersOf(note, keys) {
  const known = new Map();
  for (const key of keys) {
    const identity = `${key.keyId} ${key.name}`;
    if (known.has(identity) && !sameKey(known.get(identity), key)) throw malformed("two keys cannot be told apart");
    known.set(identity, key);
  }
  const found = new Set();
  for (const { name, keyId, signature } of note.signatures) {
    const key = known.get(`${keyId} ${name}`);
    if (key === undefined) continue;
    if (!(await isSigned(key, note.text, signature))) throw failed(`the signature by ${name} does not fit the text`);
    found.add(key);
  }
  return keys.filter((key) => [...found].some((one) => sameKey(one, key)));
}

async function isSigned(key, text, signature) {
  const timed = key.type !== ED25519;
  const raw = timed ? signature.subarray(8) : signature;
  if (raw.length !== SIGNATURE_SIZES[key.type]) return false;
  if (!timed) return verifyEd25519(key.public, raw, encoder.encode(text));
  const timestamp = new DataView(signature.buffer, signature.byteOffset, 8).getBigUint64(0);
  if (timestamp >= WIDE) return false;
  const { origin, size, root } = parseCheckpoint(text);
  if (key.type === ED25519_COSIGNATURE) {
    return verifyEd25519(key.public, raw, encoder.encode(`cosignature/v1\ntime ${timestamp}\n${text}`));
  }
  const about = [opaque(key.name), signature.subarray(0, 8), opaque(origin), be64(0), be64(size), root];
  return verifyMlDsa44(key.public, raw, concat(encoder.encode("subtree/v1\n\0"), ...about));
}

function opaque(text) {
  const bytes = encoder.encode(text);
  if (bytes.length < 1 || bytes.length > 255) throw malformed("ML-DSA-44 cosignatures need names of 1 to 255 bytes");
  return concat(Uint8Array.of(bytes.length), bytes);
}

async function verifyEd25519(publicKey, signature, message) {
  const { subtle } = globalThis.crypto;
  const key = await subtle.importKey("raw", publicKey, { name: "Ed25519" }, false, ["verify"]);
  return subtle.verify({ name: "Ed25519" }, key, signature, message);
}

async function verifyMlDsa44(publicKey, signature, message) {
  const { subtle } = globalThis.crypto;
  let key;
  try {
    key = await subtle.importKey("raw-public", publicKey, { name: "ML-DSA-44" }, false, ["verify"]);
  } catch {
    throw malformed("this platform cannot check signatures by ML-DSA-44 keys: Node 24.7 and later can");
  }
  return subtle.verify({ name: "ML-DSA-44" }, key, signature, message);
}

// Who signed the ledger's checkpoint of those who may: `Trusted`, a policy, or keys beside a policy without logs.
async function requireSigned(note, checkpoint, ledger, { keys, policy }) {
  let signers = [];
  if (keys.length) signers = await requireKey(note, checkpoint, ledger, keys);
  if (policy) {
    if (!keys.length && !policy.logs.length) throw malformed("the policy names no log, so no checkpoint can be checked by it");
    const logs = policy.logs.filter(() => !keys.length);
    const signed = await signersOf(note, [...logs, ...policy.witnesses.values()]);
    if (!keys.length) {
      signers = logs.filter((key) => signed.includes(key) && key.name === checkpoint.origin);
      if (!signers.length) throw new Unsigned("no log of the policy signed the checkpoint");
    }
    const cosigned = [...policy.witnesses].filter(([, key]) => signed.includes(key)).map(([name]) => name);
    if (!isQuorum(policy, cosigned)) throw new Unsigned("the quorum of the policy did not cosign the checkpoint");
  }
  return signers.map((key) => `${key.name}+${key.keyId}`);
}

class Unsigned extends BundleError {
  constructor(what) {
    super(1, what);
  }
}

// A key that bears the name of the first epoch counts in every epoch, with its id for that epoch's name.
async function requireKey(note, checkpoint, ledger, trusted) {
  const base = epochOf(checkpoint.origin, ledger) ? `tallystick/${ledger}` : null;
  const named = [];
  for (const { key, until } of trusted) {
    if (key.name !== checkpoint.origin && key.name !== base) continue;
    named.push({ key: await makeKey(checkpoint.origin, key.type, key.public), until });
  }
  const signed = await signersOf(note, named.map(({ key }) => key));
  if (!signed.length) throw new Unsigned("none of the keys given signed the checkpoint");
  const counting = [];
  for (const key of signed) {
    const retired = named.some((one) => sameKey(one.key, key) && one.until !== null && checkpoint.size > one.until);
    if (!retired && !counting.some((other) => sameKey(other, key))) counting.push(key);
  }
  if (!counting.length) throw failed("the key that signed the checkpoint had retired before");
  return counting;
}

// --- lines

const has = (fields, name) => fields !== null && typeof fields === "object" && Object.hasOwn(fields, name);

function exactly(fields, names) {
  if (fields === null || typeof fields !== "object" || Array.isArray(fields)) throw malformed("this is no JSON object");
  const found = Object.keys(fields);
  if (found.length !== names.length || names.some((name, place) => found[place] !== name)) {
    throw malformed(`here stands ${names.join(", ")}, in this order`);
  }
  return fields;
}

class Lines {
  constructor(bytes) {
    this.bytes = bytes;
    this.place = 0;
    this.line = "";
  }

  next() {
    if (this.place >= this.bytes.length) throw malformed("it ends too early");
    const end = this.bytes.indexOf(0x0a, this.place);
    if (end < 0) throw malformed("it ends within a line");
    if (end - this.place >= LINE_LIMIT) throw malformed("a line is too long");
    this.line = decode(this.bytes.subarray(this.place, end), "a line");
    this.place = end + 1;
    return parseLine(this.line);
  }

  // A line of bytes and counts has neither white space nor escapes.
  requirePlain() {
    if (/[ \\\r\t]/.test(this.line)) throw malformed("a line is not compact JSON");
  }

  end() {
    if (this.place !== this.bytes.length) throw malformed("something stands behind the end");
  }
}

// JSON.parse takes the last of keys that stand twice; written again without white space the text must be the same.
function parseLine(line) {
  let fields;
  try {
    fields = JSON.parse(line);
  } catch {
    throw malformed("a line is not JSON");
  }
  if (fields === null || typeof fields !== "object" || Array.isArray(fields)) throw malformed("a line is no JSON object");
  if (JSON.stringify(fields) !== line) throw malformed("a line is not compact JSON with each key once");
  if (line.includes("\\u") && hasLoneSurrogate(fields)) throw malformed("a line is not valid Unicode");
  return fields;
}

function hasLoneSurrogate(value) {
  if (typeof value === "string") return LONE_SURROGATE.test(value);
  if (value === null || typeof value !== "object") return false;
  return Object.entries(value).some(([key, item]) => LONE_SURROGATE.test(key) || hasLoneSurrogate(item));
}

// --- records: what was read is written again in the one spelling, and must give the same bytes

const ENTRY = ["id", "type", "recorded_at", "criterion_id", "phase_id", "status", "provider", "exit_code", "erases", ...PARTS, "output_size"];
const ORIGIN = ["format", "dialect", "schema_version", "updated_at", "entries", "ledger_error"];
const NUMBERS = ["exit_code", "output_size", "schema_version"];

// Every version begins a record so. What else a later one writes, or another kind of record says, nobody knows here.
const BEGINNING = /^\{"v":([1-9]\d{0,8}),"kind":"([ !#-[\]-~]{1,64})"/;

function parseRecord(bytes, kind) {
  const [, version, found] = BEGINNING.exec(latin1(bytes.subarray(0, 128))) ?? [];
  if (version !== undefined && (version !== "1" || found !== kind)) throw closed();
  if (bytes.length > RECORD_LIMIT) throw malformed("a record is too long");
  const text = decode(bytes, "a record");
  let record;
  try {
    record = JSON.parse(text);
  } catch {
    throw malformed("a record is not JSON");
  }
  const spelled = kind === "entry" ? spelledEntry(record, text) : spelledHeader(record, text);
  if (spelled !== text) throw malformed("a record is not in its one spelling");
  if (!isTime(record.at)) throw malformed("the time of a record does not exist");
  return record;
}

function quoted(value) {
  if (typeof value !== "string" || LONE_SURROGATE.test(value)) throw malformed("a field of a record is no text");
  return JSON.stringify(value);
}

// Numbers of 64 bits are compared as they stand in the record: they are too large for JSON.parse.
function digitsOf(name, text) {
  const digits = new RegExp(`"${name}":(-?[1-9]\\d{0,18})[,}]`).exec(text)?.[1];
  const number = BigInt(digits ?? 0);
  if (number === 0n || number < -WIDE || number >= WIDE) throw malformed(`${name} is no number of 64 bits`);
  if (name === "output_size" && number < 0n) throw malformed("the output is less than nothing");
  return digits;
}

function spelledFields(fields, names, text) {
  const parts = [];
  for (const name of names.filter((one) => has(fields, one))) {
    const value = fields[name];
    if (name === "erases") parts.push(`"erases":[${fields.erasedAt},${JSON.stringify(value[1])}]`);
    else if (NUMBERS.includes(name)) parts.push(`"${name}":${digitsOf(name, text)}`);
    else if (value === "") throw malformed(`${name} is empty`);
    else parts.push(`"${name}":${quoted(value)}`);
  }
  return parts;
}

function spelledEntry(record, text) {
  const start = `{"v":1,"kind":"entry","at":${quoted(record?.at)}`;
  if (has(record, "output") !== has(record, "output_size")) throw malformed("output_size is not that of an output");
  if (has(record, "erases")) parseErasure(record, text);
  return `${[start, ...spelledFields(record, ENTRY, text)].join(",")}}`;
}

function parseErasure(record, text) {
  const position = BigInt(/"erases":\[([1-9]\d*),/.exec(text)?.[1] ?? 0);
  const [, parts, ...more] = Array.isArray(record.erases) ? record.erases : [];
  const named = Array.isArray(parts) ? new Set(parts) : new Set();
  if (position < 1n || more.length || !named.size || named.size !== parts.length || parts.some((part) => !PARTS.includes(part))) {
    throw malformed("it erases what it cannot");
  }
  record.erasedAt = position;
}

function spelledHeader(header, text) {
  const texts = ["at", "ledger", "task_id", "created_at"].map((name) => `"${name}":${quoted(header?.[name])}`);
  if (header.rules !== 1 && header.rules !== 2) throw malformed("the header names rules that do not exist");
  if (!/^[0-9a-f]{32}$/.test(header.ledger)) throw malformed("the ledger in the header is not 32 hex digits");
  const parts = ['{"v":1,"kind":"session"', ...texts, `"rules":${header.rules}`];
  if (has(header, "origin")) parts.push(`"origin":{${spelledFields(header.origin, ORIGIN, text).join(",")}}`);
  return `${parts.join(",")}}`;
}

// --- the bundle

const OPTIONS = ["keys", "keyFile", "notBefore", "requireSignature"];

export async function verifyBundle(given, options = {}) {
  return guarded(async () => {
    const odd = Object.keys(options).find((name) => !OPTIONS.includes(name));
    if (odd !== undefined) throw malformed(`there is no option ${odd}: there are ${OPTIONS.join(", ")}`);
    const bytes = typeof given === "string" ? encoder.encode(asText(given, "it")) : given;
    return verify(new Lines(bytes), await readOptions(options));
  });
}

// Who signed a ledger's checkpoint, as `verifyBundle` finds out for the one in a bundle.
export async function verifyCheckpoint(given, ledger, options = {}) {
  return guarded(async () => {
    const { trusted } = await readOptions(options);
    const note = parseNote(given);
    const checkpoint = parseCheckpoint(note.text);
    if (!epochOf(checkpoint.origin, ledger) || checkpoint.size === 0n) throw malformed("this is no checkpoint of this ledger");
    requireCounted(checkpoint);
    const signers = trusted ? await requireSigned(note, checkpoint, ledger, trusted) : [];
    return { origin: checkpoint.origin, number: Number(checkpoint.size), root: hex(checkpoint.root), signers };
  });
}

// The names and ids of these keys that signed any C2SP note.
export async function verifyNote(given, vkeys) {
  return guarded(async () => {
    const note = parseNote(given);
    const keys = [];
    for (const vkey of vkeys) keys.push(await parseVkey(vkey));
    const signed = await signersOf(note, keys);
    if (!signed.length) throw new Unsigned("none of the keys given signed the note");
    return signed.map((key) => `${key.name}+${key.keyId}`);
  });
}

async function guarded(work) {
  try {
    return await work();
  } catch (error) {
    throw error instanceof BundleError ? error : malformed(`it is malformed: ${error.message}`);
  }
}

async function readOptions({ keys = [], keyFile = null, notBefore = "", requireSignature = false }) {
  if (!Array.isArray(keys)) throw malformed("keys is a list of vkeys");
  const found = [];
  for (const vkey of keys) found.push(await parseTrusted(vkey));
  const file = keyFile === null ? { keys: [], policy: null } : await parseKeyFile(keyFile);
  if (found.length && file.policy?.logs.length) throw malformed("no key can be given beside a policy that names logs");
  const trusted = { keys: [...found, ...file.keys], policy: file.policy };
  const given = trusted.keys.length > 0 || trusted.policy !== null;
  if (requireSignature && !given) throw malformed("no key was given to check its signature with");
  return { trusted: given ? trusted : null, bound: notBefore === "" ? null : parseBound(notBefore) };
}

// What the bundle must not be older than: a time, or a checkpoint that was kept.
function parseBound(given) {
  const text = asText(given, "the bound");
  if (text.includes("\n")) return { kept: parseCheckpoint(parseNote(text).text) };
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z$/.exec(text);
  const time = match ? `${match[1]}.${(match[2] ?? "").padEnd(6, "0")}Z` : "";
  if (!isTime(time)) throw malformed("this is neither a signed checkpoint nor a time in UTC like 2026-11-24T10:35:05Z");
  return { time };
}

async function verify(lines, { trusted, bound }) {
  const first = lines.next();
  if (!has(first, "bundle")) throw malformed("this is no bundle");
  if (first.bundle !== 1) throw malformed("a later version wrote it");
  const absent = has(first, "absent");
  exactly(first, ["bundle", "ledger", "task_id", ...(absent ? ["absent"] : ["position", "root"])]);
  if (typeof first.ledger !== "string" || !/^[0-9a-f]{32}$/.test(first.ledger)) throw malformed("the ledger is not 32 hex digits");
  requireTask(first.task_id);
  if (absent && first.absent !== true) throw malformed("absent can only be true");
  const last = absent ? 0 : count(first.position, "the position");
  if (!absent && (typeof first.root !== "string" || !isDigest(first.root))) throw malformed("the root is no hash");
  let line = lines.next();
  const proof = absent || has(line, "proof") ? parseProof(line, absent) : null;
  if (proof && !absent) line = lines.next();
  const session = absent ? { erased: 0, omitted: 0 } : await readSession(line, first, proof, lines);
  if (exactly(lines.next(), ["end"]).end !== last) throw malformed("the last line names another position");
  lines.end();
  if (!absent) await session.finish();
  const checkpoint = proof ? await verifyProof(proof, first) : null;
  return {
    ledger_id: first.ledger,
    task_id: first.task_id,
    position: absent ? null : first.position,
    root: absent ? null : first.root,
    erased: session.erased,
    omitted: session.omitted,
    checkpoint: await judge(checkpoint, proof, first, trusted, bound),
  };
}

function requireTask(taskId) {
  if (typeof taskId !== "string" || !taskId || taskId.includes("\0") || sizeOf(taskId) > TASK_LIMIT) {
    throw malformed("the task is not text of 1 to 512 bytes without NUL");
  }
}

async function readSession(line, first, proof, lines) {
  const header = fromBase64(exactly(line, ["session"]).session, "the header");
  const session = parseRecord(header, "session");
  if (session.ledger !== first.ledger || session.task_id !== first.task_id) {
    throw tampered("the header is that of another session");
  }
  const tree = new Tree();
  const take = async (record, position) => {
    await tree.append(record);
    if (proof && proof.position === position && hex(await tree.root()) !== hex(proof.root)) {
      throw tampered(`position ${position}: the history is not the one that the checkpoint is about`);
    }
  };
  await take(header, 0);
  const missing = new Set();
  const erased = new Set();
  const found = { erased: 0, omitted: 0 };
  let at = session.at;
  for (let position = 1; position <= first.position; position += 1) {
    const fields = lines.next();
    if (!has(fields, "record")) throw malformed("there should be a record");
    lines.requirePlain();
    const bytes = fromBase64(fields.record, "the record");
    const record = parseRecord(bytes, "entry");
    exactly(fields, ["record", ...PARTS.filter((part) => has(record, part))]);
    if (record.at < at) throw tampered(`position ${position}: its time is earlier than that before it`);
    at = record.at;
    for (const part of PARTS.filter((one) => has(record, one))) {
      const mark = await readPart(fields[part], part, record[part], position, lines);
      if (mark === "erased") missing.add(`${position} ${part}`);
      if (mark === "omitted") found.omitted += 1;
    }
    if (has(record, "erases")) {
      if (record.type !== "redaction" || record.erasedAt >= BigInt(position)) {
        throw tampered(`position ${position}: it erases what it cannot`);
      }
      for (const part of record.erases[1]) erased.add(`${record.erasedAt} ${part}`);
    }
    await take(bytes, position);
  }
  found.erased = missing.size;
  found.finish = async () => {
    for (const gap of missing) if (!erased.has(gap)) throw tampered(`position ${gap} is missing, and no redaction names it`);
    for (const gap of erased) if (!missing.has(gap)) throw tampered(`position ${gap} is not erased, and a redaction names it`);
    if (hex(await tree.root()) !== first.root) throw tampered("the records do not lead to the head that it names");
  };
  return found;
}

// A part is there, salt and all, and is what the record commits to; or a word says that it is not.
async function readPart(given, part, digest, position, lines) {
  if (typeof given === "string") {
    if (given !== "erased" && given !== "omitted") throw malformed(`${part} has an unknown mark`);
    if (!isDigest(digest)) throw malformed(`${part} has no digest`);
    return given;
  }
  let data;
  if (part === "output" && has(given, "pieces")) {
    exactly(given, ["salt", "pieces"]);
    data = readPieces(given.pieces, lines);
  } else {
    exactly(given, ["salt", "data"]);
    data = fromBase64(given.data, part);
  }
  const salt = fromBase64(given.salt, "the salt");
  if (salt.length !== 16 || !data.length) throw malformed(`${part} has no salt of 16 bytes, or nothing in it`);
  if (hex(await sha256(concat(salt, data))) !== digest) throw tampered(`position ${position}: its ${part} was changed`);
  return "";
}

function readPieces(number, lines) {
  if (count(number, "the number of pieces") < 1 || number > 64) throw malformed("an output has 1 to 64 pieces");
  const pieces = [];
  for (let place = 1; place <= number; place += 1) {
    const piece = fromBase64(exactly(lines.next(), ["piece"]).piece, "a piece");
    if (!piece.length || piece.length > CHUNK || (piece.length !== CHUNK && place < number)) {
      throw malformed("a piece of the output is not 1 MiB");
    }
    pieces.push(piece);
  }
  const data = concat(...pieces);
  if (data.length <= INLINE) throw malformed("an output that short comes in one");
  return data;
}

// --- its proof

function parseProof(line, absent) {
  const { proof } = exactly(line, ["proof"]);
  exactly(proof, [...(absent ? ["absent"] : ["position", "root"]), "leaf", "map", "tlog", ...(has(proof, "since") ? ["since"] : [])]);
  if (absent && proof.absent !== true) throw malformed("absent can only be true");
  if (typeof proof.leaf !== "string" || typeof proof.tlog !== "string") throw malformed("the proof has no leaf or log");
  const tlog = parseTlogProof(proof.tlog);
  const checkpoint = parseCheckpoint(tlog.note.text);
  if (tlog.index !== checkpoint.size - 1n) throw malformed("the log's proof is not about its last leaf");
  return {
    absent,
    position: absent ? null : count(proof.position, "the proof's position"),
    root: absent ? null : hash(fromHex(proof.root, "the root"), "the root"),
    leaf: proof.leaf,
    map: parseMap(proof.map),
    tlog,
    checkpoint,
    since: has(proof, "since") ? parseSince(proof.since) : null,
  };
}

function parseSince(since) {
  exactly(since, ["checkpoint", "consistency"]);
  if (typeof since.checkpoint !== "string") throw malformed("the older checkpoint is no text");
  if (!Array.isArray(since.consistency)) throw malformed("the consistency proof is no list");
  const note = parseNote(since.checkpoint);
  return { note, path: since.consistency.map((node) => hash(fromHex(node, "a hash"), "a hash")) };
}

// All of the proof but who signed it.
async function verifyProof(proof, first) {
  const { checkpoint, tlog } = proof;
  const ledger = first.ledger;
  if (!proof.absent && proof.position > first.position) {
    throw tampered("the checkpoint is about a longer history: entries are missing");
  }
  requireOwn(checkpoint, ledger);
  const leafNode = await leafHash(encoder.encode(proof.leaf));
  const root = await rootFromInclusion(leafNode, tlog.index, checkpoint.size, tlog.path);
  if (!same(root, checkpoint.root)) throw failed("the log of the checkpoint does not hold this leaf");
  const leaf = parseLeaf(proof.leaf);
  if (proof.absent) await verifyAbsence(first.task_id, proof.map, leaf.heads);
  else await verifyPresence(first.task_id, proof.position, proof.root, proof.map, leaf.heads);
  const older = proof.since ? await verifySince(proof.since, checkpoint, ledger) : null;
  requireCounted(checkpoint);
  if (leaf.epoch) {
    const epoch = epochOf(checkpoint.origin, ledger);
    const before = epochOf(leaf.after, ledger);
    if (leaf.epoch !== epoch) throw failed(`its leaf begins epoch ${leaf.epoch}, and the checkpoint is of epoch ${epoch}`);
    if (before < 1 || before >= epoch) throw failed("its leaf begins an epoch after one of another log");
  }
  return { leaf, older };
}

async function verifySince(since, checkpoint, ledger) {
  const older = parseCheckpoint(since.note.text);
  const epoch = epochOf(older.origin, ledger);
  if (!epoch || epoch > epochOf(checkpoint.origin, ledger)) throw failed("the older checkpoint is of another log");
  requireOwn(older, ledger);
  if (older.size === 0n) throw malformed("the older checkpoint is of an empty log, which every log extends");
  await verifyConsistency(older.size, older.root, checkpoint.size, checkpoint.root, since.path);
  return older;
}

// Whether it is signed by whom it should be, covers all of the history, and is as new as it should be.
async function judge(verified, proof, first, trusted, bound) {
  if (!verified) {
    if (trusted || bound) throw failed("it holds no checkpoint");
    return null;
  }
  const { leaf, older } = verified;
  const { checkpoint, tlog } = proof;
  const last = proof.absent ? 0 : first.position;
  const covered = proof.position ?? 0;
  const signers = trusted ? await requireSigned(tlog.note, checkpoint, first.ledger, trusted) : [];
  if (trusted && covered < last) {
    throw failed(`what came after position ${covered} is covered by no signature: anybody could have added it`);
  }
  if (trusted && older) await requireOlderSigned(proof.since.note, older, first.ledger, trusted, bound);
  if (bound?.kept) requireExtends(checkpoint, older, bound.kept, first.ledger);
  if (bound?.time && leaf.at < bound.time) throw failed(`its checkpoint is of ${leaf.at}, before ${bound.time}`);
  return {
    number: Number(checkpoint.size),
    at: leaf.at,
    tasks: leaf.tasks,
    covered,
    newest: covered === last,
    signers,
    since: older ? Number(older.size) : null,
  };
}

// The older checkpoint must be signed as the newer one is, or be the one that was kept.
async function requireOlderSigned(note, older, ledger, trusted, bound) {
  try {
    await requireSigned(note, older, ledger, trusted);
  } catch (error) {
    const kept = bound?.kept;
    const isKept = kept && kept.origin === older.origin && kept.size === older.size && same(kept.root, older.root);
    if (!(error instanceof Unsigned) || !isKept) throw error;
  }
}

function requireExtends(checkpoint, older, kept, ledger) {
  const epoch = epochOf(kept.origin, ledger);
  if (!epoch || epoch > epochOf(checkpoint.origin, ledger)) throw failed("its checkpoint is not of the log of the one kept");
  requireOwn(kept, ledger);
  if (kept.size > checkpoint.size) throw failed("its checkpoint is older than the one kept");
  const proved = kept.size === checkpoint.size ? checkpoint : older;
  if (!proved || proved.size !== kept.size) throw failed(`nothing proves that it extends checkpoint ${kept.size}`);
  if (!same(proved.root, kept.root)) throw failed(`two checkpoints ${kept.size} contradict each other: a fork`);
}

// --- the command

// Whatever cannot be understood is an error: a check that was asked for is never left out.
function parseArguments(args) {
  const found = { files: [], keys: [], help: false, requireSignature: false };
  const words = [...args];
  let onlyFiles = false;
  while (words.length) {
    const word = words.shift();
    const [name, ...rest] = word.split("=");
    if (onlyFiles || !word.startsWith("-") || word === "-") found.files.push(word);
    else if (word === "--") onlyFiles = true;
    else if (word === "-h" || word === "--help") found.help = true;
    else if (word === "--require-signature") found.requireSignature = true;
    else if (["--key", "--keys", "--not-before"].includes(name)) {
      const value = rest.length ? rest.join("=") : words.shift();
      if (!value || (!rest.length && value.startsWith("-"))) throw malformed(`${name} has no value`);
      if (name === "--key") found.keys.push(value);
      else if (found[name] !== undefined) throw malformed(`${name} is given twice`);
      else found[name] = value;
    } else throw malformed(`there is no option ${name}; --help shows them`);
  }
  return found;
}

async function main(args) {
  const { readFile } = await import("node:fs/promises");
  const read = async (path) => {
    try {
      return new Uint8Array(await readFile(path));
    } catch (error) {
      throw malformed(error.code === "ENOENT" ? "no such file" : `it cannot be read: ${error.code}`);
    }
  };
  const readBound = async (value) => {
    const isMissing = await readFile(value).then(
      () => false,
      (error) => error.code === "ENOENT",
    );
    if (isMissing) return parseBound(value) && value;
    const kept = decode(await read(value), "it");
    parseCheckpoint(parseNote(kept).text);
    return kept;
  };
  let about = "notch-verify";
  try {
    const options = parseArguments(args);
    if (options.help) {
      console.log(USAGE);
      return 0;
    }
    if (options.files.length !== 1) {
      throw malformed(options.files.length ? `it verifies one file at a time, and here are ${options.files.length}` : USAGE);
    }
    const asked = { keys: options.keys, requireSignature: options.requireSignature };
    if (options["--keys"] !== undefined) {
      about = `notch-verify: ${options["--keys"]}`;
      asked.keyFile = await read(options["--keys"]);
      await parseKeyFile(asked.keyFile);
    }
    if (options["--not-before"] !== undefined) {
      about = `notch-verify: --not-before ${options["--not-before"]}`;
      asked.notBefore = await readBound(options["--not-before"]);
    }
    about = `notch-verify: ${options.files[0]}`;
    const shown = await verifyBundle(await read(options.files[0]), asked);
    if (!asked.keys.length && asked.keyFile === undefined) {
      console.error(`${printable(about)}: its signature was not checked: name a key with --key`);
    }
    console.log(JSON.stringify(shown));
    return 0;
  } catch (error) {
    console.error(error.message === USAGE ? USAGE : printable(`${about}: ${error.message}`));
    return error instanceof BundleError ? error.code : 2;
  }
}

const printable = (text) => text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (char) => `\\u{${char.codePointAt(0).toString(16)}}`);

// Run under any name, also through a link; imported, it runs nothing.
async function isMain() {
  const script = typeof process === "undefined" ? undefined : process.argv?.[1];
  if (!script || !import.meta.url.startsWith("file:")) return false;
  const [{ realpath }, { pathToFileURL }] = await Promise.all([import("node:fs/promises"), import("node:url")]);
  const real = await realpath(script).catch(() => script);
  return [script, real].some((path) => pathToFileURL(path).href === import.meta.url);
}

if (await isMain()) process.exitCode = await main(process.argv.slice(2));
