/* The call's input: {"database", "sql", "parameters", "limit"}. */
#ifndef INPUT_H
#define INPUT_H

#include <sqlite3.h>

enum { MAX_PARAMETERS = 999 };

struct input {
  char *database;
  char *sql;
  char *json; /* the whole input, from which the parameters are bound */
  int limit;
};

/* Reads stdin with the JSON functions of `memory`, a database in memory. */
struct input read_input(sqlite3 *memory);

/* Binds the input's parameters: an array by position, an object by name. */
void bind_parameters(sqlite3 *memory, const struct input *input, sqlite3_stmt *statement);

#endif
