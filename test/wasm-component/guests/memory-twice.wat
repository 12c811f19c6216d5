;; One module with a memory, instantiated twice.
(component
  (core module $m (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "run") (param i32 i32) (result i32) (i32.const 0)))
  (core instance $first (instantiate $m))
  (core instance $second (instantiate $m))
  (func $run (param "input" string) (result (result string (error string)))
    (canon lift (core func $second "run") (memory (core memory $second "memory")) (realloc (core func $second "cabi_realloc"))))
  (export "run" (func $run)))
