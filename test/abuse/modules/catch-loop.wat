;; Attack A8: catches everything that is thrown, around a loop that calls the host, and goes on for ever.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\00\00\00\00\00\00\01\00")
  (func (export "_start")
    (loop $again
      (try (do (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))) (catch_all))
      (try (do (call $proc_exit (i32.const 3))) (catch_all))
      (br $again))))
