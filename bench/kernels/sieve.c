// The sieve of Eratosthenes below 2^18, n times.
#include "kernel.h"

#define LIMIT (1 << 18)

static uint8_t composite[LIMIT];

static int32_t sieve(void) {
  int32_t primes = 0;
  for (int32_t i = 0; i < LIMIT; i++) composite[i] = 0;
  for (int32_t i = 2; i < LIMIT; i++) {
    if (composite[i]) continue;
    primes++;
    if (i > LIMIT / i) continue;
    for (int32_t j = i * i; j < LIMIT; j += i) composite[j] = 1;
  }
  return primes;
}

EXPORT int32_t run(int32_t n) {
  int32_t sum = 0;
  for (int32_t round = 0; round < n; round++) sum += sieve() ^ round;
  return sum;
}
