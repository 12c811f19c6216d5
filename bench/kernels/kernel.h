// What every kernel in C shares: no library, no imports, `run` exported.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((export_name("run")))

// Marsaglia's xorshift32: the same data on every run. The state is never zero.
static inline uint32_t next_random(uint32_t *state) {
  uint32_t x = *state;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return *state = x;
}
