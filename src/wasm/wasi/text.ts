import { MAX_NAME_BYTES } from "./abi.ts";

/** Up to this length a loop over ASCII is faster than a call of the host's encoder. */
const SHORT = 128;

/** UTF-8; lone surrogates become U+FFFD. */
export function encodeUtf8(text: string): Uint8Array {
  if (text.length <= SHORT) {
    const bytes = new Uint8Array(text.length);
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) return new TextEncoder().encode(text);
      bytes[index] = code;
    }
    return bytes;
  }
  return new TextEncoder().encode(text);
}

/** Whether a name takes more bytes than any name may. */
export function isNameTooLong(name: string): boolean {
  return name.length * 3 > MAX_NAME_BYTES && encodeUtf8(name).length > MAX_NAME_BYTES;
}
