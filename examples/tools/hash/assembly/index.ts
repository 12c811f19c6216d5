// Digests and checksums of a text or of a file of the call: a WASI preview 1 command.

import { JsonReader } from "../../shared/assembly/json";
import { Hash } from "./block-hash";
import { Crc32 } from "./crc32";
import { decodeBase64, decodeHex } from "./decode";
import { Md5 } from "./md5";
import { Sha1 } from "./sha1";
import { Sha256 } from "./sha256";
import { Sha512 } from "./sha512";
import { closeFile, describeErrno, exitWith, openFile, read, readStdin, writeStdout } from "./wasi";

const MAX_INPUT_BYTES = 8 << 20;
const CHUNK_BYTES = 64 * 1024;

let text: Uint8Array | null = null;
let file: Uint8Array | null = null;
let encoding: string = "utf8";
const hashes: Hash[] = [];

function makeHash(name: string): Hash | null {
  if (name == "sha256") return new Sha256();
  if (name == "sha512") return new Sha512();
  if (name == "sha1") return new Sha1();
  if (name == "md5") return new Md5();
  if (name == "crc32") return new Crc32();
  return null;
}

function readAlgorithms(reader: JsonReader): void {
  if (!reader.openArray()) return;
  while (reader.nextItem()) {
    const name = String.UTF8.decode(reader.readString().buffer);
    const hash = makeHash(name);
    if (hash == null) {
      reader.fail("the algorithms are sha256, sha512, sha1, md5 and crc32");
      return;
    }
    for (let i = 0; i < hashes.length; i++) {
      if (hashes[i].name == name) reader.fail("an algorithm is named twice");
    }
    hashes.push(hash);
  }
  if (hashes.length == 0) reader.fail("\"algorithms\" is empty");
}

function parse(bytes: Uint8Array): string {
  const reader = new JsonReader(bytes);
  if (!reader.openObject()) return reader.problem;
  while (true) {
    const name = reader.nextField();
    if (name == null) break;
    if (name == "text" && text == null) text = reader.readString();
    else if (name == "file" && file == null) file = reader.readString();
    else if (name == "encoding") encoding = String.UTF8.decode(reader.readString().buffer);
    else if (name == "algorithms" && hashes.length == 0) readAlgorithms(reader);
    else reader.fail("the fields are text or file, encoding and algorithms, each once");
  }
  reader.finish();
  if (hashes.length == 0) hashes.push(new Sha256());
  return reader.problem;
}

function update(data: usize, length: i32): void {
  for (let i = 0; i < hashes.length; i++) hashes[i].update(data, length);
}

function hashText(source: Uint8Array): i64 {
  let bytes: Uint8Array | null = null;
  if (encoding == "utf8") bytes = source;
  else if (encoding == "base64") bytes = decodeBase64(source);
  else if (encoding == "hex") bytes = decodeHex(source);
  else exitWith("Cannot use \"encoding\": it must be utf8, base64 or hex");
  if (bytes == null) {
    exitWith("Cannot decode \"text\": it is not " + encoding);
    return 0;
  }
  update(bytes.dataStart, bytes.length);
  return bytes.length;
}

function hashFile(path: Uint8Array): i64 {
  const fd = openFile(path);
  if (fd < 0) exitWith("Cannot open the file: " + describeErrno(-fd));
  const chunk = new Uint8Array(CHUNK_BYTES);
  let total: i64 = 0;
  while (true) {
    const count = read(fd, chunk.dataStart, CHUNK_BYTES);
    if (count < 0) exitWith("Cannot read the file");
    if (count == 0) break;
    update(chunk.dataStart, count);
    total += count;
  }
  closeFile(fd);
  return total;
}

function run(): void {
  const stdin = readStdin(MAX_INPUT_BYTES);
  if (stdin == null) {
    exitWith("Cannot read the input: it is larger than " + MAX_INPUT_BYTES.toString() + " bytes or its reading failed");
    return;
  }
  const problem = parse(stdin);
  if (problem.length > 0) exitWith("Cannot read the input: " + problem);

  const source = text;
  const path = file;
  let bytes: i64 = 0;
  if (source != null && path == null) bytes = hashText(source);
  else if (source == null && path != null) bytes = hashFile(path);
  else exitWith("Cannot choose what to hash: give either \"text\" or \"file\"");

  let answer = "{\"bytes\":" + bytes.toString() + ",\"digests\":{";
  for (let i = 0; i < hashes.length; i++) answer += (i > 0 ? "," : "") + "\"" + hashes[i].name + "\":\"" + hashes[i].finish() + "\"";
  if (!writeStdout(answer + "}}")) exitWith("Cannot write the answer");
}

run();
