import { Host } from "@extism/as-pdk";

// A plug-in as people write them: input, output, a log line, all by the public kit.
export function count_vowels(): i32 {
  const text = Host.inputString();
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    if ("aeiouAEIOU".includes(text.charAt(i))) count++;
  }
  Host.outputString('{"count":' + count.toString() + "}");
  return 0;
}

export function abort_with(_message: string | null, _file: string | null, _line: u32, _column: u32): void {
  unreachable();
}
