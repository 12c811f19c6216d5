#include "input.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Without JSMN_STRICT jsmn takes bare words and missing commas. */
#define JSMN_STRICT
#define JSMN_STATIC
#include <jsmn.h>

enum { MAX_INPUT_BYTES = 64 * 1024, MAX_TOKENS = 32 };

static bool is_text(const char *json, const jsmntok_t *token, const char *text) {
  size_t length = (size_t)(token->end - token->start);
  return token->type == JSMN_STRING && strlen(text) == length && memcmp(json + token->start, text, length) == 0;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* The four digits of \uXXXX; jsmn has checked that they are there. */
static uint32_t read_unit(const char *digits) {
  uint32_t unit = 0;
  for (int i = 0; i < 4; i++) unit = unit << 4 | (uint32_t)hex_digit(digits[i]);
  return unit;
}

static size_t put_utf8(char *to, uint32_t point) {
  if (point < 0x80) {
    to[0] = (char)point;
    return 1;
  }
  if (point < 0x800) {
    to[0] = (char)(0xC0 | point >> 6);
    to[1] = (char)(0x80 | (point & 0x3F));
    return 2;
  }
  if (point < 0x10000) {
    to[0] = (char)(0xE0 | point >> 12);
    to[1] = (char)(0x80 | (point >> 6 & 0x3F));
    to[2] = (char)(0x80 | (point & 0x3F));
    return 3;
  }
  to[0] = (char)(0xF0 | point >> 18);
  to[1] = (char)(0x80 | (point >> 12 & 0x3F));
  to[2] = (char)(0x80 | (point >> 6 & 0x3F));
  to[3] = (char)(0x80 | (point & 0x3F));
  return 4;
}

/* Undoes JSON's escapes. False for a text that is too long, has a control character or half a surrogate pair. */
static bool copy_string(char *to, size_t capacity, const char *json, const jsmntok_t *token) {
  const char *at = json + token->start, *end = json + token->end;
  size_t length = 0;
  while (at < end) {
    uint32_t point;
    if (capacity - length < 5) return false;
    if (*at != '\\') {
      if ((unsigned char)*at < 0x20) return false;
      to[length++] = *at++;
      continue;
    }
    switch (at[1]) {
      case 'b': case 'f': case 'n': case 'r': case 't': return false;
      case 'u': point = read_unit(at + 2); break;
      default: point = (unsigned char)at[1]; break;
    }
    bool is_unit = at[1] == 'u';
    at += is_unit ? 6 : 2;
    if (is_unit && point >= 0xD800 && point <= 0xDBFF) {
      if (end - at < 6 || at[0] != '\\' || at[1] != 'u') return false;
      uint32_t low = read_unit(at + 2);
      if (low < 0xDC00 || low > 0xDFFF) return false;
      point = 0x10000 + ((point - 0xD800) << 10 | (low - 0xDC00));
      at += 6;
    } else if (is_unit && point >= 0xDC00 && point <= 0xDFFF) {
      return false;
    }
    if (point < 0x20) return false;
    length += put_utf8(to + length, point);
  }
  to[length] = '\0';
  return true;
}

static bool read_integer(int *to, int low, int high, const char *json, const jsmntok_t *token) {
  char digits[12];
  size_t length = (size_t)(token->end - token->start);
  if (token->type != JSMN_PRIMITIVE || length == 0 || length >= sizeof digits) return false;
  for (size_t i = 0; i < length; i++) {
    char c = json[(size_t)token->start + i];
    if (c < '0' || c > '9') return false;
    digits[i] = c;
  }
  digits[length] = '\0';
  errno = 0;
  long value = strtol(digits, NULL, 10);
  if (errno != 0 || value < low || value > high) return false;
  *to = (int)value;
  return true;
}

static bool read_field(struct input *input, const char *json, const jsmntok_t *key, const char **problem) {
  const jsmntok_t *value = key + 1;
  if (is_text(json, key, "file")) {
    *problem = "Cannot use \"file\": it must be a path of at most 1019 bytes";
    return value->type == JSMN_STRING && copy_string(input->file, sizeof input->file, json, value);
  }
  if (is_text(json, key, "width") || is_text(json, key, "height")) {
    *problem = "Cannot use \"width\" or \"height\": it must be a whole number from 1 to 2048";
    return read_integer(is_text(json, key, "width") ? &input->width : &input->height, 1, MAX_SIDE, json, value);
  }
  if (is_text(json, key, "format")) {
    *problem = "Cannot use \"format\": it must be \"png\" or \"jpg\"";
    input->jpeg = is_text(json, value, "jpg");
    return input->jpeg || is_text(json, value, "png");
  }
  if (is_text(json, key, "quality")) {
    *problem = "Cannot use \"quality\": it must be a whole number from 1 to 100";
    return read_integer(&input->quality, 1, 100, json, value);
  }
  *problem = "Cannot use the input: the keys are file, width, height, format and quality";
  return false;
}

bool read_input(struct input *input, const char **problem) {
  static char json[MAX_INPUT_BYTES + 1];
  size_t length = fread(json, 1, sizeof json, stdin);
  if (ferror(stdin)) return *problem = "Cannot read the input", false;
  if (length > MAX_INPUT_BYTES) return *problem = "Cannot read the input: it is larger than 65536 bytes", false;

  jsmn_parser parser;
  jsmntok_t tokens[MAX_TOKENS];
  jsmn_init(&parser);
  int count = jsmn_parse(&parser, json, length, tokens, MAX_TOKENS);
  if (count < 1 || tokens[0].type != JSMN_OBJECT) return *problem = "Cannot read the input: it must be a JSON object of a few fields", false;

  *input = (struct input){.width = 256, .height = 256, .quality = 80};
  /* A field's value is one token: read_field refuses objects and arrays, so the next key is two tokens on. */
  for (int i = 1; i < count; i += 2) {
    bool is_pair = tokens[i].type == JSMN_STRING && tokens[i].size == 1 && i + 1 < count;
    if (!is_pair) return *problem = "Cannot read the input: it must be a JSON object of a few fields", false;
    if (!read_field(input, json, &tokens[i], problem)) return false;
  }
  if (input->file[0] == '\0') return *problem = "Cannot use the input: \"file\" is missing", false;
  return true;
}
