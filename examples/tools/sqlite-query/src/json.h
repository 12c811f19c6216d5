/* JSON text in a buffer that does not grow over its cap. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

#include <sqlite3.h>

struct json {
  char *text;
  size_t length;
  size_t capacity;
  bool full; /* something did not fit; what is in `text` is cut off there */
};

void json_text(struct json *json, const char *text);
void json_string(struct json *json, const unsigned char *bytes, size_t length);

/* Column `index` of the current row. Integers beyond 2^53 and infinities become strings, which a reader
   with doubles would else get wrong; a BLOB becomes {"base64": "…"}. */
void json_column(struct json *json, sqlite3_stmt *statement, int index);

#endif
