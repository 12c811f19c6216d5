// Looks for what is outside: tries the paths that it gets as arguments in every way, prints what it got.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    struct stat info;
    char link[64], through[160];
    if (open(argv[i], O_RDONLY) >= 0) printf("%s opened\n", argv[i]);
    if (open(argv[i], O_RDWR | O_CREAT, 0666) >= 0) printf("%s created\n", argv[i]);
    if (stat(argv[i], &info) == 0) printf("%s found\n", argv[i]);
    if (opendir(argv[i])) printf("%s listed\n", argv[i]);
    if (chdir(argv[i]) == 0) printf("%s entered\n", argv[i]);
    snprintf(link, sizeof link, "/out/link-%d", i);
    snprintf(through, sizeof through, "%s/x", link);
    if (symlink(argv[i], link) == 0) {
      if (open(link, O_RDONLY) >= 0) printf("%s followed\n", argv[i]);
      if (open(through, O_RDONLY) >= 0) printf("%s walked through\n", argv[i]);
    }
    if (rename("/out", argv[i]) == 0) printf("%s renamed to\n", argv[i]);
  }
  if (shutdown(1, SHUT_RD) == 0 || errno != ENOTSOCK) printf("a socket\n");
  char byte;
  if (recv(0, &byte, 1, 0) != -1 || send(1, &byte, 1, 0) != -1) printf("a socket that talks\n");
  printf("done\n");
  return 0;
}
