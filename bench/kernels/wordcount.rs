//! Counts the words of a generated text in a map that grows, and lists the most frequent ones: allocation, hashing, comparisons of strings.

const SYLLABLES: [&str; 12] = ["fu", "el", "mod", "ule", "sand", "box", "me", "ter", "gu", "est", "ho", "st"];

fn next_random(state: &mut u32) -> u32 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    *state
}

/// Open addressing with linear probing; the hash is FNV-1a.
struct Counts {
    slots: Vec<Option<(String, u32)>>,
    length: usize,
}

fn hash(word: &str) -> usize {
    word.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ byte as u32).wrapping_mul(0x0100_0193)) as usize
}

impl Counts {
    fn new() -> Self {
        Counts { slots: vec![None; 16], length: 0 }
    }

    fn add(&mut self, word: &str, times: u32) {
        if self.length * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = hash(word) & mask;
        loop {
            match &mut self.slots[at] {
                Some((known, count)) if known == word => {
                    *count += times;
                    return;
                }
                Some(_) => at = (at + 1) & mask,
                empty => {
                    *empty = Some((word.to_string(), times));
                    self.length += 1;
                    return;
                }
            }
        }
    }

    fn grow(&mut self) {
        let doubled = vec![None; self.slots.len() * 2];
        let slots = std::mem::replace(&mut self.slots, doubled);
        self.length = 0;
        for (word, count) in slots.into_iter().flatten() {
            self.add(&word, count);
        }
    }
}

fn make_text() -> String {
    let mut seed = 9;
    let mut text = String::new();
    for _ in 0..4000 {
        for _ in 0..1 + next_random(&mut seed) % 3 {
            text.push_str(SYLLABLES[(next_random(&mut seed) % 12) as usize]);
        }
        text.push(if next_random(&mut seed) % 10 == 0 { '\n' } else { ' ' });
    }
    text
}

#[no_mangle]
pub extern "C" fn run(n: i32) -> i32 {
    let text = make_text();
    let mut sum = 0u32;
    for _ in 0..n {
        let mut counts = Counts::new();
        for word in text.split_ascii_whitespace() {
            counts.add(word, 1);
        }
        let mut words: Vec<(String, u32)> = counts.slots.into_iter().flatten().collect();
        words.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        for (word, count) in words.iter().take(20) {
            sum = sum.wrapping_mul(31).wrapping_add(hash(word) as u32 ^ count);
        }
    }
    sum as i32
}
