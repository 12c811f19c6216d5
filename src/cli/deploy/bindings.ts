import { aliases, bindings, executionsClass, platform } from "./contract.ts";
import { advice, ok, problem, type Finding } from "./finding.ts";
import type { Migration, WranglerConfig } from "./wrangler.ts";

/** What an environment binds, against what the worker looks for. */
export function checkBindings(config: WranglerConfig): Finding[] {
  return [checkArtifacts(config), checkLoader(config), checkExecutions(config), checkRateLimit(config)];
}

/** One that is there under another name is a mistake, one that is not there a choice. */
function missing(check: string, others: readonly string[], { says, next }: { readonly says: string; readonly next: string }): Finding {
  const [other] = others;
  if (other === undefined) return advice({ check, says, next });
  return problem({ check, says: `it is bound as "${other}", and the worker looks for "${check}"`, next: `call the binding "${check}"` });
}

function checkArtifacts({ r2_buckets: buckets }: WranglerConfig): Finding {
  const check = bindings.artifacts;
  const found = buckets.find(({ binding }) => binding === check);
  if (found !== undefined) return ok(check, `R2 bucket "${found.bucket_name ?? ""}"`);
  const others = buckets.map(({ binding }) => binding);
  return missing(check, others, {
    says: "no bucket: files live in one isolate's memory, and tools are those of the deployment alone",
    next: `[[r2_buckets]] binding = "${check}" (bindings are not inherited into a named environment)`,
  });
}

function checkLoader({ worker_loaders: loaders, alias, r2_buckets: buckets }: WranglerConfig): Finding {
  const check = bindings.loader;
  const target = alias?.[aliases.dynamic];
  const isBuiltIn = target !== undefined && !target.includes("no-dynamic");
  if (!loaders.some(({ binding }) => binding === check)) {
    const others = loaders.map(({ binding }) => binding);
    const says = isBuiltIn
      ? "no Worker Loader: the worker has what runs tools of the bucket, and cannot use it"
      : "no Worker Loader: tools that were not deployed with the worker go to nodes, or are refused";
    return missing(check, others, { says, next: `[[worker_loaders]] binding = "${check}"` });
  }
  if (!isBuiltIn) {
    const says = `the worker is built without what uses it: "${aliases.dynamic}" is ${target === undefined ? "nothing" : `"${target}"`}`;
    return problem({ check, says, next: `[alias] "${aliases.dynamic}" = "./src/wasm/loader/worker.ts"` });
  }
  if (buckets.some(({ binding }) => binding === bindings.artifacts)) return ok(check, "Worker Loader, with tools of the bucket");
  return problem({ check, says: `it has no tools to load: the bucket "${bindings.artifacts}" is missing` });
}

/** What the migrations leave: each class, and whether it has SQLite. */
function classesAfter(migrations: readonly Migration[]): ReadonlyMap<string, boolean> {
  const classes = new Map<string, boolean>();
  for (const migration of migrations) {
    for (const name of migration.new_classes ?? []) classes.set(name, false);
    for (const name of migration.new_sqlite_classes ?? []) classes.set(name, true);
    for (const { from, to } of migration.renamed_classes ?? []) {
      classes.set(to, classes.get(from) ?? false);
      classes.delete(from);
    }
    for (const name of migration.deleted_classes ?? []) classes.delete(name);
  }
  return classes;
}

function checkExecutions({ durable_objects: { bindings: objects }, migrations }: WranglerConfig): Finding {
  const check = bindings.executions;
  const found = objects.find(({ name }) => name === check);
  if (found === undefined) {
    const others = objects.filter(({ class_name: name }) => name === executionsClass).map(({ name }) => name);
    return missing(check, others, {
      says: "no Durable Object: executions and idempotency keys live in one isolate's memory",
      next: `[[durable_objects.bindings]] name = "${check}", class_name = "${executionsClass}"`,
    });
  }
  const { class_name: className, script_name: elsewhere } = found;
  if (elsewhere !== undefined) return ok(check, `Durable Object "${className}" of the worker "${elsewhere}"`);
  if (className !== executionsClass) {
    return problem({ check, says: `the worker exports no class "${className}"`, next: `class_name = "${executionsClass}"` });
  }
  const hasSqlite = classesAfter(migrations).get(className);
  const next = `[[migrations]] tag = "v1", new_sqlite_classes = ["${className}"]`;
  if (hasSqlite === undefined) return problem({ check, says: `no migration makes the class "${className}"`, next });
  if (!hasSqlite) return problem({ check, says: `its class "${className}" is made without SQLite, which the worker uses`, next });
  return ok(check, `Durable Object "${className}" with SQLite`);
}

function checkRateLimit({ ratelimits }: WranglerConfig): Finding {
  const check = bindings.rateLimit;
  const found = ratelimits.find(({ name }) => name === check);
  if (found === undefined) {
    const others = ratelimits.map(({ name }) => name);
    return missing(check, others, { says: "none: a caller may ask as often as he likes", next: `[[ratelimits]] name = "${check}"` });
  }
  const { limit, period } = found.simple;
  if (!platform.ratePeriods.some((seconds) => seconds === period)) {
    return problem({ check, says: `a period of ${period} s; the platform takes ${platform.ratePeriods.join(" or ")}` });
  }
  return limit > 0 ? ok(check, `${limit} requests in ${period} s`) : problem({ check, says: `a limit of ${limit} lets nobody in` });
}

interface Named {
  readonly environment: string;
  readonly config: WranglerConfig;
}

/** What environments have in common and should not: whoever tries something in one would change the other. */
export function checkSharing(environments: readonly Named[]): Finding[] {
  const buckets = sharedBy(environments, ({ r2_buckets: all }) => all.map(({ bucket_name: name }) => `R2 bucket "${name ?? ""}"`));
  const counters = sharedBy(environments, ({ ratelimits }) => ratelimits.map(({ namespace_id: id }) => `rate limit namespace "${id}"`));
  const names = sharedBy(environments, ({ name }) => [`worker name "${name ?? ""}"`]);
  return [...names, ...buckets, ...counters].map(([what, users]) =>
    advice({ check: "environments", says: `${users.map((user) => user || "the one without a name").join(" and ")} share the ${what}` }),
  );
}

function sharedBy(environments: readonly Named[], of: (config: WranglerConfig) => readonly string[]): [string, string[]][] {
  const users = new Map<string, string[]>();
  for (const { environment, config } of environments) {
    for (const what of new Set(of(config))) users.set(what, [...(users.get(what) ?? []), environment]);
  }
  return [...users].filter(([, found]) => found.length > 1);
}
