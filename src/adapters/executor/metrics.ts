import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Metrics } from "../../edge/index.ts";

/** Tools that get a label of their own; more would make the series of a service that registers tools without end. */
const maxToolLabels = 200;

/** Metrics in Prometheus' text format. */
export function prometheusMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Counter({
    name: "toolruntime_http_requests_total",
    help: "HTTP requests",
    labelNames: ["method", "status"],
    registers,
  });
  const executions = new Counter({
    name: "toolruntime_executions_total",
    help: "Executions that ended, by outcome: OK, or the error's code",
    labelNames: ["tool", "backend", "outcome"],
    registers,
  });
  const failures = new Counter({
    name: "toolruntime_tool_failures_total",
    help: "Executions whose tool ended by itself with an exit code other than 0",
    labelNames: ["tool"],
    registers,
  });
  const duration = new Histogram({
    name: "toolruntime_execution_duration_seconds",
    help: "From the acceptance of an execution to its end",
    labelNames: ["tool"],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    registers,
  });
  const inflight = new Gauge({ name: "toolruntime_inflight", help: "Executions that run or wait", registers });
  const memory = new Gauge({ name: "process_resident_memory_bytes", help: "Resident memory of the service", registers });

  const known = new Set<string>();
  const labelOf = (tool: string): string => {
    if (known.has(tool)) return tool;
    if (known.size >= maxToolLabels) return "other";
    known.add(tool);
    return tool;
  };

  return {
    requestEnded({ method, status }) {
      requests.inc({ method: methods.has(method) ? method : "other", status });
    },
    executionEnded({ tool, backend, outcome, exitCode, ms }) {
      const label = labelOf(tool);
      executions.inc({ tool: label, backend, outcome });
      duration.observe({ tool: label }, ms / 1000);
      if (exitCode !== undefined && exitCode !== 0) failures.inc({ tool: label });
    },
    async expose({ running }) {
      inflight.set(running);
      memory.set(process.memoryUsage.rss());
      return { contentType: registry.contentType, text: await registry.metrics() };
    },
  };
}

const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
