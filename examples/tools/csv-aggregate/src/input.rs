//! The call's input and the CSV's header.

use csv::ByteRecord;
use serde::Deserialize;
use std::collections::HashSet;
use std::fs::File;
use std::io::{Cursor, Read};

const MAX_INPUT_BYTES: u64 = 8 << 20;
const MAX_LIMIT: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Input {
    csv: Option<String>,
    file: Option<String>,
    #[serde(default = "comma")]
    delimiter: String,
    #[serde(default = "yes")]
    pub header: bool,
    #[serde(default = "yes")]
    pub numbers: bool,
    #[serde(default)]
    pub group_by: Vec<String>,
    #[serde(default)]
    pub aggregates: Vec<Aggregate>,
    #[serde(default = "default_limit")]
    pub limit: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    pub op: Op,
    pub column: Option<String>,
    #[serde(rename = "as")]
    pub name: Option<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    Count,
    Sum,
    Avg,
    Min,
    Max,
}

impl Op {
    pub fn name(self) -> &'static str {
        match self {
            Op::Count => "count",
            Op::Sum => "sum",
            Op::Avg => "avg",
            Op::Min => "min",
            Op::Max => "max",
        }
    }
}

fn comma() -> String {
    ",".into()
}

fn yes() -> bool {
    true
}

fn default_limit() -> usize {
    1000
}

impl Input {
    pub fn read(source: &mut dyn Read) -> Result<Input, String> {
        let mut bytes = Vec::new();
        source
            .take(MAX_INPUT_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("Cannot read the input: {error}"))?;
        if bytes.len() as u64 > MAX_INPUT_BYTES {
            return Err(format!("Cannot read the input: it is larger than {MAX_INPUT_BYTES} bytes"));
        }
        let input: Input =
            serde_json::from_slice(&bytes).map_err(|error| format!("Cannot read the input: {error}"))?;
        if input.csv.is_some() == input.file.is_some() {
            return Err("Cannot choose the CSV: give either \"csv\" or \"file\"".into());
        }
        if input.limit > MAX_LIMIT {
            return Err(format!("Cannot use \"limit\": it is over {MAX_LIMIT}"));
        }
        Ok(input)
    }

    pub fn open(&self, max_bytes: u64) -> Result<Box<dyn Read + '_>, String> {
        if let Some(text) = &self.csv {
            return Ok(Box::new(Cursor::new(text.as_bytes())));
        }
        let path = self.file.as_deref().unwrap_or_default();
        let file = File::open(path).map_err(|error| format!("Cannot open {path:?}: {error}"))?;
        let bytes = file
            .metadata()
            .map_err(|error| format!("Cannot open {path:?}: {error}"))?
            .len();
        if bytes > max_bytes {
            return Err(format!("Cannot read {path:?}: it is larger than {max_bytes} bytes"));
        }
        Ok(Box::new(file.take(max_bytes)))
    }

    pub fn delimiter_byte(&self) -> Result<u8, String> {
        match self.delimiter.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | 0) => Ok(*byte),
            _ => Err("Cannot use \"delimiter\": it must be one ASCII character, no quote and no line end".into()),
        }
    }
}

/// The columns' names: unique, in the file's order.
pub struct Header {
    pub names: Vec<String>,
}

impl Header {
    pub fn new(first: &ByteRecord, is_header: bool) -> Result<Header, String> {
        if !is_header {
            return Ok(Header { names: (1..=first.len()).map(|n| format!("column{n}")).collect() });
        }
        let mut seen = HashSet::new();
        let mut names = Vec::with_capacity(first.len());
        for field in first.iter() {
            let name = std::str::from_utf8(field).map_err(|_| "Cannot read the CSV: the header is not UTF-8")?;
            if !seen.insert(name) {
                return Err(format!("Cannot read the CSV: the header names {name:?} twice"));
            }
            names.push(name.to_owned());
        }
        Ok(Header { names })
    }

    pub fn index(&self, name: &str) -> Result<usize, String> {
        self.names.iter().position(|known| known == name).ok_or_else(|| {
            let known: Vec<String> = self.names.iter().take(20).map(|name| format!("{name:?}")).collect();
            format!("Cannot find the column {name:?}: the columns are {}", known.join(", "))
        })
    }
}
