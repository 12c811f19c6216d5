/** The longest text that goes to the host at once, in units of UTF-16: it is read in one stretch that nothing suspends. */
const pieceUnits = 16_384;

/** The most of a stack trace that is shown, in lines. */
const maxFrames = 16;

/** What stack traces call this file; its own frames are left out of them. */
export const harnessFile = "toolruntime";

/**
 * Runs inside of QuickJS, before the snippet and around it. It takes what it needs of the language first, so that a snippet that
 * changes prototypes changes what it writes and nothing else. Gives a function that takes what the snippet's evaluation gave, or
 * threw, and gives a promise of the exit code.
 */
export const harness = `(function (stdout, stderr, inputText, settingsText) {
  "use strict";
  const { apply } = Reflect;
  const { parse, stringify } = JSON;
  const { indexOf, slice, charCodeAt, split } = String.prototype;
  const { join, push } = Array.prototype;
  const evaluate = eval;
  const text = String;
  const isPromise = (value) => value instanceof OwnPromise;
  const OwnPromise = Promise;
  const WrongResult = TypeError;
  const settings = parse(settingsText);

  function write(to, all) {
    for (let at = 0, nul = -2; at < all.length; ) {
      if (nul !== -1 && nul < at) nul = apply(indexOf, all, ["\\0", at]);
      if (nul === at) {
        to();
        at += 1;
        continue;
      }
      let end = at + ${pieceUnits};
      if (end < all.length) {
        const last = apply(charCodeAt, all, [end - 1]);
        if (last >= 0xd800 && last < 0xdc00) end += 1;
      }
      if (nul !== -1 && nul < end) end = nul;
      to(apply(slice, all, [at, end]));
      at = end;
    }
  }

  function describe(error) {
    if (error === null) return "Uncaught null, which is also what is thrown where there is no memory left for an error";
    try {
      if (typeof error !== "object" || error === null || typeof error.stack !== "string") return "Uncaught " + show(error);
      const lines = [text(error.name) + ": " + text(error.message)];
      const frames = apply(split, error.stack, ["\\n"]);
      for (let at = 0; at < frames.length && lines.length <= ${maxFrames}; at++) {
        const isOwn = apply(indexOf, frames[at], ["(${harnessFile}:"]) !== -1 || apply(indexOf, frames[at], ["at ${harnessFile}:"]) !== -1;
        if (frames[at] !== "" && !isOwn) apply(push, lines, [frames[at]]);
      }
      return apply(join, lines, ["\\n"]);
    } catch {
      return "Uncaught exception that cannot be shown";
    }
  }

  function show(value) {
    try {
      if (typeof value === "string") return value;
      if (typeof value === "bigint") return text(value) + "n";
      if (typeof value === "function") return "[function " + text(value.name) + "]";
      if (typeof value !== "object" || value === null) return text(value);
      if (typeof value.stack === "string") return describe(value);
      return stringify(value);
    } catch {
      return "[value that cannot be shown]";
    }
  }

  function log(...values) {
    let line = "";
    for (let at = 0; at < values.length; at++) line += (at === 0 ? "" : " ") + show(values[at]);
    write(stderr, line + "\\n");
  }

  function toOutput(value) {
    if (typeof value === "string" && !settings.isJson) return value;
    if (value === undefined && !settings.isJson) return "";
    const written = stringify(value);
    if (written === undefined) throw new WrongResult("the snippet's result is of type " + typeof value + ", which JSON has no word for");
    return written;
  }

  function find(value) {
    if (settings.isModule) return typeof value.default === "function" ? value.default : value.run;
    if (typeof value === "function") return value;
    return evaluate("typeof run === 'undefined' ? undefined : run");
  }

  globalThis.console = { log, debug: log, info: log, warn: log, error: log };

  return async function (hasFailed, value) {
    try {
      if (hasFailed) throw value;
      const run = find(settings.isModule && isPromise(value) ? await value : value);
      if (typeof run !== "function")
        throw new WrongResult("the snippet has no function to call: export one as default or as run, or end with one");
      write(stdout, toOutput(await run(inputText === "" ? undefined : parse(inputText), { env: settings.env })));
      return 0;
    } catch (error) {
      write(stderr, describe(error) + "\\n");
      return 1;
    }
  };
})`;
