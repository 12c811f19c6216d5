;; Attack A2: an endless loop in the start function, before the entry point.
(module
  (memory (export "memory") 1)
  (func $spin (loop $again br $again))
  (start $spin)
  (func (export "_start")))
