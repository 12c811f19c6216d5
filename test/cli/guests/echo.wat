;; Writes a line with a colour in it to stderr, then stdin to stdout, and ends with 0.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 64) "log \1b[31mred\0a")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 13))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 16)))
    (i32.store (i32.const 0) (i32.const 1024))
    (block $end
      (loop $more
        (i32.store (i32.const 4) (i32.const 65536))
        (br_if $end (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
        (br_if $end (i32.eqz (i32.load (i32.const 16))))
        (i32.store (i32.const 4) (i32.load (i32.const 16)))
        (br_if $end (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
        (br $more)))))
