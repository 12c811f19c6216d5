// Prints `N passed, N failed, N skipped` from vitest's JSON report, and ends with the exit code of the test run.
import { readFileSync } from "node:fs";

const [path = "", code = "1"] = process.argv.slice(2);
let counts = { numPassedTests: 0, numFailedTests: 1, numPendingTests: 0, numTodoTests: 0 };
try {
  counts = JSON.parse(readFileSync(path, "utf8"));
} catch (error) {
  console.error(`Cannot read the report of the test run: ${error.message}`);
}
const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = counts;
// A suite that broke before its tests were known fails the run without a failed test.
const failed = numFailedTests === 0 && code !== "0" ? 1 : numFailedTests;
console.log(`${numPassedTests} passed, ${failed} failed, ${numPendingTests + numTodoTests} skipped`);
process.exitCode = failed === 0 && numPassedTests > 0 ? 0 : 1;
