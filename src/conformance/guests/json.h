/*
 * A small reader of JSON for guests: one pass, no numbers but whole ones, no nesting beyond a fixed depth. It takes only
 * what the conformance suite sends, which the runtime has checked to be JSON already.
 */
#ifndef TOOLRUNTIME_CONFORMANCE_JSON_H
#define TOOLRUNTIME_CONFORMANCE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum json_kind { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
  enum json_kind kind;
  /* The name under which it stands in an object. */
  const char *key;
  int64_t number;
  const char *text;
  size_t length;
  /* The first member of an array or object, and the next one of the same parent. */
  struct json *child;
  struct json *next;
};

struct json_reader {
  const char *at;
  const char *end;
};

static struct json *json_value(struct json_reader *reader, int depth);

static void json_space(struct json_reader *reader) {
  while (reader->at < reader->end && strchr(" \t\r\n", *reader->at) != NULL) reader->at++;
}

static bool json_take(struct json_reader *reader, char wanted) {
  json_space(reader);
  if (reader->at >= reader->end || *reader->at != wanted) return false;
  reader->at++;
  return true;
}

static unsigned json_hex4(struct json_reader *reader) {
  unsigned value = 0;
  for (int digit = 0; digit < 4 && reader->at < reader->end; digit++) {
    char c = *reader->at++;
    value = value * 16 + (unsigned)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
  }
  return value;
}

static char *json_utf8(char *out, unsigned point) {
  if (point < 0x80) {
    *out++ = (char)point;
  } else if (point < 0x800) {
    *out++ = (char)(0xc0 | point >> 6);
    *out++ = (char)(0x80 | (point & 63));
  } else if (point < 0x10000) {
    *out++ = (char)(0xe0 | point >> 12);
    *out++ = (char)(0x80 | (point >> 6 & 63));
    *out++ = (char)(0x80 | (point & 63));
  } else {
    *out++ = (char)(0xf0 | point >> 18);
    *out++ = (char)(0x80 | (point >> 12 & 63));
    *out++ = (char)(0x80 | (point >> 6 & 63));
    *out++ = (char)(0x80 | (point & 63));
  }
  return out;
}

static char *json_escape(struct json_reader *reader, char *out) {
  static const char names[] = "bfnrt";
  static const char values[] = "\b\f\n\r\t";
  char c = *reader->at++;
  if (c == 'u') {
    unsigned point = json_hex4(reader);
    bool is_high = point >= 0xd800 && point < 0xdc00;
    if (is_high && reader->end - reader->at >= 6 && reader->at[0] == '\\' && reader->at[1] == 'u') {
      reader->at += 2;
      point = 0x10000 + ((point - 0xd800) << 10) + (json_hex4(reader) - 0xdc00);
    }
    return json_utf8(out, point);
  }
  const char *name = strchr(names, c);
  *out++ = name == NULL ? c : values[name - names];
  return out;
}

/* The opening quote has been taken. */
static char *json_string(struct json_reader *reader, size_t *length) {
  const char *end = reader->at;
  while (end < reader->end && *end != '"') end += *end == '\\' ? 2 : 1;
  /* An escape is never shorter than the bytes that it stands for. */
  char *text = malloc((size_t)(end - reader->at) + 1);
  if (text == NULL) abort();
  char *out = text;
  while (reader->at < end) {
    if (*reader->at == '\\') {
      reader->at++;
      out = json_escape(reader, out);
    } else {
      *out++ = *reader->at++;
    }
  }
  reader->at++;
  *out = '\0';
  *length = (size_t)(out - text);
  return text;
}

static void json_members(struct json_reader *reader, struct json *parent, int depth) {
  bool is_object = parent->kind == JSON_OBJECT;
  char close = is_object ? '}' : ']';
  struct json **tail = &parent->child;
  if (json_take(reader, close)) return;
  do {
    const char *key = NULL;
    size_t ignored;
    if (is_object) {
      if (!json_take(reader, '"')) abort();
      key = json_string(reader, &ignored);
      if (!json_take(reader, ':')) abort();
    }
    struct json *member = json_value(reader, depth + 1);
    member->key = key;
    *tail = member;
    tail = &member->next;
  } while (json_take(reader, ','));
  if (!json_take(reader, close)) abort();
}

static void json_scalar(struct json_reader *reader, struct json *value) {
  bool is_negative = *reader->at == '-';
  if (is_negative) reader->at++;
  value->kind = JSON_NUMBER;
  switch (*reader->at) {
    case 'n': value->kind = JSON_NULL; break;
    case 'f': value->kind = JSON_FALSE; break;
    case 't': value->kind = JSON_TRUE; break;
    default: break;
  }
  for (; reader->at < reader->end && strchr(",]} \t\r\n", *reader->at) == NULL; reader->at++) {
    if (value->kind == JSON_NUMBER) value->number = value->number * 10 + (*reader->at - '0');
  }
  if (is_negative) value->number = -value->number;
}

static struct json *json_value(struct json_reader *reader, int depth) {
  struct json *value = calloc(1, sizeof *value);
  json_space(reader);
  if (value == NULL || depth > 64 || reader->at >= reader->end) abort();
  if (json_take(reader, '"')) {
    value->kind = JSON_STRING;
    value->text = json_string(reader, &value->length);
  } else if (json_take(reader, '{')) {
    value->kind = JSON_OBJECT;
    json_members(reader, value, depth);
  } else if (json_take(reader, '[')) {
    value->kind = JSON_ARRAY;
    json_members(reader, value, depth);
  } else {
    json_scalar(reader, value);
  }
  return value;
}

static const struct json *json_get(const struct json *object, const char *key) {
  for (const struct json *member = object->child; member != NULL; member = member->next) {
    if (member->key != NULL && strcmp(member->key, key) == 0) return member;
  }
  return NULL;
}

static const char *json_text(const struct json *object, const char *key, const char *otherwise) {
  const struct json *member = json_get(object, key);
  return member != NULL && member->kind == JSON_STRING ? member->text : otherwise;
}

static int64_t json_number(const struct json *object, const char *key, int64_t otherwise) {
  const struct json *member = json_get(object, key);
  return member != NULL && member->kind == JSON_NUMBER ? member->number : otherwise;
}

#endif
