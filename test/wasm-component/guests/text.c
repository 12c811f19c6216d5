/* A tool of the world in tool.wit, without any WASI: upper-cases its input, or does what the input asks for. */
typedef unsigned u32;
typedef unsigned char u8;

extern u8 __heap_base;
static u32 top;
static u32 calls;
static u32 result[3];

static u32 align(u32 address, u32 alignment) { return (address + alignment - 1) & ~(alignment - 1); }

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, u32 old_size, u32 alignment, u32 size) {
  if (!top) top = (u32)&__heap_base;
  u32 start = align(top, alignment);
  top = start + size;
  while (top > __builtin_wasm_memory_size(0) * 65536u)
    if (__builtin_wasm_memory_grow(0, 1) == (u32)-1) __builtin_trap();
  for (u32 i = 0; i < old_size && i < size; i++) ((u8 *)start)[i] = ((u8 *)old)[i];
  return (void *)start;
}

static int asks(const u8 *input, u32 length, const char *word) {
  for (u32 at = 0; at < length; at++) {
    u32 i = 0;
    while (word[i] && at + i < length && input[at + i] == (u8)word[i]) i++;
    if (!word[i]) return 1;
  }
  return 0;
}

static u32 *number(u32 value) {
  static u8 digits[12];
  u32 at = 12;
  do digits[--at] = '0' + value % 10; while (value /= 10);
  result[0] = 0;
  result[1] = (u32)&digits[at];
  result[2] = 12 - at;
  return result;
}

__attribute__((noinline, optnone)) static u32 deeper(u32 n) { return n + deeper(n + 1) + 1; }

__attribute__((export_name("run"))) u32 *run(u8 *input, u32 length) {
  calls++;
  if (asks(input, length, "trap")) __builtin_trap();
  if (asks(input, length, "deep")) return number(deeper(0));
  if (asks(input, length, "calls")) return number(calls);
  if (asks(input, length, "grow")) {
    while (__builtin_wasm_memory_grow(0, 1) != (u32)-1) {}
    ((volatile u8 *)(__builtin_wasm_memory_size(0) * 65536u))[-1] = 1;
    return number(__builtin_wasm_memory_size(0));
  }
  if (asks(input, length, "outside")) {
    result[0] = 0;
    result[1] = 0xfffffff0;
    result[2] = 0x7fffffff;
    return result;
  }
  if (asks(input, length, "variant")) {
    result[0] = 77;
    return result;
  }
  for (u32 i = 0; i < length; i++)
    if (input[i] >= 'a' && input[i] <= 'z') input[i] -= 32;
  result[0] = asks(input, length, "ERROR");
  result[1] = (u32)input;
  result[2] = length;
  return result;
}
