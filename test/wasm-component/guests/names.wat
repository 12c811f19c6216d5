;; Attacks whoever writes JavaScript from it: a core module whose export ends a string literal and goes on with code.
(component
  (core module $m
    (func (export "a']||{},{}),x:(process.env.ATTACKED='yes'),y:Object.assign(exports0['a") (result i32) i32.const 1))
  (core instance $i (instantiate $m))
  (core module $n
    (import "n" "q" (func (result i32)))
    (func (export "run") (result i32) call 0))
  (core instance $args (export "q" (func $i "a']||{},{}),x:(process.env.ATTACKED='yes'),y:Object.assign(exports0['a")))
  (core instance $j (instantiate $n (with "n" (instance $args))))
  (func $run (result s32) (canon lift (core func $j "run")))
  (export "run" (func $run)))
