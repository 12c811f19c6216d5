/* The call's input: {"file", "width", "height", "format", "quality"}. */
#ifndef INPUT_H
#define INPUT_H

#include <stdbool.h>

enum { MAX_PATH_BYTES = 1024, MAX_SIDE = 2048 };

struct input {
  char file[MAX_PATH_BYTES + 1];
  int width;
  int height;
  bool jpeg;
  int quality;
};

/* Reads stdin; says on failure why in `problem`, a text that lives as long as the program. */
bool read_input(struct input *input, const char **problem);

#endif
