import type { ToolRuntimeError } from "../errors.ts";
import { styled, type Terminal } from "./terminal.ts";

/** The error in one line, and under it what can be done next. */
export function printError(terminal: Terminal, error: ToolRuntimeError): void {
  terminal.note(styled("red", `toolruntime: ${error.code}: `), error.message);
  for (const advice of adviceFor(error)) terminal.note(styled("bold", "  next: "), advice);
}

/** What somebody at a terminal can try; for the codes where that is known. */
function adviceFor({ code, details, retryable }: ToolRuntimeError): string[] {
  switch (code) {
    case "ERR_LIMIT_UNENFORCEABLE":
      return details["demandedByProfile"] === true
        ? ["--security dev goes without it, for tools that you trust; the receipt then says so"]
        : [`--best-effort ${String(details["limit"])} goes without it; the receipt then says so`];
    case "ERR_PROFILE_UNSUPPORTED":
      return ["toolruntime doctor shows which backend serves which profile"];
    case "ERR_ARTIFACT_UNSUPPORTED":
      return ["a host command needs --allow-unsafe --security dev; toolruntime doctor shows what each backend takes"];
    case "ERR_BACKEND_UNAVAILABLE":
      return ["toolruntime doctor shows what is missing"];
    case "ERR_INPUT_INVALID":
      return ["toolruntime tools describe <tool> shows the input that it takes"];
    case "ERR_TOOL_NOT_FOUND":
      return ["toolruntime tools list --tools <folder> shows the tools of a folder; a path needs a slash in it, as ./my-tool"];
    case "ERR_LIMIT_TIMEOUT":
      return ["--timeout gives it more time"];
    case "ERR_LIMIT_MEMORY":
      return ["--memory gives it more"];
    default:
      return retryable ? ["the same again may succeed later"] : [];
  }
}
