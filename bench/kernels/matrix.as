// n products of two 64x64 matrices of doubles in arrays of the language, with its checks of bounds.

const size: i32 = 64;

function next(state: u32): u32 {
  let x = state;
  x ^= x << 13;
  x ^= x >> 17;
  return x ^ (x << 5);
}

function multiply(a: Float64Array, b: Float64Array, c: Float64Array): void {
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      let sum: f64 = 0;
      for (let k = 0; k < size; k++) sum += a[i * size + k] * b[k * size + j];
      c[i * size + j] = sum;
    }
  }
}

export function run(n: i32): i32 {
  const a = new Float64Array(size * size);
  const b = new Float64Array(size * size);
  const c = new Float64Array(size * size);
  let seed: u32 = 7;
  for (let i = 0; i < size * size; i++) {
    seed = next(seed);
    a[i] = (seed % 1000) / 1000.0;
    seed = next(seed);
    b[i] = (seed % 1000) / 1000.0;
  }
  let sum: f64 = 0;
  for (let round = 0; round < n; round++) {
    multiply(a, b, c);
    sum += c[(round * 7) % (size * size)];
    a[round % size] = c[round % size] / size;
  }
  return i32(sum * 1000);
}
