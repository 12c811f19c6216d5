// Sleeps as long as its argument says, in milliseconds, and prints whether that long went by.
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv) {
  long ms = argc > 1 ? atol(argv[1]) : 1;
  struct timespec before, after, sleep = {ms / 1000, ms % 1000 * 1000000};
  struct pollfd ready[2] = {{.fd = 0, .events = POLLIN}, {.fd = 1, .events = POLLOUT}};
  clock_gettime(CLOCK_MONOTONIC, &before);
  if (nanosleep(&sleep, NULL) != 0) {
    perror("nanosleep");
    return 1;
  }
  clock_gettime(CLOCK_MONOTONIC, &after);
  long long passed = (after.tv_sec - before.tv_sec) * 1000000000LL + (after.tv_nsec - before.tv_nsec);
  printf("%s, %d ready\n", passed >= ms * 1000000LL ? "slept" : "too short", poll(ready, 2, 1000000));
  return 0;
}
