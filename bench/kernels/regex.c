// A backtracking matcher of regular expressions, compiled to a small program (as R. Cox describes in "Regular Expression Matching: the
// Virtual Machine Approach"): it finds log lines, n times.
#include "kernel.h"

enum op { CHAR, ANY, CLASS, SPLIT, JUMP, MATCH };

struct node {
  uint8_t op;
  uint8_t byte;
  uint16_t first, second;
};

static struct node nodes[256];
static uint32_t classes[16][8];
static uint16_t count;
static int class_count;
static const char *at;

static uint16_t emit(uint8_t op) {
  nodes[count].op = op;
  return count++;
}

// Makes room for one instruction before those from `start` on; targets inside move along.
static void insert(uint16_t start) {
  for (uint16_t i = count++; i > start; i--) nodes[i] = nodes[i - 1];
  for (uint16_t i = start + 1; i < count; i++) {
    if (nodes[i].op != SPLIT && nodes[i].op != JUMP) continue;
    if (nodes[i].first >= start) nodes[i].first++;
    if (nodes[i].op == SPLIT && nodes[i].second >= start) nodes[i].second++;
  }
}

static void parse_class(void) {
  uint32_t *set = classes[class_count];
  int inverted = *at == '^';
  if (inverted) at++;
  while (*at != ']') {
    uint8_t from = (uint8_t)*at++, to = from;
    if (*at == '-') to = (uint8_t)at[1], at += 2;
    for (uint32_t c = from; c <= to; c++) set[c >> 5] |= 1u << (c & 31);
  }
  at++;
  if (inverted)
    for (int i = 0; i < 8; i++) set[i] = ~set[i];
  nodes[emit(CLASS)].byte = (uint8_t)class_count++;
}

static void parse_alternatives(void);

static void parse_atom(void) {
  char c = *at++;
  if (c == '(') {
    parse_alternatives();
    at++;
  } else if (c == '[') {
    parse_class();
  } else if (c == '.') {
    emit(ANY);
  } else {
    if (c == '\\') c = *at++;
    nodes[emit(CHAR)].byte = (uint8_t)c;
  }
}

static void parse_repeat(void) {
  uint16_t start = count;
  parse_atom();
  char c = *at;
  if (c == '+') {
    uint16_t split = emit(SPLIT);
    nodes[split].first = start, nodes[split].second = count;
  } else if (c == '*' || c == '?') {
    insert(start);
    if (c == '*') nodes[emit(JUMP)].first = start;
    nodes[start] = (struct node){.op = SPLIT, .first = start + 1, .second = count};
  } else {
    return;
  }
  at++;
}

static void parse_alternatives(void) {
  uint16_t start = count;
  while (*at != 0 && *at != ')' && *at != '|') parse_repeat();
  if (*at != '|') return;
  at++;
  insert(start);
  uint16_t jump = emit(JUMP);
  nodes[start] = (struct node){.op = SPLIT, .first = start + 1, .second = count};
  parse_alternatives();
  nodes[jump].first = count;
}

static void compile(const char *pattern) {
  at = pattern;
  parse_alternatives();
  emit(MATCH);
}

// The end of the match that begins at `from`, or null.
static const char *match(const struct node *node, const char *from, const char *end) {
  for (;;) {
    switch (node->op) {
      case CHAR:
        if (from == end || (uint8_t)*from != node->byte) return NULL;
        break;
      case ANY:
        if (from == end || *from == '\n') return NULL;
        break;
      case CLASS:
        if (from == end || !(classes[node->byte][(uint8_t)*from >> 5] >> (*from & 31) & 1)) return NULL;
        break;
      case SPLIT: {
        const char *found = match(&nodes[node->first], from, end);
        if (found != NULL) return found;
        node = &nodes[node->second];
        continue;
      }
      case JUMP: node = &nodes[node->first]; continue;
      case MATCH: return from;
    }
    node++, from++;
  }
}

static char text[16384];
static int length;

static void append(const char *words) {
  while (*words != 0) text[length++] = *words++;
}

static void append_number(uint32_t value) {
  if (value >= 10) append_number(value / 10);
  text[length++] = (char)('0' + value % 10);
}

static void fill_text(void) {
  static const char *const levels[] = {"INFO", "WARN", "ERROR", "DEBUG"};
  static const char *const events[] = {"user=ada logged in", "payment of 120.50 EUR refused", "mail to grace@example.org queued", "cache miss"};
  uint32_t seed = 11;
  length = 0;
  while (length < (int)sizeof text - 128) {
    append("2026-11-"), append_number(10 + next_random(&seed) % 20), append("T10:"), append_number(10 + next_random(&seed) % 50);
    append(" "), append(levels[next_random(&seed) & 3]), append(" host-"), append_number(next_random(&seed) % 900);
    append(" "), append(events[next_random(&seed) & 3]), append("\n");
  }
}

EXPORT int32_t run(int32_t n) {
  fill_text();
  count = 0, class_count = 0;
  __builtin_memset(classes, 0, sizeof classes);
  compile("(WARN|ERROR) host-[0-9]+ .*([a-z]+@[a-z.]+|[0-9]+\\.[0-9][0-9] [A-Z]+)");
  uint32_t sum = 0;
  for (int32_t round = 0; round < n; round++)
    for (int from = 0; from < length;) {
      const char *end = match(nodes, text + from, text + length);
      if (end != NULL) sum = sum * 31 + (uint32_t)(end - text);
      from = end != NULL ? (int)(end - text) : from + 1;
    }
  return (int32_t)sum;
}
