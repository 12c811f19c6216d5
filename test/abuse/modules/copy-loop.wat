;; Attack A4: moves nearly the whole of its 32 MiB by a byte, to and fro, for ever.
(module
  (memory (export "memory") 512)
  (func (export "_start")
    (loop $again
      (memory.copy (i32.const 1) (i32.const 0) (i32.const 0x1ffffff))
      (memory.copy (i32.const 0) (i32.const 1) (i32.const 0x1ffffff))
      (br $again))))
