import { defineCommand } from "./command.ts";

const notes = `Exit codes: 0 done · 1 failed · 2 wrong usage. The codes of "run" are in its own help.

Examples:
  toolruntime run ./my-tool --input '{"text":"hello"}'
  toolruntime tools list --tools ./tools
  toolruntime serve --tools ./tools --security dev
  toolruntime build --tools ./tools --out ./src/built-tools
  toolruntime doctor`;

export const root = defineCommand({
  meta: { name: "toolruntime", description: "Runs tools in the sandbox that they need, and says which limits really held" },
  notes,
  subCommands: {
    run: () => import("./commands/run.ts").then(({ run }) => run),
    serve: () => import("./commands/serve.ts").then(({ serve }) => serve),
    node: () => import("./commands/node.ts").then(({ node }) => node),
    keys: () => import("./commands/keys.ts").then(({ keys }) => keys),
    batch: () => import("./commands/batch.ts").then(({ batch }) => batch),
    tools: () => import("./commands/tools.ts").then(({ tools }) => tools),
    build: () => import("./commands/build.ts").then(({ build }) => build),
    deploy: () => import("./commands/deploy.ts").then(({ deploy }) => deploy),
    doctor: () => import("./commands/doctor.ts").then(({ doctor }) => doctor),
    gc: () => import("./commands/gc.ts").then(({ gc }) => gc),
  },
});
