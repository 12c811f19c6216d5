#include "json.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const sqlite3_int64 MAX_SAFE_INTEGER = 9007199254740991;

static void put(struct json *json, const void *bytes, size_t length) {
  if (json->full || length > json->capacity - json->length) {
    json->full = true;
    return;
  }
  memcpy(json->text + json->length, bytes, length);
  json->length += length;
}

void json_text(struct json *json, const char *text) { put(json, text, strlen(text)); }

/* The length of the UTF-8 sequence at `bytes` by RFC 3629, 0 where there is none. */
static size_t sequence_length(const unsigned char *bytes, size_t left) {
  unsigned char first = bytes[0], low = 0x80, high = 0xBF;
  size_t length;
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) length = 2;
  else if (first >= 0xE0 && first <= 0xEF) length = 3;
  else if (first >= 0xF0 && first <= 0xF4) length = 4;
  else return 0;
  if (first == 0xE0) low = 0xA0;
  if (first == 0xED) high = 0x9F;
  if (first == 0xF0) low = 0x90;
  if (first == 0xF4) high = 0x8F;
  if (left < length || bytes[1] < low || bytes[1] > high) return 0;
  for (size_t i = 2; i < length; i++) {
    if (bytes[i] < 0x80 || bytes[i] > 0xBF) return 0;
  }
  return length;
}

void json_string(struct json *json, const unsigned char *bytes, size_t length) {
  put(json, "\"", 1);
  for (size_t i = 0; i < length && !json->full;) {
    size_t sequence = sequence_length(bytes + i, length - i);
    if (sequence == 0) {
      put(json, "\xEF\xBF\xBD", 3);
      i++;
    } else if (bytes[i] == '"' || bytes[i] == '\\') {
      put(json, (char[]){'\\', (char)bytes[i]}, 2);
      i++;
    } else if (bytes[i] < 0x20) {
      char escape[7];
      sqlite3_snprintf(sizeof escape, escape, "\\u%04x", bytes[i]);
      put(json, escape, 6);
      i++;
    } else {
      put(json, bytes + i, sequence);
      i += sequence;
    }
  }
  put(json, "\"", 1);
}

static void json_integer(struct json *json, sqlite3_int64 value) {
  char digits[24];
  bool is_safe = value >= -MAX_SAFE_INTEGER && value <= MAX_SAFE_INTEGER;
  sqlite3_snprintf(sizeof digits, digits, is_safe ? "%lld" : "\"%lld\"", value);
  json_text(json, digits);
}

static void json_real(struct json *json, double value) {
  char digits[40];
  /* SQLite stores NaN as NULL. */
  if (isinf(value)) {
    json_text(json, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    return;
  }
  for (int precision = 15; precision <= 17; precision++) {
    sqlite3_snprintf(sizeof digits, digits, "%!.*g", precision, value);
    if (strtod(digits, NULL) == value) break;
  }
  json_text(json, digits);
}

static void json_blob(struct json *json, const uint8_t *bytes, size_t length) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  json_text(json, "{\"base64\":\"");
  for (size_t i = 0; i < length && !json->full; i += 3) {
    size_t left = length - i;
    uint32_t group = (uint32_t)bytes[i] << 16;
    if (left > 1) group |= (uint32_t)bytes[i + 1] << 8;
    if (left > 2) group |= bytes[i + 2];
    char digits[4] = {alphabet[group >> 18], alphabet[group >> 12 & 63], '=', '='};
    if (left > 1) digits[2] = alphabet[group >> 6 & 63];
    if (left > 2) digits[3] = alphabet[group & 63];
    put(json, digits, sizeof digits);
  }
  json_text(json, "\"}");
}

void json_column(struct json *json, sqlite3_stmt *statement, int index) {
  switch (sqlite3_column_type(statement, index)) {
    case SQLITE_INTEGER: json_integer(json, sqlite3_column_int64(statement, index)); break;
    case SQLITE_FLOAT: json_real(json, sqlite3_column_double(statement, index)); break;
    case SQLITE_TEXT: {
      const unsigned char *text = sqlite3_column_text(statement, index);
      json_string(json, text, text == NULL ? 0 : (size_t)sqlite3_column_bytes(statement, index));
      break;
    }
    case SQLITE_BLOB: {
      const uint8_t *bytes = sqlite3_column_blob(statement, index);
      json_blob(json, bytes, bytes == NULL ? 0 : (size_t)sqlite3_column_bytes(statement, index));
      break;
    }
    default: json_text(json, "null"); break;
  }
}
