;; Calls itself until the stack ends.
(module
  (memory (export "memory") 1)
  (global $depth (mut i32) (i32.const 0))
  (func $down (param i64 i64) (result i64)
    (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
    (i64.add (local.get 0) (call $down (local.get 1) (local.get 0))))
  (func (export "_start") (drop (call $down (i64.const 1) (i64.const 2)))))
