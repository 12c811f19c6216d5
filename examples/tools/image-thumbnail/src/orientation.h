/* EXIF orientation of JPEG files. */
#ifndef ORIENTATION_H
#define ORIENTATION_H

#include <stddef.h>
#include <stdint.h>

/* 1 to 8 (Exif 2.32, tag 0x0112); 1, upright, where the file does not say. */
int exif_orientation(const uint8_t *bytes, size_t length);

/* Turns and mirrors `width` x `height` pixels into `to`. Orientations 5 to 8 swap the sides. */
void orient(uint8_t *to, const uint8_t *from, int width, int height, int channels, int orientation);

#endif
