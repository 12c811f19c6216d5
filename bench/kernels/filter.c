// A 3x3 sharpening filter over a grey image of 256x256, n times, with saturation to a byte.
#include "kernel.h"

#define WIDTH 256
#define HEIGHT 256

static const int8_t weights[3][3] = {{-1, -2, -1}, {-2, 28, -2}, {-1, -2, -1}};
static uint8_t images[2][HEIGHT][WIDTH];

static uint8_t clamp(int32_t value) { return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value); }

static void filter(const uint8_t from[HEIGHT][WIDTH], uint8_t to[HEIGHT][WIDTH]) {
  for (int y = 1; y < HEIGHT - 1; y++)
    for (int x = 1; x < WIDTH - 1; x++) {
      int32_t sum = 0;
      for (int v = -1; v <= 1; v++)
        for (int u = -1; u <= 1; u++) sum += weights[v + 1][u + 1] * from[y + v][x + u];
      to[y][x] = clamp(sum / 16);
    }
}

EXPORT int32_t run(int32_t n) {
  uint32_t seed = 3;
  for (int y = 0; y < HEIGHT; y++)
    for (int x = 0; x < WIDTH; x++) images[0][y][x] = images[1][y][x] = (uint8_t)(x + y + next_random(&seed) % 16);
  for (int32_t round = 0; round < n; round++) filter(images[round & 1], images[~round & 1]);
  uint32_t sum = 0;
  for (int y = 0; y < HEIGHT; y++)
    for (int x = 0; x < WIDTH; x++) sum = sum * 31 + images[n & 1][y][x];
  return (int32_t)sum;
}
