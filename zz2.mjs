import { ready, runOnce } from "./test/wasm-component/support.ts";
const a = await ready("command"); await runOnce(a,{input:"host"});
const mode=process.argv[2];
for (let i=1;i<=900;i++){ const c=new AbortController(); if(mode!=="exit 3") setTimeout(()=>c.abort(new Error("x")),3); await runOnce(a,{input:mode,signal:c.signal}).catch(()=>{}); if(i%300===0){ globalThis.gc(); console.log(mode,i, (process.memoryUsage().rss/2**20).toFixed(0),"MiB rss", (process.memoryUsage().heapUsed/2**20).toFixed(0), "heap"); } }
