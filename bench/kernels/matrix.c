// n products of two 96x96 matrices of doubles, by the definition.
#include "kernel.h"

#define SIZE 96

static double a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];

static void multiply(void) {
  for (int i = 0; i < SIZE; i++)
    for (int j = 0; j < SIZE; j++) {
      double sum = 0;
      for (int k = 0; k < SIZE; k++) sum += a[i][k] * b[k][j];
      c[i][j] = sum;
    }
}

EXPORT int32_t run(int32_t n) {
  uint32_t seed = 7;
  for (int i = 0; i < SIZE; i++)
    for (int j = 0; j < SIZE; j++) {
      a[i][j] = next_random(&seed) % 1000 / 1000.0;
      b[i][j] = next_random(&seed) % 1000 / 1000.0;
    }
  double sum = 0;
  for (int32_t round = 0; round < n; round++) {
    multiply();
    sum += c[round % SIZE][(round * 7) % SIZE];
    a[round % SIZE][0] = c[0][round % SIZE] / SIZE;
  }
  return (int32_t)(sum * 1000);
}
