const [, kind] = process.argv.slice(2);
const depth = 100_000;
const texts = {
  nested: `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`,
  infinite: '{"a":1e999}',
  duplicate: '{"a":1,"a":2}',
  cut: '{"a":"',
  prototype: '{"__proto__":{"polluted":true}}',
};
process.stdout.write(texts[kind]);
