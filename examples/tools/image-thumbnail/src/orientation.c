#include "orientation.h"

#include <stdbool.h>
#include <string.h>

struct span {
  const uint8_t *bytes;
  size_t length;
  bool little;
};

/* Numbers of a TIFF header; false beyond its end. */
static bool u16(const struct span *tiff, size_t at, uint32_t *value) {
  if (tiff->length < 2 || at > tiff->length - 2) return false;
  const uint8_t *b = tiff->bytes + at;
  *value = tiff->little ? (uint32_t)(b[0] | b[1] << 8) : (uint32_t)(b[0] << 8 | b[1]);
  return true;
}

static bool u32(const struct span *tiff, size_t at, uint32_t *value) {
  uint32_t first, second;
  if (!u16(tiff, at, &first) || !u16(tiff, at + 2, &second)) return false;
  *value = tiff->little ? second << 16 | first : first << 16 | second;
  return true;
}

static int tiff_orientation(struct span tiff) {
  if (tiff.length < 8) return 1;
  if (memcmp(tiff.bytes, "II*\0", 4) == 0) tiff.little = true;
  else if (memcmp(tiff.bytes, "MM\0*", 4) != 0) return 1;
  uint32_t directory, entries;
  if (!u32(&tiff, 4, &directory) || !u16(&tiff, directory, &entries)) return 1;
  for (uint32_t i = 0; i < entries; i++) {
    /* 16 bits of entries of 12 bytes: the sum does not overflow 64 bits, and u16 checks it against the length. */
    uint64_t at = (uint64_t)directory + 2 + 12 * (uint64_t)i;
    uint32_t tag, value;
    if (at > tiff.length || !u16(&tiff, (size_t)at, &tag)) return 1;
    if (tag != 0x0112) continue;
    return u16(&tiff, (size_t)at + 8, &value) && value >= 1 && value <= 8 ? (int)value : 1;
  }
  return 1;
}

int exif_orientation(const uint8_t *bytes, size_t length) {
  if (length < 4 || bytes[0] != 0xFF || bytes[1] != 0xD8) return 1;
  size_t at = 2;
  while (length - at >= 4 && bytes[at] == 0xFF) {
    uint8_t marker = bytes[at + 1];
    size_t segment = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
    /* The pixels start at SOS; what comes after it is no segment. */
    if (marker == 0xDA || segment < 2 || segment > length - at - 2) return 1;
    const uint8_t *body = bytes + at + 4;
    if (marker == 0xE1 && segment >= 8 && memcmp(body, "Exif\0\0", 6) == 0) {
      return tiff_orientation((struct span){.bytes = body + 6, .length = segment - 8});
    }
    at += 2 + segment;
  }
  return 1;
}

void orient(uint8_t *to, const uint8_t *from, int width, int height, int channels, int orientation) {
  bool swap = orientation >= 5;
  int to_width = swap ? height : width;
  for (int y = 0; y < height; y++) {
    for (int x = 0; x < width; x++) {
      bool flip_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
      bool flip_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
      int fx = flip_x ? width - 1 - x : x, fy = flip_y ? height - 1 - y : y;
      int tx = swap ? fy : fx, ty = swap ? fx : fy;
      memcpy(to + ((size_t)ty * (size_t)to_width + (size_t)tx) * (size_t)channels,
             from + ((size_t)y * (size_t)width + (size_t)x) * (size_t)channels, (size_t)channels);
    }
  }
}
