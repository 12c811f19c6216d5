/* Answers one reading query over a SQLite database file of the call. */

#include "fail.h"
#include "input.h"
#include "json.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

/* Below 1 MiB, the standard profile's limit of output. */
enum { MAX_ANSWER_BYTES = 900 * 1024, TAIL_BYTES = 128 };

void fail(const char *format, ...) {
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  /* Names from the input must not forge further lines. */
  for (char *c = line; *c != '\0'; c++) {
    if (iscntrl((unsigned char)*c)) *c = ' ';
  }
  fprintf(stderr, "sqlite-query: %s\n", line);
  exit(1);
}

static bool is_reading_pragma(const char *name) {
  static const char *const known[] = {
      "collation_list", "compile_options", "data_version",  "database_list", "encoding",    "foreign_key_check",
      "foreign_key_list", "freelist_count", "function_list", "index_info",    "index_list",  "index_xinfo",
      "integrity_check", "page_count",     "page_size",     "quick_check",   "table_info",  "table_list",
      "table_xinfo",     "user_version",
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (sqlite3_stricmp(name, known[i]) == 0) return true;
  }
  return false;
}

/* Threat: ATTACH, writing pragmas and DDL, whether the query says them or the database's own schema does.
   Virtual tables prepare INSERT, UPDATE and DELETE even for reading; prepare_query refuses the caller's own,
   and the file system writes nothing. */
static int authorize(void *context, int action, const char *first, const char *second, const char *database, const char *trigger) {
  (void)context, (void)second, (void)database, (void)trigger;
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_FUNCTION:
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
    case SQLITE_RECURSIVE: return SQLITE_OK;
    case SQLITE_PRAGMA: return is_reading_pragma(first) ? SQLITE_OK : SQLITE_DENY;
    default: return SQLITE_DENY;
  }
}

/* Changes that are in a journal only would be missing from the answer, without a word. */
static void refuse_journal(const char *database, const char *suffix) {
  struct stat status;
  char *path = sqlite3_mprintf("%s%s", database, suffix);
  if (path == NULL) fail("Cannot open \"%s\": out of memory", database);
  if (stat(path, &status) == 0 && status.st_size > 0) {
    fail("Cannot open \"%s\": \"%s\" has changes that are not in it yet; close or checkpoint the database first", database, path);
  }
  sqlite3_free(path);
}

/* A file: URI with the path's special characters escaped (https://sqlite.org/uri.html). */
static char *immutable_uri(const char *path) {
  size_t length = strlen(path);
  char *uri = malloc(5 + 3 * length + sizeof "?mode=ro&immutable=1"), *at = uri;
  if (uri == NULL) fail("Cannot open the database: out of memory");
  memcpy(at, "file:", 5);
  at += 5;
  for (const char *c = path; *c != '\0'; c++) {
    if (isalnum((unsigned char)*c) || strchr("/._-", *c) != NULL) *at++ = *c;
    else at += sprintf(at, "%%%02X", (unsigned char)*c);
  }
  strcpy(at, "?mode=ro&immutable=1");
  return uri;
}

static sqlite3 *open_database(const char *path) {
  /* SQLite says only "unable to open"; the system knows why. */
  int fd = open(path, O_RDONLY);
  if (fd < 0) fail("Cannot open \"%s\": %s", path, strerror(errno));
  close(fd);
  refuse_journal(path, "-wal");
  refuse_journal(path, "-journal");

  sqlite3 *database;
  /* Two slashes at the start would be read as the URI's host. */
  while (path[0] == '/' && path[1] == '/') path++;
  char *uri = immutable_uri(path);
  if (sqlite3_open_v2(uri, &database, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) != SQLITE_OK) {
    fail("Cannot open \"%s\": %s", path, sqlite3_errmsg(database));
  }
  free(uri);
  /* https://sqlite.org/security.html, "Untrusted SQLite Database Files" */
  sqlite3_db_config(database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  sqlite3_db_config(database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  static const int limits[][2] = {
      {SQLITE_LIMIT_LENGTH, 16 << 20},       {SQLITE_LIMIT_SQL_LENGTH, 256 << 10}, {SQLITE_LIMIT_COLUMN, 500},
      {SQLITE_LIMIT_EXPR_DEPTH, 100},        {SQLITE_LIMIT_COMPOUND_SELECT, 50},   {SQLITE_LIMIT_VDBE_OP, 250000},
      {SQLITE_LIMIT_FUNCTION_ARG, 100},      {SQLITE_LIMIT_ATTACHED, 0},           {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000},
      {SQLITE_LIMIT_VARIABLE_NUMBER, MAX_PARAMETERS},   {SQLITE_LIMIT_TRIGGER_DEPTH, 10},
  };
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) sqlite3_limit(database, limits[i][0], limits[i][1]);
  sqlite3_set_authorizer(database, authorize, NULL);
  return database;
}

static sqlite3_stmt *prepare_query(sqlite3 *database, const char *sql) {
  sqlite3_stmt *statement, *second;
  const char *tail;
  if (sqlite3_prepare_v2(database, sql, -1, &statement, &tail) != SQLITE_OK) {
    if (sqlite3_errcode(database) == SQLITE_AUTH) fail("Cannot run the query: it may only read");
    fail("Cannot run the query: %s", sqlite3_errmsg(database));
  }
  if (statement == NULL) fail("Cannot run the query: it is empty");
  if (sqlite3_prepare_v2(database, tail, -1, &second, NULL) != SQLITE_OK || second != NULL) {
    fail("Cannot run the query: it must be one statement");
  }
  if (!sqlite3_stmt_readonly(statement) || sqlite3_column_count(statement) == 0) {
    fail("Cannot run the query: it may only read");
  }
  return statement;
}

static void put_columns(struct json *answer, sqlite3_stmt *statement) {
  int columns = sqlite3_column_count(statement);
  json_text(answer, "{\"columns\":[");
  for (int i = 0; i < columns; i++) {
    const char *name = sqlite3_column_name(statement, i);
    if (name == NULL) fail("Cannot run the query: out of memory");
    if (i > 0) json_text(answer, ",");
    json_string(answer, (const unsigned char *)name, strlen(name));
  }
  json_text(answer, "],\"rows\":[");
  if (answer->full) fail("Cannot answer the query: its column names are too long");
}

/* True where the row fits; where not, the answer is as it was before. */
static bool put_row(struct json *answer, sqlite3_stmt *statement, bool is_first) {
  size_t start = answer->length;
  int columns = sqlite3_column_count(statement);
  json_text(answer, is_first ? "[" : ",[");
  for (int i = 0; i < columns; i++) {
    if (i > 0) json_text(answer, ",");
    json_column(answer, statement, i);
  }
  json_text(answer, "]");
  if (!answer->full) return true;
  answer->full = false;
  answer->length = start;
  return false;
}

static void run_query(sqlite3 *database, sqlite3_stmt *statement, int limit) {
  struct json answer = {.text = malloc(MAX_ANSWER_BYTES + TAIL_BYTES), .capacity = MAX_ANSWER_BYTES};
  if (answer.text == NULL) fail("Cannot run the query: out of memory");
  put_columns(&answer, statement);

  int rows = 0, code;
  bool truncated = false;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    if (rows == limit || !put_row(&answer, statement, rows == 0)) {
      truncated = true;
      break;
    }
    rows++;
  }
  if (code != SQLITE_ROW && code != SQLITE_DONE) fail("Cannot run the query: %s", sqlite3_errmsg(database));
  if (truncated && rows == 0) fail("Cannot answer the query: its first row is larger than %d bytes", MAX_ANSWER_BYTES);

  answer.capacity += TAIL_BYTES;
  char tail[TAIL_BYTES];
  snprintf(tail, sizeof tail, "],\"rowCount\":%d,\"truncated\":%s}", rows, truncated ? "true" : "false");
  json_text(&answer, tail);
  bool written = fwrite(answer.text, 1, answer.length, stdout) == answer.length && fflush(stdout) == 0;
  if (!written) fail("Cannot write the answer");
}

int main(void) {
  sqlite3 *memory;
  if (sqlite3_open(":memory:", &memory) != SQLITE_OK) fail("Cannot start SQLite");
  struct input input = read_input(memory);
  sqlite3 *database = open_database(input.database);
  sqlite3_stmt *statement = prepare_query(database, input.sql);
  bind_parameters(memory, &input, statement);
  run_query(database, statement, input.limit);
  return 0;
}
