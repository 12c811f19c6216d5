;; Grows a table of each kind until it cannot; ends with the sum of their sizes as its exit code.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (table $functions 0 funcref)
  (table $externals 0 externref)
  (func (export "_start")
    (loop $more
      (br_if $more (i32.ne (table.grow $functions (ref.null func) (i32.const 1000)) (i32.const -1))))
    (loop $more
      (br_if $more (i32.ne (table.grow $externals (ref.null extern) (i32.const 1000)) (i32.const -1))))
    (drop (table.grow $externals (ref.null extern) (i32.const -1)))
    (drop (table.grow $externals (ref.null extern) (i32.const 0x7fffffff)))
    (call $exit (i32.add (table.size $functions) (table.size $externals)))))
