;; Attack A3: a function that calls itself as its last act, for ever.
(module
  (memory (export "memory") 1)
  (func $again (return_call $again))
  (func (export "_start") (call $again)))
