import type { Log } from "../../edge/index.ts";
import { memoryExecutionStore, type ExecutionStore } from "../../store.ts";
import { openAudit } from "./audit-file.ts";
import type { ServiceConfig } from "./config/schema.ts";
import { openSqliteExecutions, type SqliteExecutions } from "./store/sqlite-executions.ts";

/** What a service remembers of its executions. */
export interface ServiceStores {
  readonly executions: ExecutionStore;
  /** What an earlier process had not ended. */
  readonly lost: SqliteExecutions["lost"];
  close(): Promise<void>;
}

/**
 * Keeps executions in the folder of state where the configuration has one, else in memory. The audit log is in its file
 * where there is one, else with them.
 *
 * @throws `ERR_CONFIG_INVALID`.
 */
export function openStores({ state, audit: auditConfig, security }: ServiceConfig, log: Log): ServiceStores {
  if (state === undefined) {
    const { audit, close } = openAudit(auditConfig?.file);
    return { executions: memoryExecutionStore({ audit }), lost: [], close: async () => close() };
  }
  const file = auditConfig === undefined ? undefined : openAudit(auditConfig.file);
  try {
    const store = openSqliteExecutions({ ...state, security, log, ...(file === undefined ? {} : { audit: file.audit }) });
    const close = async (): Promise<void> => {
      await store.close();
      file?.close();
    };
    return { executions: store, lost: store.lost, close };
  } catch (error) {
    file?.close();
    throw error;
  }
}
