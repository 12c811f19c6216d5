import { existsSync } from "node:fs";
import { relative } from "node:path";
import { oldestDate, oldestWrangler, platform, requestSignalFlag } from "./contract.ts";
import { advice, ok, problem, type Finding } from "./finding.ts";
import type { WranglerConfig } from "./wrangler.ts";

/** Whether a version is at least another one, both of numbers and dots. */
function isAtLeast(version: string, least: string): boolean {
  const [found, wanted] = [version, least].map((text) => text.split(/[.-]/).map(Number));
  for (const [index, part] of (wanted ?? []).entries()) {
    const own = found?.[index] ?? 0;
    if (own !== part) return own > part;
  }
  return true;
}

export function checkVersion(version: string): Finding {
  if (isAtLeast(version, oldestWrangler)) return ok("wrangler", version);
  return problem({
    check: "wrangler",
    says: `it is ${version}, the oldest that fits is ${oldestWrangler}`,
    next: "npm install --save-dev wrangler@4",
  });
}

/** What an environment says of the platform. `today` as in `2026-11-22`. */
export function checkPlatform(config: WranglerConfig, today: string): Finding[] {
  return [checkMain(config), checkDate(config, today), checkFlags(config), checkCpu(config), checkObservability(config)].flat();
}

function checkMain({ main }: WranglerConfig): Finding {
  if (main === undefined) return problem({ check: "main", says: "there is none", next: 'main = "src/edge/worker.ts"' });
  return existsSync(main) ? ok("main", relative(".", main)) : problem({ check: "main", says: `there is no file ${main}` });
}

function checkDate({ compatibility_date: date }: WranglerConfig, today: string): Finding {
  const check = "compatibility_date";
  if (date === undefined)
    return problem({ check, says: "there is none: the platform would take a very old one", next: `${check} = "${oldestDate}"` });
  if (date < oldestDate)
    return problem({ check, says: `${date} is older than what the worker needs`, next: `${check} = "${oldestDate}" or later` });
  if (date > today) return problem({ check, says: `${date} has not come yet; the platform refuses it` });
  return ok(check, date);
}

function checkFlags({ compatibility_flags: flags }: WranglerConfig): Finding[] {
  const check = "compatibility_flags";
  const signal = flags.includes(requestSignalFlag)
    ? ok(check, flags.join(", "))
    : problem({
        check,
        says: `"${requestSignalFlag}" is missing: a tool would run on when its caller has gone`,
        next: `compatibility_flags = ["${requestSignalFlag}"]`,
      });
  const isLarger = flags.some((flag) => flag.startsWith("nodejs_compat"));
  return isLarger ? [signal, advice({ check, says: "nodejs_compat is not needed, and makes the worker start slower" })] : [signal];
}

function checkCpu({ limits }: WranglerConfig): Finding {
  const check = "limits.cpu_ms";
  const cpuMs = limits?.cpu_ms;
  if (cpuMs === undefined) return advice({ check, says: "there is none: the platform's 30 s hold", next: "[limits] cpu_ms = 30_000" });
  if (cpuMs > 0 && cpuMs <= platform.maxCpuMs) return ok(check, `${cpuMs} ms`);
  return problem({ check, says: `${cpuMs} ms; the platform takes up to ${platform.maxCpuMs}` });
}

function checkObservability({ observability }: WranglerConfig): Finding {
  if (observability?.enabled === true) return ok("observability", "on");
  return advice({ check: "observability", says: "off: logs and the audit trail are kept nowhere", next: "[observability] enabled = true" });
}
