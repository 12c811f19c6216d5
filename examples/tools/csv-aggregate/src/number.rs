//! Numbers in CSV fields.

use serde_json::Number;

/// 2^53 - 1: beyond it a JSON reader with doubles does not get the same integer.
const MAX_SAFE_INTEGER: i64 = 9_007_199_254_740_991;

/// The number that a field says, if as a JSON number it reads back as the same text or, with a fraction
/// or an exponent, as the same value. "007" and "+1" are names, not numbers, and stay text.
pub fn exact(field: &str) -> Option<Number> {
    if !is_json_number(field) {
        return None;
    }
    if field.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        let integer: i64 = field.parse().ok()?;
        let is_safe = (-MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER).contains(&integer) && field != "-0";
        return is_safe.then(|| Number::from(integer));
    }
    from_f64(field.parse().ok()?)
}

/// The value of a field in a sum: wider than `exact`, since spaces and leading zeros do not matter there.
pub fn lenient(field: &str) -> Option<f64> {
    let text = field.trim();
    let starts_like_one = text.bytes().next().map_or(false, |b| b.is_ascii_digit() || b"+-.".contains(&b));
    // Rust reads "-inf" and "+nan" too, which no table means.
    let value: f64 = if starts_like_one { text.parse().ok()? } else { return None };
    value.is_finite().then(|| value)
}

/// A whole number as such (`6`, not `6.0`).
pub fn from_f64(value: f64) -> Option<Number> {
    if value.fract() == 0.0 && value.abs() <= MAX_SAFE_INTEGER as f64 {
        Some(Number::from(value as i64))
    } else {
        Number::from_f64(value)
    }
}

/// RFC 8259 section 6.
fn is_json_number(text: &str) -> bool {
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = text.as_bytes();
    rest = rest.strip_prefix(b"-").unwrap_or(rest);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest.first() == Some(&b'0')) {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let unsigned = match exponent {
            [b'+' | b'-', tail @ ..] => tail,
            other => other,
        };
        let count = digits(unsigned);
        return count > 0 && count == unsigned.len();
    }
    rest.is_empty()
}
