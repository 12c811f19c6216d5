// LZ77 with a byte-wise format: packs a text with a hash table, unpacks it, compares by memory operations, n times. Copies of every length.
#include "kernel.h"

#define SIZE 32768
#define TABLE_BITS 12

static uint8_t text[SIZE], packed[SIZE * 2], unpacked[SIZE];
static uint16_t table[1 << TABLE_BITS];

static uint32_t hash(const uint8_t *at) { return ((uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2]) * 0x9e3779b1u >> (32 - TABLE_BITS); }

// A literal run is its length (1 to 127) and its bytes; a copy is 128 + length - 3 and two bytes of distance.
static uint8_t *put_literals(uint8_t *to, const uint8_t *from, uint32_t length) {
  while (length > 0) {
    uint32_t part = length < 127 ? length : 127;
    *to++ = (uint8_t)part;
    __builtin_memcpy(to, from, part);
    to += part, from += part, length -= part;
  }
  return to;
}

static uint32_t pack(void) {
  uint8_t *to = packed;
  uint32_t literals = 0, at = 0;
  __builtin_memset(table, 0, sizeof table);
  while (at + 3 < SIZE) {
    uint32_t slot = hash(text + at), before = table[slot], length = 0;
    table[slot] = (uint16_t)at;
    if (before < at)
      while (length < 130 && at + length < SIZE && text[before + length] == text[at + length]) length++;
    if (length < 4) {
      at++;
      continue;
    }
    to = put_literals(to, text + literals, at - literals);
    *to++ = (uint8_t)(128 + length - 3), *to++ = (uint8_t)(at - before), *to++ = (uint8_t)((at - before) >> 8);
    literals = at += length;
  }
  return (uint32_t)(put_literals(to, text + literals, SIZE - literals) - packed);
}

static void unpack(uint32_t length) {
  const uint8_t *from = packed, *end = packed + length;
  uint8_t *to = unpacked;
  while (from < end) {
    uint32_t head = *from++;
    if (head < 128) {
      __builtin_memcpy(to, from, head);
      to += head, from += head;
      continue;
    }
    uint32_t part = head - 128 + 3, distance = (uint32_t)(from[0] | from[1] << 8);
    from += 2;
    if (distance >= part) {
      __builtin_memcpy(to, to - distance, part);
      to += part;
    } else {
      for (; part > 0; part--, to++) *to = to[-(int32_t)distance];
    }
  }
}

EXPORT int32_t run(int32_t n) {
  static const char *const words[] = {"fuel ", "module ", "the ", "sandbox\n", "instance ", "of ", "a ", "checkpoint "};
  uint32_t seed = 5, sum = 0;
  for (uint32_t i = 0; i < SIZE;)
    for (const char *word = words[next_random(&seed) & 7]; *word != 0 && i < SIZE; word++) text[i++] = (uint8_t)*word;
  for (int32_t round = 0; round < n; round++) {
    text[next_random(&seed) % SIZE] ^= 1;
    uint32_t length = pack();
    unpack(length);
    for (uint32_t i = 0; i < SIZE; i++)
      if (text[i] != unpacked[i]) return -1;
    sum = sum * 31 + length;
  }
  return (int32_t)sum;
}
