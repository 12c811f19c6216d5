// What a terminal, a log and a page would act on.
const [, mode] = process.argv.slice(2);
const hostile = "\u001b]0;owned\u0007\u001b[2J\r\nSet-Cookie: owned=1\r\n<script>owned</script>\u009b31m";

process.stderr.write(hostile);
process.stdout.write(hostile);
if (mode === "fail") process.exitCode = 1;
if (mode === "wait") setInterval(() => {}, 1_000_000);
if (mode === "fill") for (let count = 0; count < 10_000; count++) process.stdout.write(hostile);
