;; Attack A7: asks for a megabyte of random bytes without end, many times in one straight line.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 17)
  (func (export "_start")
    (loop $again
      (drop (call $random_get (i32.const 0) (i32.const 0x100000)))
      (drop (call $random_get (i32.const 0) (i32.const 0x100000)))
      (drop (call $random_get (i32.const 0) (i32.const 0x100000)))
      (drop (call $random_get (i32.const 0) (i32.const 0x100000)))
      (br $again))))
