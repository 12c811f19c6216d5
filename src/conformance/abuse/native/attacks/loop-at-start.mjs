// A module's imports run before its first line.
import "./loop.mjs";

console.log("the entry point was reached");
