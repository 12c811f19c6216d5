#!/usr/bin/env node
// Plain syntax: a Node that is too old must be able to read this file to say so.
const major = Number(process.versions.node.split(".")[0]);

if (major < 24) {
  console.error(
    "toolruntime needs Node 24 or newer; this is " + process.version + "; install it from https://nodejs.org or with a version manager",
  );
  process.exitCode = 1;
} else {
  import("../dist/cli/main.js");
}
