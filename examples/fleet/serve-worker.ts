// Started by workerd.ts: serves a worker as a wrangler configuration says, until SIGTERM.
import { unstable_startWorker } from "wrangler";

// Wrangler asks its maker for news and tells him what it is used for, unless it is told not to.
process.env["WRANGLER_SEND_METRICS"] = "false";
process.env["CLOUDFLARE_CF_FETCH_ENABLED"] = "false";

const [config = ""] = process.argv.slice(2);
const worker = await unstable_startWorker({
  config,
  dev: { server: { hostname: "127.0.0.1", port: 0 }, inspector: false, persist: false, logLevel: "none", watch: false },
});
await worker.ready;
const { origin } = await worker.url;
console.log(`listening on ${origin}`);
