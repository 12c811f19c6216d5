;; Attack A9: a matcher that tries one way after the other runs the program of (a|a)*b over its input: each further "a" doubles the work.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; Three bytes an instruction. 0: the byte must be there; 1: tries here, then there; 2: goes there; 3: it matches.
  (data (i32.const 0) "\01\01\06" "\01\02\04" "\00a\00" "\02\00\00" "\00a\00" "\02\00\00" "\00b\00" "\03\00\00")
  ;; Where input goes: 4,096 bytes at 1,024.
  (data (i32.const 64) "\00\04\00\00\00\10\00\00")
  (func $match (param $at i32) (param $pc i32) (result i32) (local $instruction i32) (local $op i32)
    (loop $next (result i32)
      (local.set $instruction (i32.mul (local.get $pc) (i32.const 3)))
      (local.set $op (i32.load8_u (local.get $instruction)))
      (if (i32.eqz (local.get $op))
        (then
          (if (i32.ne (i32.load8_u (local.get $at)) (i32.load8_u offset=1 (local.get $instruction))) (then (return (i32.const 0))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (local.set $pc (i32.add (local.get $pc) (i32.const 1)))
          (br $next)))
      (if (i32.eq (local.get $op) (i32.const 3)) (then (return (i32.const 1))))
      (if (i32.eq (local.get $op) (i32.const 1))
        (then
          (if (call $match (local.get $at) (i32.load8_u offset=1 (local.get $instruction))) (then (return (i32.const 1))))
          (local.set $pc (i32.load8_u offset=2 (local.get $instruction)))
          (br $next)))
      (local.set $pc (i32.load8_u offset=1 (local.get $instruction)))
      (br $next)))
  (func (export "_start")
    (drop (call $fd_read (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 72)))
    ;; The input is JSON: a quotation mark comes first.
    (drop (call $match (i32.const 1025) (i32.const 0)))))
