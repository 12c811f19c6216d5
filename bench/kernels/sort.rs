//! Sorts 16,384 integers n times, by a quicksort and by a merge sort in turn, and compares what they give.

const LENGTH: usize = 1 << 14;

fn next_random(state: &mut u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state
}

fn insertion_sort(values: &mut [i32]) {
    for i in 1..values.len() {
        let value = values[i];
        let mut at = i;
        while at > 0 && values[at - 1] > value {
            values[at] = values[at - 1];
            at -= 1;
        }
        values[at] = value;
    }
}

/// Hoare's partition around the middle value of three; the shorter side by recursion, so the stack stays shallow.
fn quicksort(mut values: &mut [i32]) {
    while values.len() > 16 {
        let (first, middle, last) = (values[0], values[values.len() / 2], values[values.len() - 1]);
        let pivot = first.max(middle).min(first.min(middle).max(last));
        let (mut left, mut right) = (0, values.len() - 1);
        loop {
            while values[left] < pivot {
                left += 1;
            }
            while values[right] > pivot {
                right -= 1;
            }
            if left >= right {
                break;
            }
            values.swap(left, right);
            left += 1;
            right -= 1;
        }
        let (low, high) = values.split_at_mut(left);
        if low.len() < high.len() {
            quicksort(low);
            values = high;
        } else {
            quicksort(high);
            values = low;
        }
    }
    insertion_sort(values);
}

fn merge_sort(values: &mut [i32], spare: &mut [i32]) {
    if values.len() <= 16 {
        return insertion_sort(values);
    }
    let middle = values.len() / 2;
    merge_sort(&mut values[..middle], &mut spare[..middle]);
    merge_sort(&mut values[middle..], &mut spare[middle..]);
    spare.copy_from_slice(values);
    let (left, right) = spare.split_at(middle);
    let (mut i, mut j) = (0, 0);
    for value in values.iter_mut() {
        if j == right.len() || (i < left.len() && left[i] <= right[j]) {
            *value = left[i];
            i += 1;
        } else {
            *value = right[j];
            j += 1;
        }
    }
}

#[no_mangle]
pub extern "C" fn run(n: i32) -> i32 {
    let mut seed = 2;
    let mut sum = 0u32;
    let mut spare = vec![0; LENGTH];
    for round in 0..n {
        let mut values: Vec<i32> = (0..LENGTH).map(|_| next_random(&mut seed) as i32).collect();
        if round % 2 == 0 {
            quicksort(&mut values);
        } else {
            merge_sort(&mut values, &mut spare);
        }
        if values.windows(2).any(|pair| pair[0] > pair[1]) {
            return -1;
        }
        sum = sum.wrapping_mul(31).wrapping_add(values[LENGTH / 3] as u32);
    }
    sum as i32
}
