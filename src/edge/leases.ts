import { ToolRuntimeError } from "../errors.ts";
import { wireHeaders } from "../internal/wire-names.ts";
import type { Settings } from "./options.ts";
import { replyJson } from "./reply.ts";
import type { LiveRun } from "./runner.ts";
import { identify, type AppContext } from "./scope.ts";

interface Lease {
  readonly tenant: string;
  readonly id: string;
  /** As `performance.now()` has it. */
  endsAt: number;
  readonly runs: Set<LiveRun>;
  /** Armed while it has runs. */
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** Of a lease that a run names before anybody has renewed it. */
const firstTtlMs = 10_000;
/** One for each process that forwards runs here; more are somebody's mistake. */
const maxLeasesOfTenant = 1000;
const idPattern = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * Leases under which callers keep what they have running. A caller whose machine or link is gone sends no end of the connection:
 * its lease runs out, and its runs are ended.
 */
export class Leases {
  /** By tenant and id. */
  readonly #tenants = new Map<string, Map<string, Lease>>();

  /** Puts a run under a lease until it has ended. @throws `ERR_QUEUE_FULL` for too many leases. */
  hold(id: string, run: LiveRun): void {
    const lease = this.#open(run.tenant, id);
    const now = performance.now();
    // Those before were ended; whoever sends a run lives.
    if (lease.endsAt <= now) lease.endsAt = now + firstTtlMs;
    lease.runs.add(run);
    this.#arm(lease);
    void run.done.finally(() => {
      lease.runs.delete(run);
      if (lease.runs.size === 0) this.#rest(lease);
    });
  }

  /** Gives the runs under it so much longer from now on, and says how many there are. @throws `ERR_QUEUE_FULL`. */
  renew(tenant: string, id: string, ttlMs: number): number {
    const lease = this.#open(tenant, id);
    lease.endsAt = performance.now() + ttlMs;
    this.#arm(lease);
    return lease.runs.size;
  }

  #open(tenant: string, id: string): Lease {
    let leases = this.#tenants.get(tenant);
    if (leases === undefined) this.#tenants.set(tenant, (leases = new Map()));
    const known = leases.get(id);
    const now = performance.now();
    if (known !== undefined && (known.runs.size > 0 || known.endsAt > now)) return known;
    if (known === undefined && leases.size >= maxLeasesOfTenant) this.#assertRoom(leases, now);
    const lease: Lease = { tenant, id, endsAt: now + firstTtlMs, runs: new Set(), timer: undefined };
    leases.set(id, lease);
    return lease;
  }

  #assertRoom(leases: Map<string, Lease>, now: number): void {
    for (const [id, { runs, endsAt }] of leases) if (runs.size === 0 && endsAt <= now) leases.delete(id);
    if (leases.size < maxLeasesOfTenant) return;
    throw new ToolRuntimeError("ERR_QUEUE_FULL", `Cannot open the lease: the tenant has ${leases.size} already; renew one of them`, {
      details: { leases: leases.size, retryAfterMs: firstTtlMs },
    });
  }

  /** A timer that is early is set again: renewing moves the end and no timer. */
  #arm(lease: Lease): void {
    const leftMs = lease.endsAt - performance.now();
    if (lease.runs.size === 0) return;
    clearTimeout(lease.timer);
    lease.timer = setTimeout(
      () => (performance.now() < lease.endsAt ? this.#arm(lease) : this.#expire(lease)),
      Math.max(0, Math.ceil(leftMs)),
    );
  }

  #rest(lease: Lease): void {
    clearTimeout(lease.timer);
    lease.timer = undefined;
    if (lease.endsAt > performance.now()) return;
    const leases = this.#tenants.get(lease.tenant);
    if (leases?.get(lease.id) !== lease) return;
    leases.delete(lease.id);
    if (leases.size === 0) this.#tenants.delete(lease.tenant);
  }

  #expire(lease: Lease): void {
    for (const run of lease.runs) {
      run.end(
        new ToolRuntimeError("ERR_LEASE_EXPIRED", `Cannot finish the task: nobody has renewed the lease "${lease.id}"`, {
          details: { lease: lease.id },
        }),
      );
    }
  }
}

/** The lease that a run is to be under. @throws `ERR_ARGUMENT_INVALID`. */
export function leaseOf(c: AppContext): string | undefined {
  const id = c.req.header(wireHeaders.lease);
  if (id === undefined || idPattern.test(id)) return id;
  throw new ToolRuntimeError("ERR_ARGUMENT_INVALID", `Cannot read the header "${wireHeaders.lease}": it takes 1 to 64 of A-Z a-z 0-9 _ -`, {
    details: { header: wireHeaders.lease },
  });
}

/** `PUT /v1/leases/{id}`. */
export function renewLease(leases: Leases, settings: Settings): (c: AppContext) => Promise<Response> {
  return async (c) => {
    const { tenant } = await identify(c, settings, "run");
    const id = c.req.param("id") ?? "";
    if (!idPattern.test(id)) {
      throw new ToolRuntimeError("ERR_ARGUMENT_INVALID", "Cannot read the name of the lease: it takes 1 to 64 of A-Z a-z 0-9 _ -", {
        details: { path: "id" },
      });
    }
    const { ttlMs } = await (await import("./small-bodies.ts")).readLease(c, settings);
    const executions = leases.renew(tenant, id, ttlMs);
    return replyJson(c.get("scope").requestId, 200, JSON.stringify({ id, ttlMs, executions }));
  };
}
