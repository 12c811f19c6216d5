;; Links core modules by a name that, as a key of an object literal, sets the prototype.
(component
  (core module $m
    (func (export "toString") (result i32) i32.const 0)
    (func (export "constructor") (result i32) i32.const 0))
  (core instance $i (instantiate $m))
  (core module $n
    (import "__proto__" "toString" (func (result i32)))
    (func (export "run") (result i32) call 0))
  (core instance $args (export "toString" (func $i "constructor")))
  (core instance $j (instantiate $n (with "__proto__" (instance $args))))
  (func $run (result s32) (canon lift (core func $j "run")))
  (export "run" (func $run)))
