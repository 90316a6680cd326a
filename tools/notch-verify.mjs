// Verifies a tallystick bundle without tallystick: no dependencies, no network. Written from docs/formats.md.
//
//   node tools/notch-verify.mjs FILE [--key VKEY]… [--not-before TIME|CHECKPOINT]
//
// A VKEY of a retired key ends in ` until NUMBER`; a CHECKPOINT is the file of a signed note that you kept.
// Exit codes: 0 it verifies, 1 a check on it failed, 2 it is no bundle, 3 evidence in it was changed.
// `verifyBundle(text, options)` does the same in a page, where `notBefore` is a time or the text of such a note.

const LINE_LIMIT = 4 << 20;
const PARTS = ["text", "details", "output"];
const CHUNK = 1 << 20;
const INLINE = 64 * 1024;

export class BundleError extends Error {
  constructor(code, what) {
    super(what);
    this.code = code;
  }
}
const malformed = (what) => new BundleError(2, what);
const tampered = (what) => new BundleError(3, what);
const failed = (what) => new BundleError(1, what);

// --- bytes

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

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

function toBase64(bytes) {
  if (typeof Buffer !== "undefined") return Buffer.from(bytes).toString("base64");
  let text = "";
  for (let start = 0; start < bytes.length; start += 8192) {
    text += String.fromCharCode(...bytes.subarray(start, start + 8192));
  }
  return btoa(text);
}

function fromBase64(text, what) {
  if (typeof text !== "string") throw malformed(`${what} is not base64`);
  let bytes;
  try {
    bytes =
      typeof Buffer !== "undefined"
        ? new Uint8Array(Buffer.from(text, "base64"))
        : Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    throw malformed(`${what} is not base64`);
  }
  if (toBase64(bytes) !== text) throw malformed(`${what} is not canonical base64`);
  return bytes;
}

const same = (one, other) => one.length === other.length && one.every((byte, place) => byte === other[place]);

async function sha256(bytes) {
  return new Uint8Array(await globalThis.crypto.subtle.digest("SHA-256", bytes));
}

function be64(number) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(number));
  return bytes;
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
  let first = BigInt(index);
  let last = BigInt(size) - 1n;
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
  if (oldSize < 1 || oldSize > size) throw malformed("the older checkpoint is not of a shorter log");
  if (oldSize === size) {
    if (path.length) throw malformed("the consistency proof between equal sizes must be empty");
    if (!same(oldRoot, root)) throw failed(`two roots are claimed for checkpoint ${size}`);
    return;
  }
  const isPower = (BigInt(oldSize) & (BigInt(oldSize) - 1n)) === 0n;
  const nodes = isPower ? [oldRoot, ...path] : [...path];
  if (!nodes.length) throw malformed("the consistency proof is too short");
  let first = BigInt(oldSize) - 1n;
  let last = BigInt(size) - 1n;
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
  exactly(map, ["siblings", ...("other" in Object(map) ? ["other"] : [])]);
  if (!Array.isArray(map.siblings) || map.siblings.length > 256) throw malformed("the map proof has no siblings");
  const siblings = map.siblings.map((sibling) => hash(fromHex(sibling, "a sibling"), "a sibling"));
  if (siblings.length && siblings.at(-1).every((byte) => byte === 0)) throw malformed("the map proof ends beside nothing");
  if (!("other" in map)) return { siblings, other: null };
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

async function verifyPresence(taskId, position, root, proof, heads) {
  const map = parseMap(proof);
  if (map.other) throw failed("the map proof is about the absence of the task");
  const key = await sha256(encoder.encode(taskId));
  if (!same(await mapRoot(key, await mapLeaf(key, position, root), map.siblings), heads)) {
    throw failed("the map of the checkpoint does not hold this head of the task");
  }
}

async function verifyAbsence(taskId, proof, heads) {
  const map = parseMap(proof);
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

// --- C2SP notes, checkpoints, tlog-proofs

function parseNote(text) {
  if (typeof text !== "string") throw malformed("the checkpoint is no text");
  const end = text.lastIndexOf("\n\n");
  if (end < 0 || !text.endsWith("\n") || /[\u0000-\u0009\u000b-\u001f]/.test(text)) {
    throw malformed("the checkpoint is not a signed note");
  }
  const lines = text.slice(end + 2, -1).split("\n");
  if (lines.length > 100) throw malformed("the note has over 100 signatures");
  const signatures = lines.map((line) => {
    const match = /^\u2014 ([^\s+]+) (\S+)$/u.exec(line);
    if (!match) throw malformed("a signature line is malformed");
    const blob = fromBase64(match[2], "a signature");
    if (blob.length < 5) throw malformed("a signature is too short");
    return { name: match[1], keyId: hex(blob.subarray(0, 4)), signature: blob.subarray(4) };
  });
  return { text: text.slice(0, end + 1), signatures };
}

// Numbers beyond 2^53 are no exact ones here: no log has as many checkpoints, and they are refused.
function decimal(text, what) {
  if (!/^(0|[1-9]\d{0,15})$/.test(text ?? "")) throw malformed(`${what} is no number`);
  return count(Number(text), what);
}

function count(value, what) {
  if (!Number.isSafeInteger(value) || value < 0 || Object.is(value, -0)) throw malformed(`${what} is no count`);
  return value;
}

function parseCheckpoint(note, ledger) {
  const [origin, size, root, ...rest] = note.text.split("\n");
  if (!origin || root === undefined || rest.at(-1) !== "") throw malformed("the note holds no checkpoint");
  if (rest.length > 1) throw failed("the checkpoint has lines behind its root, and those of ledgers have none");
  const base = `tallystick/${ledger}`;
  const rank = origin === base ? 1 : Number(/^\/([1-9]\d{0,8})$/.exec(origin.slice(base.length))?.[1] ?? 0);
  if (!origin.startsWith(base) || rank < 1 || (rank === 1 && origin !== base)) {
    throw failed("the checkpoint is that of another ledger");
  }
  return {
    origin,
    epoch: rank,
    size: decimal(size, "the tree size"),
    root: hash(fromBase64(root, "the root"), "the root"),
  };
}

function hash(bytes, what) {
  if (bytes.length !== 32) throw malformed(`${what} is not 32 bytes`);
  return bytes;
}

function parseTlogProof(text) {
  if (typeof text !== "string") throw malformed("the tlog proof is no text");
  const end = text.indexOf("\n\n");
  const [header, index, ...lines] = text.slice(0, Math.max(end, 0)).split("\n");
  if (end < 0 || header !== "c2sp.org/tlog-proof@v1") throw malformed("this is no tlog-proof");
  if (!index?.startsWith("index ")) throw malformed("the tlog-proof states no index");
  const path = lines.map((line) => hash(fromBase64(line, "a hash"), "a hash"));
  if (path.length > 64) throw malformed("the inclusion proof is too long");
  return { index: decimal(index.slice(6), "the index"), path, note: parseNote(text.slice(end + 2)) };
}

const LEAF =
  /^\{"v":1,"kind":"checkpoint","at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)","tasks":(0|[1-9]\d{0,15}),"heads":"([0-9a-f]{64})"(,"epoch":[1-9]\d{0,8},"after":\{"origin":"tallystick\/[0-9a-f]{32}(\/[1-9]\d{0,8})?","size":[1-9]\d{0,15},"root":"[0-9a-f]{64}"\})?\}$/;

function parseLeaf(text) {
  const match = typeof text === "string" ? LEAF.exec(text) : null;
  if (!match) throw malformed("the leaf is not that of a checkpoint");
  return { at: match[1], tasks: Number(match[2]), heads: fromHex(match[3], "heads") };
}

// The key as it signs under an origin: one that bears the name of the first epoch counts in every epoch.
async function keyFor(line, checkpoint, ledger) {
  const match = /^([^\s+]+)\+([0-9a-f]{8})\+(\S+?)(?:\s+until\s+(\d+))?$/.exec(line.trim());
  if (!match) throw malformed("this is no vkey");
  const [, name, keyId, encoded, until] = match;
  const material = fromBase64(encoded, "the vkey");
  if (material[0] !== 1 || material.length !== 33) throw malformed("only Ed25519 keys of type 1 are checked here");
  const idUnder = async (origin) => hex((await sha256(concat(encoder.encode(`${origin}\n`), material))).subarray(0, 4));
  if ((await idUnder(name)) !== keyId) throw malformed("the vkey's id is not that of its key");
  if (name !== checkpoint.origin && name !== `tallystick/${ledger}`) return null;
  const last = until === undefined ? Infinity : decimal(until, "the checkpoint it retired at");
  return { name: checkpoint.origin, keyId: await idUnder(checkpoint.origin), public: material.subarray(1), last };
}

async function verifySignatures(note, checkpoint, ledger, vkeys) {
  const signers = [];
  let retired = false;
  for (const vkey of vkeys) {
    const key = await keyFor(vkey, checkpoint, ledger);
    if (key === null) continue;
    const found = note.signatures.filter((one) => one.name === key.name && one.keyId === key.keyId);
    for (const one of found) {
      const imported = await globalThis.crypto.subtle.importKey("raw", key.public, { name: "Ed25519" }, false, ["verify"]);
      const held = await globalThis.crypto.subtle.verify("Ed25519", imported, one.signature, encoder.encode(note.text));
      if (!held) throw failed(`the signature by ${key.name} does not fit the checkpoint`);
    }
    if (found.length && checkpoint.size > key.last) retired = true;
    else if (found.length) signers.push(`${key.name}+${key.keyId}`);
  }
  return { signers, retired };
}

// --- lines

function exactly(fields, names) {
  if (fields === null || typeof fields !== "object" || Array.isArray(fields)) throw malformed("this is no JSON object");
  const found = Object.keys(fields);
  if (found.length !== names.length || names.some((name, place) => found[place] !== name)) {
    throw malformed(`here stands ${names.join(", ")}, in this order`);
  }
  return fields;
}

// JSON.parse takes the last of keys that stand twice; written again without white space the text must be the same.
function parseLine(line) {
  if (line.length > LINE_LIMIT) throw malformed("a line is too long");
  let fields;
  try {
    fields = JSON.parse(line);
  } catch {
    throw malformed("a line is not JSON");
  }
  if (JSON.stringify(fields) !== line) throw malformed("a line is not compact JSON with each key once");
  if (fields === null || typeof fields !== "object") throw malformed("a line is no JSON object");
  return fields;
}

const RECORD_FIELDS =
  /^\{"v":(\d+),"kind":"([^"\\]*)","at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)"/;

function parseRecord(bytes) {
  let record;
  let text;
  try {
    text = decoder.decode(bytes);
    record = JSON.parse(text);
  } catch {
    throw tampered("a record is not JSON");
  }
  const match = RECORD_FIELDS.exec(text);
  if (!match || bytes.length > 65535) throw tampered("a record is not one");
  if (match[1] !== "1") throw malformed("a later version wrote a record");
  return record;
}

// --- the bundle

export async function verifyBundle(text, options = {}) {
  try {
    return await verify(text, options);
  } catch (error) {
    throw error instanceof BundleError ? error : malformed(`it is malformed: ${error.message}`);
  }
}

async function verify(text, { keys = [], notBefore = "" }) {
  if (!text.endsWith("\n")) throw malformed("it ends within a line");
  const lines = text.slice(0, -1).split("\n");
  let number = 0;
  const next = () => {
    if (number >= lines.length) throw malformed("it ends too early");
    number += 1;
    return parseLine(lines[number - 1]);
  };

  const first = next();
  if (!("bundle" in first)) throw malformed("this is no bundle");
  if (first.bundle !== 1) throw malformed("a later version wrote it");
  const absent = "absent" in first;
  exactly(first, ["bundle", "ledger", "task_id", ...(absent ? ["absent"] : ["position", "root"])]);
  if (absent && first.absent !== true) throw malformed("absent can only be true");
  const last = absent ? 0 : count(first.position, "the position");
  let line = next();
  let proof = null;
  if (absent || Object.hasOwn(line, "proof")) {
    const about = absent ? ["absent"] : ["position", "root"];
    proof = exactly(line, ["proof"]).proof;
    exactly(proof, [...about, "leaf", "map", "tlog", ...("since" in Object(proof) ? ["since"] : [])]);
    if (absent && proof.absent !== true) throw malformed("absent can only be true");
    if (!absent) line = next();
  }
  const gaps = absent ? { erased: 0, omitted: 0 } : await readSession(line, first, proof, next);
  if (exactly(next(), ["end"]).end !== last) throw malformed("the last line names another position");
  if (number !== lines.length) throw malformed("something stands behind the end");
  const checkpoint = proof ? await verifyProof(proof, first, keys, notBefore) : null;
  if (!proof && (keys.length || notBefore)) throw failed("it holds no checkpoint");
  return {
    ledger_id: first.ledger,
    task_id: first.task_id,
    position: absent ? null : first.position,
    root: absent ? null : first.root,
    ...gaps,
    checkpoint,
  };
}

async function readSession(line, first, proof, next) {
  const header = fromBase64(exactly(line, ["session"]).session, "the header");
  const session = parseRecord(header);
  if (session.kind !== "session" || session.ledger !== first.ledger || session.task_id !== first.task_id) {
    throw tampered("the header is that of another session");
  }
  const tree = new Tree();
  const take = async (record, position) => {
    await tree.append(record);
    if (proof && proof.position === position && hex(await tree.root()) !== proof.root) {
      throw tampered(`position ${position}: the history is not the one that the checkpoint is about`);
    }
  };
  await take(header, 0);
  const missing = new Set();
  const erased = new Set();
  let omitted = 0;
  let at = session.at;
  for (let position = 1; position <= first.position; position += 1) {
    const fields = next();
    const bytes = fromBase64(fields.record, "the record");
    const record = parseRecord(bytes);
    const committed = PARTS.filter((part) => record[part]);
    exactly(fields, ["record", ...committed]);
    if (record.kind !== "entry") throw malformed("a later version wrote a record");
    if (record.at < at) throw tampered(`position ${position}: its time is earlier than that before it`);
    at = record.at;
    for (const part of committed) {
      const given = fields[part];
      if (given === "erased") missing.add(`${position} ${part}`);
      else if (given === "omitted") omitted += 1;
      else {
        const [salt, data] = await readPart(given, part, next);
        if (hex(await sha256(concat(salt, data))) !== record[part]) {
          throw tampered(`position ${position}: its ${part} was changed`);
        }
      }
    }
    if (record.erases) {
      const [target, parts] = record.erases;
      if (record.type !== "redaction" || !(target > 0 && target < position)) {
        throw tampered(`position ${position}: it erases what it cannot`);
      }
      for (const part of parts) erased.add(`${target} ${part}`);
    }
    await take(bytes, position);
  }
  for (const gap of missing) if (!erased.has(gap)) throw tampered(`position ${gap} is missing, and no redaction names it`);
  if (hex(await tree.root()) !== first.root) throw tampered("the records do not lead to the head that it names");
  return { erased: missing.size, omitted };
}

async function readPart(given, part, next) {
  let data;
  if (part === "output" && given !== null && typeof given === "object" && "pieces" in given) {
    exactly(given, ["salt", "pieces"]);
    if (!Number.isSafeInteger(given.pieces) || given.pieces < 1 || given.pieces > 64) throw malformed("odd pieces");
    const pieces = [];
    for (let count = 0; count < given.pieces; count += 1) {
      pieces.push(fromBase64(exactly(next(), ["piece"]).piece, "a piece"));
    }
    if (pieces.some((piece, place) => piece.length > CHUNK || (piece.length !== CHUNK && place < pieces.length - 1))) {
      throw malformed("a piece of the output is not 1 MiB");
    }
    data = concat(...pieces);
    if (data.length <= INLINE) throw malformed("an output that short comes in one");
  } else {
    exactly(given, ["salt", "data"]);
    data = fromBase64(given.data, part);
  }
  const salt = fromBase64(given.salt, "the salt");
  if (salt.length !== 16 || !data.length) throw malformed(`${part} has no salt of 16 bytes, or nothing in it`);
  return [salt, data];
}

async function verifyProof(proof, first, keys, notBefore) {
  const ledger = first.ledger;
  const tlog = parseTlogProof(proof.tlog);
  const checkpoint = parseCheckpoint(tlog.note, ledger);
  const leaf = parseLeaf(proof.leaf);
  if (tlog.index !== checkpoint.size - 1) throw failed("the leaf is not the log's last one");
  const leafNode = await leafHash(encoder.encode(proof.leaf));
  const root = await rootFromInclusion(leafNode, tlog.index, checkpoint.size, tlog.path);
  if (!same(root, checkpoint.root)) throw failed("the log of the checkpoint does not hold this leaf");
  let covered = 0;
  if (proof.absent) {
    await verifyAbsence(first.task_id, proof.map, leaf.heads);
  } else {
    covered = count(proof.position, "the proof's position");
    if (covered > first.position) throw tampered("the checkpoint is about a longer history: entries are missing");
    const head = hash(fromHex(proof.root, "the root"), "the root");
    await verifyPresence(first.task_id, covered, head, proof.map, leaf.heads);
  }
  const kept = notBefore.includes("\n") ? parseCheckpoint(parseNote(notBefore), ledger) : null;
  const older = "since" in proof ? await verifySince(proof.since, checkpoint, ledger, keys, kept) : null;
  const { signers, retired } = await verifySignatures(tlog.note, checkpoint, ledger, keys);
  if (keys.length && !signers.length) {
    throw failed(retired ? "the key that signed had retired before" : "none of the keys given signed the checkpoint");
  }
  if (keys.length && !proof.absent && covered < first.position) {
    throw failed(`what came after position ${covered} is covered by no signature: anybody could have added it`);
  }
  if (kept) requireExtends(checkpoint, older, kept);
  else if (notBefore && leaf.at < normalised(notBefore)) throw failed(`its checkpoint is of ${leaf.at}, before ${notBefore}`);
  return {
    number: checkpoint.size,
    at: leaf.at,
    tasks: leaf.tasks,
    covered,
    newest: Boolean(proof.absent) || covered === first.position,
    signers,
    since: older ? older.size : null,
  };
}

// The older checkpoint must be signed as the newer one is, or be the one that was kept.
async function verifySince(since, checkpoint, ledger, keys, kept) {
  exactly(since, ["checkpoint", "consistency"]);
  const note = parseNote(since.checkpoint);
  const older = parseCheckpoint(note, ledger);
  if (older.epoch > checkpoint.epoch) throw failed("the older checkpoint is of a later epoch");
  if (!Array.isArray(since.consistency)) throw malformed("the consistency proof is no list");
  const path = since.consistency.map((node) => hash(fromHex(node, "a hash"), "a hash"));
  await verifyConsistency(older.size, older.root, checkpoint.size, checkpoint.root, path);
  const { retired, signers } = await verifySignatures(note, older, ledger, keys);
  if (retired && !signers.length) throw failed("the key that signed the older checkpoint had retired before");
  const isKept = kept && kept.origin === older.origin && kept.size === older.size && same(kept.root, older.root);
  if (keys.length && !signers.length && !isKept) throw failed("none of the keys given signed the older checkpoint");
  return older;
}

function requireExtends(checkpoint, older, kept) {
  if (kept.epoch > checkpoint.epoch || kept.size > checkpoint.size) throw failed("its checkpoint is older than the one kept");
  const proved = kept.size === checkpoint.size ? checkpoint : older;
  if (!proved || proved.size !== kept.size) throw failed(`nothing proves that it extends checkpoint ${kept.size}`);
  if (!same(proved.root, kept.root)) throw failed(`two checkpoints ${kept.size} contradict each other: a fork`);
}

function normalised(time) {
  const moment = new Date(time);
  if (Number.isNaN(moment.getTime())) throw malformed(`${time} is no time`);
  const digits = /\.(\d{1,6})/.exec(time)?.[1] ?? "";
  return `${moment.toISOString().slice(0, 20)}${digits.padEnd(6, "0")}Z`;
}

async function main(args) {
  const { readFile } = await import("node:fs/promises");
  const keys = [];
  let notBefore = "";
  let file = "";
  while (args.length) {
    const word = args.shift();
    if (word === "--key") keys.push(args.shift() ?? "");
    else if (word === "--not-before") notBefore = args.shift() ?? "";
    else file = word;
  }
  try {
    const kept = await readFile(notBefore).catch(() => null);
    if (kept) notBefore = decoder.decode(kept);
    const text = decoder.decode(await readFile(file));
    console.log(JSON.stringify(await verifyBundle(text, { keys, notBefore })));
    return 0;
  } catch (error) {
    console.error(`notch-verify: ${file}: ${error.message}`);
    return error instanceof BundleError ? error.code : 2;
  }
}

if (typeof process !== "undefined" && process.argv?.[1]?.endsWith("notch-verify.mjs")) {
  process.exitCode = await main(process.argv.slice(2));
}
