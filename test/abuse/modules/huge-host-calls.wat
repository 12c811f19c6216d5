;; Attack A7: asks for a hundred megabytes of random bytes in one call, again and again.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 1601)
  (func (export "_start")
    (loop $again
      (drop (call $random_get (i32.const 0) (i32.const 0x6400000)))
      (br $again))))
