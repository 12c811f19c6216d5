// Ackermann and Peter's function of 2 and n: calls that cannot be unrolled, and little else.
#include "kernel.h"

__attribute__((noinline)) static uint32_t ackermann(uint32_t m, uint32_t n) {
  if (m == 0) return n + 1;
  if (n == 0) return ackermann(m - 1, 1);
  return ackermann(m - 1, ackermann(m, n - 1));
}

EXPORT int32_t run(int32_t n) { return (int32_t)ackermann(2, (uint32_t)n); }
