;; Takes all the memory there is and writes to each page of it, again and again; ends with the number of pages.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $page i32)
    (loop $more
      (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (loop $touch
      (i32.store (i32.mul (local.get $page) (i32.const 65536)) (i32.const 0x55555555))
      (i32.store offset=32768 (i32.mul (local.get $page) (i32.const 65536)) (i32.const 0x55555555))
      (local.set $page (i32.add (local.get $page) (i32.const 1)))
      (br_if $touch (i32.lt_u (local.get $page) (memory.size))))
    (call $exit (memory.size))))
