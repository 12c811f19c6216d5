// The probe as a command: does what its input says, and nothing else. probe.c is the same for WASI preview 1; both answer
// alike, so that one list of cases fits every backend. The list of what it can do is in probe.ts.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import path from "node:path";

let runs = 0;
const kept = [];

function sleep(ms) {
  if (ms > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Writes all of it by write(2) alone: Node's streams would buffer. A pipe that does not block is tried again. */
function put(fd, bytes) {
  let rest = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(fs.writeSync(fd, rest));
    } catch (error) {
      if (error.code !== "EAGAIN") process.exit(74);
      sleep(1);
    }
  }
}

const errorNames = new Set([
  "ENOENT", "EACCES", "EPERM", "EROFS", "ENOTCAPABLE", "EEXIST", "EISDIR", "ENOTDIR", "ENOSPC", "EDQUOT", "EFBIG",
]); // prettier-ignore

function answer(value) {
  put(1, JSON.stringify(value));
}

function attempt(action) {
  try {
    action();
    return { ok: true };
  } catch (error) {
    return { ok: false, error: errorNames.has(error.code) ? error.code : "EOTHER" };
  }
}

function streamOf(task) {
  return task.to === "stderr" ? 2 : 1;
}

function payload(task) {
  return task.text === undefined ? Buffer.from(task.hex ?? "", "hex") : Buffer.from(task.text);
}

function write(task) {
  const bytes = payload(task);
  for (let left = task.count ?? 1; left > 0; left--) put(streamOf(task), bytes);
}

/** A pattern in which no two pieces are alike, so that bytes lost, doubled or out of order show. */
function patternByte(at) {
  return 32 + ((at + (at >> 8) * 7 + (at >> 16) * 13) % 95);
}

/** With "report" it tells on stderr how long the first write took that took at least so many ms, and what went before it. */
function fill(task) {
  const bytes = task.bytes ?? 0;
  const chunk = task.chunk ?? 65_536;
  const reportMs = task.report ?? 0;
  let stallMs = 0;
  let before = bytes;
  for (let done = 0; done < bytes; done += chunk) {
    const piece = Buffer.alloc(Math.min(chunk, bytes - done));
    for (let at = 0; at < piece.length; at++) piece[at] = patternByte(done + at);
    const start = performance.now();
    put(streamOf(task), piece);
    const tookMs = Math.floor(performance.now() - start);
    if (stallMs > 0 || tookMs < reportMs) continue;
    stallMs = tookMs;
    before = done;
  }
  if (reportMs > 0) put(2, JSON.stringify({ before, stallMs }));
}

const zeros = Buffer.alloc(65_536);

function saveOne(file, task) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const fd = fs.openSync(file, "w", 0o666);
  try {
    const bytes = payload(task);
    if (bytes.length > 0) fs.writeSync(fd, bytes);
    for (let left = task.bytes ?? 0; left > 0;) left -= fs.writeSync(fd, zeros, 0, Math.min(left, zeros.length));
  } finally {
    fs.closeSync(fd);
  }
}

function save(task) {
  if (task.count === undefined) return answer(attempt(() => saveOne(task.path, task)));
  let saved = 0;
  while (saved < task.count && attempt(() => saveOne(`${task.path}${saved}`, task)).ok) saved++;
  answer({ saved });
}

function read(task) {
  let bytes;
  const outcome = attempt(() => (bytes = fs.readFileSync(task.path)));
  if (outcome.ok) put(1, bytes);
  else answer(outcome);
}

function collect(folder, found) {
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const name = folder === "." ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) collect(name, found);
    else found.push(name);
  }
  return found;
}

function list(task) {
  const found = [];
  attempt(() => collect(task.path ?? ".", found));
  answer(found.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
}

function spin(task) {
  const end = performance.now() + (task.ms ?? Number.POSITIVE_INFINITY);
  while (performance.now() < end);
}

/** Takes memory a MiB at a time, touches all of it, keeps it, and says after each 4 MiB how much it has. */
function allocate(task) {
  const step = 2 ** 20;
  for (let taken = 0; taken < (task.bytes ?? 0);) {
    try {
      kept.push(Buffer.allocUnsafeSlow(step).fill(0xa5));
    } catch {
      put(1, "failed\n");
      process.exit(1);
    }
    taken += step;
    if (taken % (4 * step) === 0) put(1, `${taken}\n`);
  }
  put(1, "done\n");
  sleep(task.holdMs ?? 0);
}

/** Besides stdout, leaves its mark in the file "trace" where the backend lets it: a sign of life after its own end. */
function heartbeat(task) {
  for (let left = task.count ?? 1000; left > 0; left--) {
    if (task.trace !== undefined) attempt(() => fs.appendFileSync(task.trace, "beat\n"));
    put(1, "beat\n");
    sleep(task.everyMs ?? 20);
  }
}

function hidden(task) {
  return payload(task).map((byte) => byte ^ 0x5a);
}

function litter(task) {
  kept.push(Buffer.alloc(4 * 2 ** 20, hidden(task)));
  answer({ runs: ++runs });
}

/** Looks at memory that nobody has cleared, as far as a process of its own can have any. */
function scan(task) {
  const pattern = hidden(task);
  const memory = Buffer.allocUnsafeSlow(16 * 2 ** 20);
  let found = 0;
  for (let at = memory.indexOf(pattern); at !== -1; at = memory.indexOf(pattern, at + 1)) found++;
  answer({ found, runs: ++runs });
}

/** Starts processes that sleep, counts those that could be started, and ends them. */
async function spawnMany(task) {
  const children = [];
  let refused = 0;
  for (let left = task.count ?? 1; left > 0; left--) {
    try {
      const child = spawn(process.execPath, ["-e", "setTimeout(() => {}, 20_000)"], { stdio: "ignore" });
      await new Promise((resolve, reject) => child.once("spawn", resolve).once("error", reject));
      children.push(child);
    } catch {
      refused++;
    }
  }
  for (const child of children) child.kill("SIGKILL");
  answer({ started: children.length, refused });
}

/** Leaves a process behind that beats on its own, and ends. With "session" that one leaves the group too. */
function orphan(task) {
  const beat = `const fs = require("node:fs"); let left = ${Number(task.count ?? 200)};
    const timer = setInterval(() => { try { fs.appendFileSync(process.argv[1], "beat\\n"); } catch {} if (--left <= 0) clearInterval(timer); }, 20);`;
  spawn(process.execPath, ["-e", beat, task.trace], { stdio: "ignore", detached: task.session === true }).unref();
  sleep(task.ms ?? 300);
}

const actions = {
  echo: (_task, input) => put(1, input),
  write,
  fill,
  exit: (task) => process.exit(task.code ?? 0),
  trap: () => process.abort(),
  signal: (task) => {
    process.kill(process.pid, task.name);
    sleep(5000);
  },
  read,
  save,
  remove: (task) => answer(attempt(() => fs.unlinkSync(task.path))),
  list,
  env: () => answer(process.env),
  sleep: (task) => sleep(task.ms ?? 0),
  clock: () => answer({ realtimeMs: Date.now(), monotonicUs: Math.floor(performance.now() * 1000) }),
  random: () => answer({ random: randomBytes(32).toString("hex") }),
  spin,
  allocate,
  heartbeat,
  litter,
  scan,
  spawn: spawnMany,
  orphan,
};

async function run(task, input) {
  const what = task.do ?? "echo";
  if (what === "steps") {
    for (const step of task.steps) await run(step, input);
    return;
  }
  if (!Object.hasOwn(actions, what)) {
    put(2, "unknown\n");
    process.exit(64);
  }
  await actions[what](task, input);
}

/** All of stdin, or nothing for a tool that is told to be deaf: the host must not fail on a reader that is gone. */
function readInput() {
  const chunks = [];
  const buffer = Buffer.alloc(65_536);
  for (;;) {
    let got;
    try {
      got = fs.readSync(0, buffer);
    } catch (error) {
      if (error.code === "EOF") break;
      if (error.code !== "EAGAIN") throw error;
      sleep(1);
      continue;
    }
    if (got === 0) break;
    chunks.push(Buffer.from(buffer.subarray(0, got)));
    if (chunks.length === 1 && buffer.subarray(0, got).toString("latin1").startsWith('{"do":"deaf"')) return undefined;
  }
  return Buffer.concat(chunks);
}

const input = readInput();
if (input !== undefined) await run(JSON.parse(input.toString()), input);
