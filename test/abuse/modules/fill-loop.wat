;; Attack A4: fills the whole of its 32 MiB, for ever.
(module
  (memory (export "memory") 512)
  (func (export "_start")
    (loop $again
      (memory.fill (i32.const 0) (i32.const 7) (i32.const 0x2000000))
      (br $again))))
