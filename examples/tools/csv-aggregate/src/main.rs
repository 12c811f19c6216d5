//! Reads CSV and answers its rows as JSON, or groups them and answers count, sum, avg, min and max.

mod aggregate;
mod input;
mod number;

use aggregate::Groups;
use input::{Header, Input};
use serde_json::{json, Map, Value};
use std::io::{self, Read, Write};
use std::process::ExitCode;

const MAX_CSV_BYTES: u64 = 32 << 20;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("csv-aggregate: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let input = Input::read(&mut io::stdin())?;
    let source = input.open(MAX_CSV_BYTES)?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(input.delimiter_byte()?)
        .has_headers(false)
        .flexible(false)
        .from_reader(SkipBom::new(source));
    let mut records = reader.byte_records();

    let first = match records.next() {
        None => return Err("Cannot read the CSV: it is empty".into()),
        Some(record) => record.map_err(csv_error)?,
    };
    let header = Header::new(&first, input.header)?;
    let rest = records.map(|record| record.map_err(csv_error));
    // Without a header line the first record is data.
    let data = (!input.header).then(|| Ok(first)).into_iter().chain(rest);

    let answer = if input.aggregates.is_empty() && input.group_by.is_empty() {
        rows(&input, &header, data)?
    } else {
        groups(&input, &header, data)?
    };
    let text = serde_json::to_vec(&answer).map_err(|error| format!("Cannot write the answer: {error}"))?;
    io::stdout()
        .write_all(&text)
        .map_err(|error| format!("Cannot write the answer: {error}"))
}

fn rows<I>(input: &Input, header: &Header, data: I) -> Result<Value, String>
where
    I: Iterator<Item = Result<csv::ByteRecord, String>>,
{
    let mut rows = Vec::new();
    let mut row_count = 0_u64;
    for record in data {
        let record = record?;
        row_count += 1;
        if rows.len() < input.limit {
            let mut row = Map::new();
            for (name, field) in header.names.iter().zip(record.iter()) {
                row.insert(name.clone(), cell(field, input.numbers, row_count)?);
            }
            rows.push(Value::Object(row));
        } else {
            for field in record.iter() {
                utf8(field, row_count)?;
            }
        }
    }
    let truncated = row_count > rows.len() as u64;
    Ok(json!({ "columns": header.names, "rows": rows, "rowCount": row_count, "truncated": truncated }))
}

fn groups<I>(input: &Input, header: &Header, data: I) -> Result<Value, String>
where
    I: Iterator<Item = Result<csv::ByteRecord, String>>,
{
    let mut groups = Groups::new(input, header)?;
    for record in data {
        groups.add(&record?)?;
    }
    Ok(groups.answer(input.limit))
}

fn cell(field: &[u8], numbers: bool, row: u64) -> Result<Value, String> {
    let text = utf8(field, row)?;
    let number = if numbers { number::exact(text) } else { None };
    Ok(number.map_or_else(|| Value::String(text.to_owned()), Value::Number))
}

fn utf8(field: &[u8], row: u64) -> Result<&str, String> {
    std::str::from_utf8(field).map_err(|_| format!("Cannot read the CSV: row {row} is not UTF-8"))
}

fn csv_error(error: csv::Error) -> String {
    let line = error.position().map_or(0, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("Cannot read the CSV: line {line} has {len} fields; the first line has {expected_len}")
        }
        csv::ErrorKind::Io(cause) => format!("Cannot read the CSV: {cause}"),
        _ => format!("Cannot read the CSV: line {line} is malformed"),
    }
}

/// Spreadsheets put a byte order mark before the first column's name.
struct SkipBom<R> {
    source: R,
    head: Option<Vec<u8>>,
}

impl<R: Read> SkipBom<R> {
    fn new(source: R) -> Self {
        SkipBom { source, head: None }
    }
}

impl<R: Read> Read for SkipBom<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.head.is_none() {
            let mut head = Vec::with_capacity(3);
            (&mut self.source).take(3).read_to_end(&mut head)?;
            if head == b"\xEF\xBB\xBF" {
                head.clear();
            }
            self.head = Some(head);
        }
        match self.head.as_mut() {
            Some(head) if !head.is_empty() && !buffer.is_empty() => {
                let count = head.len().min(buffer.len());
                for (to, from) in buffer.iter_mut().zip(head.drain(..count)) {
                    *to = from;
                }
                Ok(count)
            }
            _ => self.source.read(buffer),
        }
    }
}
