#include "input.h"
#include "fail.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INPUT_BYTES = 256 * 1024, MAX_NAME_BYTES = 128, DEFAULT_LIMIT = 100, MAX_LIMIT = 1000 };

static sqlite3_stmt *prepare(sqlite3 *memory, const char *sql, const char *json) {
  sqlite3_stmt *statement;
  if (sqlite3_prepare_v2(memory, sql, -1, &statement, NULL) != SQLITE_OK ||
      sqlite3_bind_text(statement, 1, json, -1, SQLITE_STATIC) != SQLITE_OK) {
    fail("Cannot read the input: %s", sqlite3_errmsg(memory));
  }
  return statement;
}

static char *read_stdin(void) {
  static char text[MAX_INPUT_BYTES + 2];
  size_t length = fread(text, 1, MAX_INPUT_BYTES + 1, stdin);
  if (ferror(stdin)) fail("Cannot read the input");
  if (length > MAX_INPUT_BYTES) fail("Cannot read the input: it is larger than %d bytes", MAX_INPUT_BYTES);
  text[length] = '\0';
  if (strlen(text) != length) fail("Cannot read the input: it is not JSON");
  return text;
}

static char *copy_text(sqlite3_stmt *field, const char *key) {
  const char *text = (const char *)sqlite3_column_text(field, 2);
  size_t length = (size_t)sqlite3_column_bytes(field, 2);
  if (text == NULL || length == 0 || strlen(text) != length) fail("Cannot use \"%s\": it is empty or has a NUL", key);
  char *copy = malloc(length + 1);
  if (copy == NULL) fail("Cannot read the input: out of memory");
  return memcpy(copy, text, length + 1);
}

struct input read_input(sqlite3 *memory) {
  struct input input = {.json = read_stdin(), .limit = DEFAULT_LIMIT};

  sqlite3_stmt *check = prepare(memory, "SELECT json_valid(?1, 1) AND json_type(?1) = 'object'", input.json);
  if (sqlite3_step(check) != SQLITE_ROW || !sqlite3_column_int(check, 0)) fail("Cannot read the input: it is not a JSON object");
  sqlite3_finalize(check);

  sqlite3_stmt *field = prepare(memory, "SELECT key, type, value FROM json_each(?1)", input.json);
  int code;
  while ((code = sqlite3_step(field)) == SQLITE_ROW) {
    const char *key = (const char *)sqlite3_column_text(field, 0);
    const char *type = (const char *)sqlite3_column_text(field, 1);
    if (key == NULL || type == NULL) fail("Cannot read the input: out of memory");
    if (strcmp(key, "database") == 0 && strcmp(type, "text") == 0 && input.database == NULL) {
      input.database = copy_text(field, "database");
    } else if (strcmp(key, "sql") == 0 && strcmp(type, "text") == 0 && input.sql == NULL) {
      input.sql = copy_text(field, "sql");
    } else if (strcmp(key, "limit") == 0 && strcmp(type, "integer") == 0) {
      sqlite3_int64 limit = sqlite3_column_int64(field, 2);
      if (limit < 1 || limit > MAX_LIMIT) fail("Cannot use \"limit\": it must be from 1 to %d", MAX_LIMIT);
      input.limit = (int)limit;
    } else if (strcmp(key, "parameters") != 0 || (strcmp(type, "array") != 0 && strcmp(type, "object") != 0)) {
      fail("Cannot use the input: the fields are database and sql (texts), parameters (array or object) and limit (integer)");
    }
  }
  if (code != SQLITE_DONE) fail("Cannot read the input: %s", sqlite3_errmsg(memory));
  sqlite3_finalize(field);
  if (input.database == NULL || input.sql == NULL) fail("Cannot use the input: it needs \"database\" and \"sql\"");
  return input;
}

/* The parameter's number for a key: a position of the array from 0, or a name with or without its prefix. */
static int parameter_index(sqlite3_stmt *parameter, sqlite3_stmt *statement) {
  if (sqlite3_column_type(parameter, 0) == SQLITE_INTEGER) return sqlite3_column_int(parameter, 0) + 1;
  const char *key = (const char *)sqlite3_column_text(parameter, 0);
  if (key == NULL || strlen(key) > MAX_NAME_BYTES) return 0;
  int index = sqlite3_bind_parameter_index(statement, key);
  for (const char *prefix = ":@$"; index == 0 && *prefix != '\0'; prefix++) {
    char name[MAX_NAME_BYTES + 2];
    snprintf(name, sizeof name, "%c%s", *prefix, key);
    index = sqlite3_bind_parameter_index(statement, name);
  }
  return index;
}

void bind_parameters(sqlite3 *memory, const struct input *input, sqlite3_stmt *statement) {
  bool is_bound[MAX_PARAMETERS + 1] = {false};
  int wanted = sqlite3_bind_parameter_count(statement), bound = 0, code;
  if (wanted > MAX_PARAMETERS) fail("Cannot bind the parameters: there are more than %d", MAX_PARAMETERS);
  sqlite3_stmt *parameter = prepare(memory, "SELECT key, type, value FROM json_each(?1, '$.parameters')", input->json);
  while ((code = sqlite3_step(parameter)) == SQLITE_ROW) {
    const char *type = (const char *)sqlite3_column_text(parameter, 1);
    if (type == NULL || strcmp(type, "array") == 0 || strcmp(type, "object") == 0) {
      fail("Cannot bind parameter %d: it must be a text, a number, a boolean or null", bound + 1);
    }
    int index = parameter_index(parameter, statement);
    if (index < 1 || index > wanted) fail("Cannot bind parameter %d: the query has no such parameter", bound + 1);
    if (is_bound[index]) fail("Cannot bind parameter %d: it comes twice", bound + 1);
    is_bound[index] = true;
    if (sqlite3_bind_value(statement, index, sqlite3_column_value(parameter, 2)) != SQLITE_OK) {
      fail("Cannot bind parameter %d: it is too large", bound + 1);
    }
    bound++;
  }
  if (code != SQLITE_DONE) fail("Cannot read the parameters: %s", sqlite3_errmsg(memory));
  sqlite3_finalize(parameter);
  if (bound != wanted) fail("Cannot bind the parameters: the query has %d and %d were given", wanted, bound);
}
