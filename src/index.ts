export type {
  Backend,
  Capability,
  Determinism,
  Enforcement,
  Exit,
  InputFile,
  OutputFile,
  Plan,
  Probe,
  ReapReport,
  RunIo,
  RunReport,
} from "./backend.ts";
export { enforcedValue } from "./backend.ts";
export { errorCodes, ToolRuntimeError } from "./errors.ts";
export type { Actor, ErrorCode, Partial, ToolRuntimeErrorOptions } from "./errors.ts";
export { formatLimit, limitNames, limitUnits, parseQuantity, parseResources } from "./limits.ts";
export type { Limit, LimitOrigin, LimitReading, LimitReceipt, LimitValues, PlannedLimit, Quantity, Resources } from "./limits.ts";
export { profiles, securityProfiles } from "./profile.ts";
export type { Isolation, ProfileRules, SecurityProfile } from "./profile.ts";
export { createRegistry } from "./registry.ts";
export type { MutableRegistry, Registry } from "./registry.ts";
export { createRouter } from "./router.ts";
export type { BatchBudget, MapAnswer, MapItem, MapOptions, Router, RouterOptions } from "./router.ts";
export { createRuntime } from "./runtime.ts";
export type {
  BackendInfo,
  BackendLoad,
  BackendProbe,
  Call,
  CallerName,
  Concurrency,
  ExecutionEvent,
  Explanation,
  FileInput,
  Result,
  ResultFile,
  Runtime,
  RuntimeOptions,
  Task,
  TenantQuota,
} from "./runtime.ts";
export { createAuditLog, memoryBlobStore, memoryExecutionStore, verifyAudit } from "./store.ts";
export type {
  AuditEvent,
  AuditLog,
  AuditLogOptions,
  AuditRecord,
  AuditSink,
  AuditSubject,
  AuditVerdict,
  BlobInfo,
  BlobStore,
  ByteRange,
  ExecutionStore,
  MemoryBlobStoreOptions,
  MemoryExecutionStoreOptions,
  OpenBlob,
} from "./store.ts";
export { defineTool, parseManifest, parseToolRef } from "./tool.ts";
export type {
  ArtifactKind,
  BuiltTool,
  CompiledArtifact,
  ComponentInstantiate,
  Digest,
  EngineAbi,
  Manifest,
  ManifestInput,
  Tool,
  ToolRef,
  ToolSources,
  WasmAbi,
} from "./tool.ts";
