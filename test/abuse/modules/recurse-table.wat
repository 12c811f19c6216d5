;; Calls itself through a table until the stack ends, and tries to catch the end.
(module
  (memory (export "memory") 1)
  (type $down (func))
  (table funcref (elem $down))
  (func $down (type $down)
    (try (do (call_indirect (type $down) (i32.const 0))) (catch_all (call_indirect (type $down) (i32.const 0)))))
  (func (export "_start") (call $down)))
