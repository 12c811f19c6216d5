;; Two modules with a memory each: says how many pages they grow to together.
(component
  (core module $other
    (memory (export "memory") 1)
    (func (export "grow") (result i32)
      (loop $next (br_if $next (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
      (memory.size)))
  (core instance $first (instantiate $other))
  (core module $main
    (import "other" "grow" (func $other (result i32)))
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "run") (param i32 i32) (result i32)
      (local $pages i32)
      (loop $next (br_if $next (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
      (local.set $pages (i32.add (call $other) (memory.size)))
      ;; three decimal digits at 16, the result at 0
      (i32.store8 (i32.const 16) (i32.add (i32.const 48) (i32.div_u (local.get $pages) (i32.const 100))))
      (i32.store8 (i32.const 17) (i32.add (i32.const 48) (i32.rem_u (i32.div_u (local.get $pages) (i32.const 10)) (i32.const 10))))
      (i32.store8 (i32.const 18) (i32.add (i32.const 48) (i32.rem_u (local.get $pages) (i32.const 10))))
      (i32.store (i32.const 4) (i32.const 16))
      (i32.store (i32.const 8) (i32.const 3))
      (i32.const 0)))
  (core instance $second (instantiate $main (with "other" (instance $first))))
  (func $run (param "input" string) (result (result string (error string)))
    (canon lift (core func $second "run") (memory (core memory $second "memory")) (realloc (core func $second "cabi_realloc"))))
  (export "run" (func $run)))
