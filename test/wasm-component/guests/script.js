// A tool of the world in tool.wit, in JavaScript on QuickJS: its engine's state is a snapshot made when it was built.
export function run(input) {
  const { text, fail } = JSON.parse(input);
  if (fail !== undefined) throw fail;
  return JSON.stringify({ text: text.toUpperCase(), random: Math.random(), now: Date.now() });
}
