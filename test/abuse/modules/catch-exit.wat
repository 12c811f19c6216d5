;; Ends with 3, catches that, tries to write and to end with 4, catches that too, and goes on to return.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\05\00\00\00")
  (data (i32.const 16) "after")
  (func (export "_start")
    (try (do (call $exit (i32.const 3))) (catch_all))
    (try (do (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))) (catch_all))
    (try (do (call $exit (i32.const 4))) (catch_all))))
