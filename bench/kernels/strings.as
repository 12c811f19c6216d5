// Builds strings of the language (UTF-16, allocated anew at each step), cuts them up again and sums what is in them, n times.

function describe(id: i32): string {
  return "tool-" + id.toString() + ": " + (id % 3 == 0 ? "allowed" : "denied") + ", fuel " + (id * 977).toString();
}

export function run(n: i32): i32 {
  let sum: u32 = 0;
  for (let round = 0; round < n; round++) {
    const lines = new Array<string>();
    for (let id = 0; id < 200; id++) lines.push(describe(id + round));
    const words = lines.join("\n").replaceAll("denied", "refused").split(" ");
    for (let i = 0; i < words.length; i++) {
      const word = words[i];
      for (let at = 0; at < word.length; at++) sum = sum * 31 + word.charCodeAt(at);
    }
  }
  return i32(sum);
}
