//! Answers a JMESPath expression (https://jmespath.org/specification.html) over JSON data.

use jmespath::Variable;
use serde::Deserialize;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;

const MAX_INPUT_BYTES: u64 = 8 << 20;
const MAX_EXPRESSION_BYTES: usize = 4096;
/// Threat: the expression's parser recurses on brackets and prefix operators and would overflow the
/// stack of 1 MiB, which it does at about 2,000 of them.
const MAX_NESTING_TOKENS: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    expression: String,
    data: Option<Value>,
    file: Option<String>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("json-query: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let stdin = read_limited(&mut io::stdin(), "the input")?;
    // `"data": null` is data; a missing "data" is not. Serde's Option cannot tell them apart.
    let has_data = matches!(
        serde_json::from_slice::<Value>(&stdin),
        Ok(Value::Object(ref fields)) if fields.contains_key("data")
    );
    let input: Input = serde_json::from_slice(&stdin)
        .map_err(|error| format!("Cannot read the input: {error}"))?;
    let data = match (has_data, input.file) {
        (true, None) => input.data.unwrap_or(Value::Null),
        (false, Some(path)) => read_file(&path)?,
        _ => return Err("Cannot choose the data: give either \"data\" or \"file\"".into()),
    };

    check_expression(&input.expression)?;
    let expression = jmespath::compile(&input.expression)
        .map_err(|error| format!("Cannot parse the expression: {}", first_line(&error)))?;
    let data = Variable::try_from(data)
        .map_err(|error| format!("Cannot read the data: {}", first_line(&error)))?;
    let result = expression
        .search(data)
        .map_err(|error| format!("Cannot answer the expression: {}", first_line(&error)))?;

    let answer = serde_json::json!({ "result": &*result });
    let text = serde_json::to_vec(&answer).map_err(|error| format!("Cannot write the answer: {error}"))?;
    io::stdout()
        .write_all(&text)
        .map_err(|error| format!("Cannot write the answer: {error}"))
}

fn read_file(path: &str) -> Result<Value, String> {
    let mut file = File::open(path).map_err(|error| format!("Cannot open {path:?}: {error}"))?;
    let bytes = read_limited(&mut file, &format!("{path:?}"))?;
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    serde_json::from_slice(text).map_err(|error| format!("Cannot read {path:?} as JSON: {error}"))
}

fn read_limited(source: &mut dyn Read, name: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    source
        .take(MAX_INPUT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("Cannot read {name}: {error}"))?;
    if bytes.len() as u64 > MAX_INPUT_BYTES {
        return Err(format!("Cannot read {name}: it is larger than {MAX_INPUT_BYTES} bytes"));
    }
    Ok(bytes)
}

/// Counts in literals too: that refuses a little more than it must, and never less.
fn check_expression(expression: &str) -> Result<(), String> {
    if expression.len() > MAX_EXPRESSION_BYTES {
        return Err(format!("Cannot parse the expression: it is longer than {MAX_EXPRESSION_BYTES} bytes"));
    }
    let nesting = expression.bytes().filter(|byte| b"([{!&*".contains(byte)).count();
    if nesting > MAX_NESTING_TOKENS {
        return Err(format!(
            "Cannot parse the expression: it has more than {MAX_NESTING_TOKENS} brackets and prefix operators"
        ));
    }
    Ok(())
}

fn first_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or("unknown error").to_owned()
}
