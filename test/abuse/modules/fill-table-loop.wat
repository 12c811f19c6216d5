;; Attack A4: fills a table of a hundred thousand elements, for ever.
(module
  (memory (export "memory") 1)
  (table $t 100000 funcref)
  (elem declare func $spin)
  (func $spin (export "_start")
    (loop $again
      (table.fill $t (i32.const 0) (ref.func $spin) (i32.const 100000))
      (br $again))))
