;; Attack A8: a loop inside of handlers for everything.
(module
  (memory (export "memory") 1)
  (func $spin (loop $again br $again))
  (func (export "_start")
    (loop $again
      (try (do (call $spin)) (catch_all))
      (br $again))))
