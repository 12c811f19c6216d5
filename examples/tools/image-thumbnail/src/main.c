/* Reads an image of the call (JPEG, PNG, GIF's first frame, BMP) and writes a thumbnail to out/. */

#include "input.h"
#include "orientation.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STBI_NO_STDIO
#include <stb/stb_image.h>
#include <stb/stb_image_resize.h>
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

enum { MAX_FILE_BYTES = 32 << 20, MAX_PIXELS = 16 << 20 };

struct image {
  uint8_t *pixels;
  int width;
  int height;
  int channels; /* 3 or, with alpha last, 4 */
};

struct output {
  FILE *file;
  size_t bytes;
  bool failed;
};

_Noreturn static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("image-thumbnail: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

static uint8_t *read_file(const char *path, size_t *length) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail("Cannot open \"%s\": %s", path, strerror(errno));
  size_t capacity = 64 * 1024, used = 0;
  uint8_t *bytes = malloc(capacity);
  while (bytes != NULL) {
    used += fread(bytes + used, 1, capacity - used, file);
    if (used < capacity) break;
    if (capacity > MAX_FILE_BYTES) fail("Cannot read \"%s\": it is larger than %d bytes", path, MAX_FILE_BYTES);
    capacity *= 2;
    uint8_t *larger = realloc(bytes, capacity);
    if (larger == NULL) free(bytes);
    bytes = larger;
  }
  if (bytes == NULL) fail("Cannot read \"%s\": out of memory", path);
  if (ferror(file)) fail("Cannot read \"%s\": %s", path, strerror(errno));
  fclose(file);
  if (used > MAX_FILE_BYTES) fail("Cannot read \"%s\": it is larger than %d bytes", path, MAX_FILE_BYTES);
  *length = used;
  return bytes;
}

static const char *format_of(const uint8_t *bytes, size_t length) {
  if (length >= 3 && memcmp(bytes, "\xFF\xD8\xFF", 3) == 0) return "jpg";
  if (length >= 8 && memcmp(bytes, "\x89PNG\r\n\x1A\n", 8) == 0) return "png";
  if (length >= 4 && memcmp(bytes, "GIF8", 4) == 0) return "gif";
  if (length >= 2 && memcmp(bytes, "BM", 2) == 0) return "bmp";
  return NULL;
}

static struct image decode(const char *path, const uint8_t *bytes, size_t length) {
  struct image image = {0};
  int channels;
  if (!stbi_info_from_memory(bytes, (int)length, &image.width, &image.height, &channels)) {
    fail("Cannot read \"%s\" as an image: %s", path, stbi_failure_reason());
  }
  if (image.width < 1 || image.height < 1) fail("Cannot read \"%s\" as an image: it has no pixels", path);
  if ((int64_t)image.width * image.height > MAX_PIXELS) {
    fail("Cannot read \"%s\": %d x %d is more than %d pixels", path, image.width, image.height, MAX_PIXELS);
  }
  image.channels = channels == 2 || channels == 4 ? 4 : 3;
  image.pixels = stbi_load_from_memory(bytes, (int)length, &image.width, &image.height, &channels, image.channels);
  if (image.pixels == NULL) fail("Cannot read \"%s\" as an image: %s", path, stbi_failure_reason());
  return image;
}

/* The largest size inside the box with the image's proportions; never larger than the image, never zero. */
static void fit(const struct image *image, int box_width, int box_height, int *width, int *height) {
  int64_t w = image->width, h = image->height;
  if (w <= box_width && h <= box_height) {
    *width = image->width;
    *height = image->height;
  } else if (w * box_height >= h * box_width) {
    *width = box_width;
    *height = (int)((h * box_width + w / 2) / w);
  } else {
    *height = box_height;
    *width = (int)((w * box_height + h / 2) / h);
  }
  if (*width < 1) *width = 1;
  if (*height < 1) *height = 1;
}

static struct image resize(const struct image *image, int width, int height) {
  struct image small = {.width = width, .height = height, .channels = image->channels};
  small.pixels = malloc((size_t)width * (size_t)height * (size_t)small.channels);
  int alpha = small.channels == 4 ? 3 : STBIR_ALPHA_CHANNEL_NONE;
  if (small.pixels == NULL ||
      !stbir_resize_uint8_srgb(image->pixels, image->width, image->height, 0, small.pixels, width, height, 0,
                               small.channels, alpha, 0)) {
    fail("Cannot make the thumbnail: out of memory");
  }
  return small;
}

static struct image upright(struct image image, int orientation) {
  if (orientation == 1) return image;
  struct image turned = image;
  turned.pixels = malloc((size_t)image.width * (size_t)image.height * (size_t)image.channels);
  if (turned.pixels == NULL) fail("Cannot turn the thumbnail: out of memory");
  orient(turned.pixels, image.pixels, image.width, image.height, image.channels, orientation);
  if (orientation >= 5) {
    turned.width = image.height;
    turned.height = image.width;
  }
  free(image.pixels);
  return turned;
}

/* JPEG has no transparency: what shines through is white. */
static void put_on_white(struct image *image) {
  if (image->channels != 4) return;
  size_t count = (size_t)image->width * (size_t)image->height;
  for (size_t i = 0; i < count; i++) {
    unsigned alpha = image->pixels[4 * i + 3];
    for (size_t c = 0; c < 3; c++) {
      unsigned colour = image->pixels[4 * i + c];
      image->pixels[3 * i + c] = (uint8_t)((colour * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  }
  image->channels = 3;
}

static void write_bytes(void *context, void *bytes, int count) {
  struct output *output = context;
  if (count < 0 || fwrite(bytes, 1, (size_t)count, output->file) != (size_t)count) output->failed = true;
  else output->bytes += (size_t)count;
}

static size_t encode(const char *path, const struct image *image, const struct input *input) {
  struct output output = {.file = fopen(path, "wb")};
  if (output.file == NULL) fail("Cannot write \"%s\": %s", path, strerror(errno));
  int done = input->jpeg
                 ? stbi_write_jpg_to_func(write_bytes, &output, image->width, image->height, image->channels,
                                          image->pixels, input->quality)
                 : stbi_write_png_to_func(write_bytes, &output, image->width, image->height, image->channels,
                                          image->pixels, image->width * image->channels);
  bool closed = fclose(output.file) == 0;
  if (!done || !closed || output.failed) fail("Cannot write \"%s\": the disk is full or the image could not be encoded", path);
  return output.bytes;
}

int main(void) {
  struct input input;
  const char *problem;
  if (!read_input(&input, &problem)) fail("%s", problem);

  size_t length;
  uint8_t *bytes = read_file(input.file, &length);
  const char *format = format_of(bytes, length);
  if (format == NULL) fail("Cannot read \"%s\" as an image: it is not a JPEG, PNG, GIF or BMP file", input.file);
  int orientation = exif_orientation(bytes, length);
  struct image image = decode(input.file, bytes, length);
  free(bytes);

  /* The box is meant for the upright image. */
  bool swap = orientation >= 5;
  int width, height;
  fit(&image, swap ? input.height : input.width, swap ? input.width : input.height, &width, &height);
  struct image thumbnail = resize(&image, width, height);
  stbi_image_free(image.pixels);
  thumbnail = upright(thumbnail, orientation);
  if (input.jpeg) put_on_white(&thumbnail);

  const char *path = input.jpeg ? "out/thumbnail.jpg" : "out/thumbnail.png";
  size_t written = encode(path, &thumbnail, &input);
  printf("{\"file\":\"%s\",\"format\":\"%s\",\"width\":%d,\"height\":%d,\"bytes\":%zu,"
         "\"source\":{\"format\":\"%s\",\"width\":%d,\"height\":%d,\"bytes\":%zu}}",
         path, input.jpeg ? "jpg" : "png", thumbnail.width, thumbnail.height, written, format,
         swap ? image.height : image.width, swap ? image.width : image.height, length);
  return fflush(stdout) == 0 ? 0 : 1;
}
