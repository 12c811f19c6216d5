;; Attack A3: two functions that call each other through a table as their last act, for ever.
(module
  (memory (export "memory") 1)
  (type $step (func (param i32)))
  (table funcref (elem $even $odd))
  (func $even (param i32) (return_call_indirect (type $step) (i32.add (local.get 0) (i32.const 1)) (i32.const 1)))
  (func $odd (param i32) (return_call_indirect (type $step) (i32.add (local.get 0) (i32.const 1)) (i32.const 0)))
  (func (export "_start") (call $even (i32.const 0))))
