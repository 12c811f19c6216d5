;; Writes 32 KiB without a newline to stderr, for ever.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\00\80\00\00")
  (func (export "_start")
    (memory.fill (i32.const 16) (i32.const 101) (i32.const 32768))
    (loop $more
      (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br $more))))
