// Bytes from text.

import { hexDigit } from "../../shared/assembly/json";

/** RFC 4648, section 4, with padding; null for anything else. */
export function decodeBase64(text: Uint8Array): Uint8Array | null {
  const length = text.length;
  if (length % 4 != 0) return null;
  const padding = length == 0 ? 0 : <i32>(text[length - 1] == 0x3d) + <i32>(text[length - 1] == 0x3d && text[length - 2] == 0x3d);
  const bytes = new Uint8Array((length / 4) * 3 - padding);
  let at = 0;
  let group: u32 = 0;
  for (let i = 0; i < length; i++) {
    const value = i < length - padding ? base64Digit(text[i]) : 0;
    if (value < 0) return null;
    group = (group << 6) | value;
    if (i % 4 != 3) continue;
    for (let shift = 16; shift >= 0 && at < bytes.length; shift -= 8) bytes[at++] = <u8>(group >> shift);
    // The bits that padding cuts off must be zero, or two texts would say the same bytes.
    const cut: u32 = padding == 2 ? 0xffff : padding == 1 ? 0xff : 0;
    if (i == length - 1 && (group & cut) != 0) return null;
    group = 0;
  }
  return bytes;
}

export function decodeHex(text: Uint8Array): Uint8Array | null {
  if (text.length % 2 != 0) return null;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    const high = hexDigit(text[2 * i]);
    const low = hexDigit(text[2 * i + 1]);
    if (high < 0 || low < 0) return null;
    bytes[i] = <u8>((high << 4) | low);
  }
  return bytes;
}

function base64Digit(byte: u8): i32 {
  if (byte >= 0x41 && byte <= 0x5a) return byte - 0x41;
  if (byte >= 0x61 && byte <= 0x7a) return byte - 0x61 + 26;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30 + 52;
  if (byte == 0x2b) return 62;
  return byte == 0x2f ? 63 : -1;
}
