// Verifies a tallystick bundle without tallystick: no dependencies, no network. Written from docs/formats.md.
//
//   node tools/notch-verify.mjs FILE [--key VKEY]… [--not-before TIME]
//
// Exit codes: 0 it verifies, 1 a check on it failed, 2 it is no bundle, 3 evidence in it was changed.
// `verifyBundle(text, options)` does the same in a page.

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
  const nodes = Number.isInteger(Math.log2(oldSize)) ? [oldRoot, ...path] : [...path];
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

async function verifyPresence(taskId, position, root, map, heads) {
  exactly(map, ["siblings"], ["other"]);
  if ("other" in map) throw failed("the map proof is about the absence of the task");
  if (!Array.isArray(map.siblings) || map.siblings.length > 256) throw malformed("the map proof has no siblings");
  const siblings = map.siblings.map((sibling) => hash(fromHex(sibling, "a sibling"), "a sibling"));
  if (siblings.length && siblings.at(-1).every((byte) => byte === 0)) throw malformed("the map proof ends beside nothing");
  const key = await sha256(encoder.encode(taskId));
  let node = await sha256(concat(Uint8Array.of(2), key, be64(position), root));
  for (let depth = siblings.length - 1; depth >= 0; depth -= 1) {
    const right = (key[depth >> 3] >> (7 - (depth & 7))) & 1;
    node = await sha256(concat(Uint8Array.of(3), ...(right ? [siblings[depth], node] : [node, siblings[depth]])));
  }
  if (!same(node, heads)) throw failed("the map of the checkpoint does not hold this head of the task");
}

// --- C2SP notes, checkpoints, tlog-proofs

function parseNote(text) {
  const end = text.lastIndexOf("\n\n");
  if (end < 0 || !text.endsWith("\n")) throw malformed("the checkpoint is not a signed note");
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

function parseCheckpoint(text) {
  const [origin, size, root, ...rest] = text.split("\n");
  if (!origin || root === undefined || !rest.length || !/^(0|[1-9]\d{0,15})$/.test(size)) {
    throw malformed("the note holds no checkpoint");
  }
  if (rest.at(-1) !== "" || rest.slice(0, -1).includes("")) throw malformed("the note holds no checkpoint");
  return { origin, size: Number(size), root: hash(fromBase64(root, "the root"), "the root") };
}

function hash(bytes, what) {
  if (bytes.length !== 32) throw malformed(`${what} is not 32 bytes`);
  return bytes;
}

function parseTlogProof(text) {
  if (typeof text !== "string") throw malformed("the tlog proof is no text");
  const end = text.indexOf("\n\n");
  const [header, ...lines] = text.slice(0, Math.max(end, 0)).split("\n");
  if (end < 0 || header !== "c2sp.org/tlog-proof@v1") throw malformed("this is no tlog-proof");
  if (lines[0]?.startsWith("extra ")) lines.shift();
  const index = /^index (0|[1-9]\d{0,15})$/.exec(lines.shift() ?? "");
  if (!index) throw malformed("the tlog-proof states no index");
  const path = lines.map((line) => hash(fromBase64(line, "a hash"), "a hash"));
  if (path.length > 64) throw malformed("the inclusion proof is too long");
  return { index: Number(index[1]), path, note: parseNote(text.slice(end + 2)) };
}

async function verifySignature(note, vkeys) {
  const signers = [];
  for (const vkey of vkeys) {
    const match = /^([^\s+]+)\+([0-9a-f]{8})\+(\S+)$/.exec(vkey);
    if (!match) throw malformed("this is no vkey");
    const [, name, keyId, encoded] = match;
    const material = fromBase64(encoded, "the vkey");
    if (material[0] !== 1 || material.length !== 33) throw malformed("only Ed25519 keys of type 1 are checked here");
    const id = await sha256(concat(encoder.encode(`${name}\n`), material));
    if (hex(id.subarray(0, 4)) !== keyId) throw malformed("the vkey's id is not that of its key");
    const found = note.signatures.find((one) => one.name === name && one.keyId === keyId);
    if (!found) continue;
    const key = await globalThis.crypto.subtle.importKey("raw", material.subarray(1), { name: "Ed25519" }, false, [
      "verify",
    ]);
    if (!(await globalThis.crypto.subtle.verify({ name: "Ed25519" }, key, found.signature, encoder.encode(note.text)))) {
      throw failed(`the signature by ${name} does not fit the checkpoint`);
    }
    signers.push(`${name}+${keyId}`);
  }
  if (vkeys.length && !signers.length) throw failed("none of the keys given signed the checkpoint");
  return signers;
}

// --- lines

function exactly(fields, names, optional = []) {
  if (fields === null || typeof fields !== "object" || Array.isArray(fields)) throw malformed("this is no JSON object");
  for (const name of names) if (!Object.hasOwn(fields, name)) throw malformed(`there should be ${name}`);
  for (const name of Object.keys(fields)) {
    if (!names.includes(name) && !optional.includes(name)) throw malformed(`${name} is odd here`);
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

export async function verifyBundle(text, { keys = [], notBefore = "" } = {}) {
  if (!text.endsWith("\n")) throw malformed("it ends within a line");
  const lines = text.slice(0, -1).split("\n");
  let number = 0;
  const next = () => {
    if (number >= lines.length) throw malformed("it ends too early");
    number += 1;
    return parseLine(lines[number - 1]);
  };

  const first = exactly(next(), ["bundle", "ledger", "task_id", "position", "root"]);
  if (first.bundle !== 1) throw malformed("a later version wrote it");
  if (!Number.isSafeInteger(first.position) || first.position < 0) throw malformed("the position is no count");
  let line = next();
  let proof = null;
  if (Object.hasOwn(line, "proof")) {
    proof = exactly(line.proof, ["position", "root", "leaf", "map", "tlog"], ["since"]);
    exactly(line, ["proof"]);
    line = next();
  }
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
  if (exactly(next(), ["end"]).end !== first.position) throw malformed("the last line names another position");
  if (number !== lines.length) throw malformed("something stands behind the end");
  for (const gap of missing) if (!erased.has(gap)) throw tampered(`position ${gap} is missing, and no redaction names it`);
  if (hex(await tree.root()) !== first.root) throw tampered("the records do not lead to the head that it names");
  const checkpoint = proof ? await verifyProof(proof, first, keys) : null;
  if (!proof && (keys.length || notBefore)) throw failed("it holds no checkpoint");
  if (notBefore && checkpoint.at < normalised(notBefore)) {
    throw failed(`its checkpoint is of ${checkpoint.at}, before ${notBefore}`);
  }
  return {
    ledger_id: first.ledger,
    task_id: first.task_id,
    position: first.position,
    root: first.root,
    erased: missing.size,
    omitted,
    checkpoint,
  };
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

async function verifyProof(proof, first, keys) {
  const tlog = parseTlogProof(proof.tlog);
  const checkpoint = parseCheckpoint(tlog.note.text);
  const origin = `tallystick/${first.ledger}`;
  if (checkpoint.origin !== origin && !checkpoint.origin.startsWith(`${origin}/`)) {
    throw failed("the checkpoint is that of another ledger");
  }
  if (!Number.isSafeInteger(proof.position) || proof.position < 0) throw malformed("the proof's position is no count");
  if (proof.position > first.position) throw tampered("the checkpoint is about a longer history: entries are missing");
  if (typeof proof.leaf !== "string") throw malformed("the leaf is no text");
  const leaf = JSON.parse(proof.leaf);
  if (leaf.v !== 1 || leaf.kind !== "checkpoint") throw malformed("the leaf is not that of a checkpoint");
  if (tlog.index !== checkpoint.size - 1) throw failed("the leaf is not the log's last one");
  const root = await rootFromInclusion(
    await leafHash(encoder.encode(proof.leaf)),
    tlog.index,
    checkpoint.size,
    tlog.path,
  );
  if (!same(root, checkpoint.root)) throw failed("the log of the checkpoint does not hold this leaf");
  const headRoot = hash(fromHex(proof.root, "the root"), "the root");
  await verifyPresence(first.task_id, proof.position, headRoot, proof.map, fromHex(leaf.heads, "heads"));
  const signers = await verifySignature(tlog.note, keys);
  let since = null;
  if ("since" in proof) {
    exactly(proof.since, ["checkpoint", "consistency"]);
    const older = parseCheckpoint(parseNote(proof.since.checkpoint).text);
    if (older.origin !== checkpoint.origin) throw failed("the older checkpoint is of another log");
    if (!Array.isArray(proof.since.consistency)) throw malformed("the consistency proof is no list");
    const path = proof.since.consistency.map((node) => hash(fromHex(node, "a hash"), "a hash"));
    await verifyConsistency(older.size, older.root, checkpoint.size, checkpoint.root, path);
    since = older.size;
  }
  return {
    number: checkpoint.size,
    at: leaf.at,
    tasks: leaf.tasks,
    covered: proof.position,
    newest: proof.position === first.position,
    signers,
    since,
  };
}

function normalised(time) {
  const moment = new Date(time);
  if (Number.isNaN(moment.getTime())) throw malformed(`${time} is no time`);
  return moment.toISOString().replace("Z", "000Z");
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
