// Five bodies under gravity, n steps: doubles, division and square roots.
#include "kernel.h"

#define BODIES 5

struct body {
  double x, y, z, vx, vy, vz, mass;
};

// The sun and the giant planets, in rounded figures of astronomical units, days and solar masses.
static const struct body initial[BODIES] = {
    {0, 0, 0, 0, 0, 0, 1},
    {4.84, -1.16, -0.103, 0.00166, 0.00770, -0.0000691, 0.000955},
    {8.34, 4.12, -0.404, -0.00277, 0.00500, 0.0000230, 0.000286},
    {12.9, -15.1, -0.223, 0.00296, 0.00238, -0.0000297, 0.0000437},
    {15.4, -25.9, 0.179, 0.00268, 0.00163, -0.0000951, 0.0000515},
};
static struct body bodies[BODIES];

static void step(double days) {
  const double gravity = 0.000295912;
  for (int i = 0; i < BODIES; i++) {
    struct body *a = &bodies[i];
    for (int j = i + 1; j < BODIES; j++) {
      struct body *b = &bodies[j];
      double x = a->x - b->x, y = a->y - b->y, z = a->z - b->z;
      double square = x * x + y * y + z * z;
      double pull = gravity * days / (square * __builtin_sqrt(square));
      a->vx -= x * b->mass * pull, a->vy -= y * b->mass * pull, a->vz -= z * b->mass * pull;
      b->vx += x * a->mass * pull, b->vy += y * a->mass * pull, b->vz += z * a->mass * pull;
    }
  }
  for (int i = 0; i < BODIES; i++) {
    struct body *a = &bodies[i];
    a->x += days * a->vx, a->y += days * a->vy, a->z += days * a->vz;
  }
}

EXPORT int32_t run(int32_t n) {
  for (int i = 0; i < BODIES; i++) bodies[i] = initial[i];
  for (int32_t round = 0; round < n; round++) step(0.01);
  double sum = 0;
  for (int i = 0; i < BODIES; i++) sum += bodies[i].x + bodies[i].y + bodies[i].z;
  return (int32_t)(sum * 100000);
}
