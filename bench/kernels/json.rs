//! A recursive parser of JSON (RFC 8259) that builds a tree; it reads a generated document of about 30 KiB n times.

enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Takes the byte after white space, if it is the one that is asked for.
    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_here = self.peek() == byte;
        if is_here {
            self.at += 1;
        }
        is_here
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return None;
        }
        self.at += word.len();
        Some(value)
    }

    fn value(&mut self) -> Option<Value> {
        self.skip_space();
        match self.peek() {
            b'n' => self.word("null", Value::Null),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'"' => self.text().map(Value::Text),
            b'[' => self.list(),
            b'{' => self.object(),
            _ => self.number(),
        }
    }

    fn list(&mut self) -> Option<Value> {
        self.at += 1;
        let mut items = Vec::new();
        if self.take(b']') {
            return Some(Value::List(items));
        }
        loop {
            items.push(self.value()?);
            if self.take(b']') {
                return Some(Value::List(items));
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    fn object(&mut self) -> Option<Value> {
        self.at += 1;
        let mut members = Vec::new();
        if self.take(b'}') {
            return Some(Value::Object(members));
        }
        loop {
            self.skip_space();
            let key = self.text()?;
            if !self.take(b':') {
                return None;
            }
            members.push((key, self.value()?));
            if self.take(b'}') {
                return Some(Value::Object(members));
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    fn text(&mut self) -> Option<String> {
        if self.peek() != b'"' {
            return None;
        }
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let byte = self.peek();
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(bytes).ok(),
                b'\\' => self.escape(&mut bytes)?,
                0..=31 => return None,
                _ => bytes.push(byte),
            }
        }
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Option<()> {
        let byte = self.peek();
        self.at += 1;
        bytes.push(match byte {
            b'n' => b'\n',
            b't' => b'\t',
            b'"' | b'\\' | b'/' => byte,
            b'u' => {
                let digits = self.bytes.get(self.at..self.at + 4)?;
                self.at += 4;
                let code = digits.iter().try_fold(0, |code, &digit| Some(code * 16 + (digit as char).to_digit(16)?))?;
                let mut buffer = [0; 4];
                bytes.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut buffer).as_bytes());
                return Some(());
            }
            _ => return None,
        });
        Some(())
    }

    fn number(&mut self) -> Option<Value> {
        let is_negative = self.peek() == b'-';
        self.at += is_negative as usize;
        if !self.peek().is_ascii_digit() {
            return None;
        }
        let mut value = self.digits(0.0);
        if self.peek() == b'.' {
            self.at += 1;
            let start = self.at;
            value = self.digits(value) / 10f64.powi((self.at - start) as i32);
        }
        Some(Value::Number(if is_negative { -value } else { value }))
    }

    fn digits(&mut self, mut value: f64) -> f64 {
        while self.peek().is_ascii_digit() {
            value = value * 10.0 + (self.peek() - b'0') as f64;
            self.at += 1;
        }
        value
    }
}

fn checksum(value: &Value) -> u32 {
    let of_text = |text: &str| text.bytes().fold(7u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte as u32));
    match value {
        Value::Null => 1,
        Value::Bool(is_true) => 2 + *is_true as u32,
        Value::Number(number) => (number * 100.0) as i32 as u32,
        Value::Text(text) => of_text(text),
        Value::List(items) => items.iter().fold(5, |sum: u32, item| sum.wrapping_mul(17).wrapping_add(checksum(item))),
        Value::Object(members) => members.iter().fold(9, |sum: u32, (key, item)| {
            sum.wrapping_mul(13).wrapping_add(of_text(key) ^ checksum(item))
        }),
    }
}

fn push_number(text: &mut String, value: u32) {
    if value >= 10 {
        push_number(text, value / 10);
    }
    text.push((b'0' + (value % 10) as u8) as char);
}

fn document() -> String {
    let mut text = String::from("[");
    for id in 0..200 {
        text.push_str(if id == 0 { "\n  { \"id\": " } else { ",\n  { \"id\": " });
        push_number(&mut text, id);
        text.push_str(", \"name\": \"tool \\u00e9\", \"isPublic\": ");
        text.push_str(if id % 3 == 0 { "true" } else { "false" });
        text.push_str(", \"price\": ");
        push_number(&mut text, id * 7);
        text.push('.');
        push_number(&mut text, id % 90 + 10);
        text.push_str(", \"parent\": null,\n    \"tags\": [\"wasm\", \"fuel\", [");
        push_number(&mut text, id * id);
        text.push_str(", -");
        push_number(&mut text, id);
        text.push_str("]], \"text\": \"a line\\nand \\\"more\\\"\" }");
    }
    text.push_str("\n]");
    text
}

#[no_mangle]
pub extern "C" fn run(n: i32) -> i32 {
    let text = document();
    let mut sum = 0u32;
    for round in 0..n {
        let mut parser = Parser { bytes: text.as_bytes(), at: 0 };
        match parser.value() {
            Some(value) if parser.at == text.len() => sum = sum.wrapping_mul(3).wrapping_add(checksum(&value) ^ round as u32),
            _ => return -1,
        }
    }
    sum as i32
}
