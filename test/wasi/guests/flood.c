// Writes to its output without end, a byte at a time where it has an argument.
#include <unistd.h>

int main(int argc, char **argv) {
  static char block[4096];
  (void)argv;
  for (char *p = block; p < block + sizeof block; p++) *p = 'x';
  for (;;) write(1, block, argc > 1 ? 1 : sizeof block);
}
