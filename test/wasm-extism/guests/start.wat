;; Logs before anybody calls it.
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "log_info" (func $log_info (param i64)))
  (memory (export "memory") 1)
  (func $start (call $log_info (call $alloc (i64.const 3))))
  (start $start)
  (func (export "run")))
