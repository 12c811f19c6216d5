// Hands the host a pointer outside the memory, in the way that its first argument names.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>

int main(int argc, char **argv) {
  const char *way = argc > 1 ? argv[1] : "";
  uint8_t *outside = (uint8_t *)(uintptr_t)0xfffffff0u;
  __wasi_size_t n;
  __wasi_ciovec_t wild = {outside, 64};
  if (strcmp(way, "write") == 0) return __wasi_fd_write(1, &wild, 1, &n);
  if (strcmp(way, "iovecs") == 0) return __wasi_fd_write(1, &wild, 1u << 30, &n);
  if (strcmp(way, "random") == 0) return __wasi_random_get(outside, 1u << 31);
  if (strcmp(way, "readdir") == 0) return __wasi_fd_readdir(3, outside, 64, 0, &n);
  if (strcmp(way, "negative") == 0) return __wasi_fd_read(0, (__wasi_iovec_t *)(uintptr_t)-1, 1, &n);
  return 100;
}
