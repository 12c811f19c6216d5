//! Unified diff of two texts, with its statistics.

use serde::Deserialize;
use serde_json::json;
use similar::{ChangeTag, TextDiff};
use std::io::{self, Read, Write};
use std::process::ExitCode;

const MAX_INPUT_BYTES: u64 = 4 << 20;
/// Myers' algorithm takes time in proportion to lines times differences.
const MAX_LINES: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Input {
    before: String,
    after: String,
    #[serde(default = "before_name")]
    before_name: String,
    #[serde(default = "after_name")]
    after_name: String,
    #[serde(default = "three")]
    context: usize,
}

fn before_name() -> String {
    "before".into()
}

fn after_name() -> String {
    "after".into()
}

fn three() -> usize {
    3
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("text-diff: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let input = read_input()?;
    check(&input)?;

    let diff = TextDiff::from_lines(&input.before, &input.after);
    let (mut added, mut removed, mut unchanged) = (0_u64, 0_u64, 0_u64);
    for change in diff.iter_all_changes() {
        match change.tag() {
            ChangeTag::Insert => added += 1,
            ChangeTag::Delete => removed += 1,
            ChangeTag::Equal => unchanged += 1,
        }
    }
    let unified = diff
        .unified_diff()
        .context_radius(input.context)
        .header(&input.before_name, &input.after_name)
        .to_string();
    let hunks = unified.lines().filter(|line| line.starts_with("@@ ")).count();

    let answer = json!({
        "identical": input.before == input.after,
        "added": added,
        "removed": removed,
        "unchanged": unchanged,
        "hunks": hunks,
        "diff": unified,
    });
    let text = serde_json::to_vec(&answer).map_err(|error| format!("Cannot write the answer: {error}"))?;
    io::stdout()
        .write_all(&text)
        .map_err(|error| format!("Cannot write the answer: {error}"))
}

fn read_input() -> Result<Input, String> {
    let mut bytes = Vec::new();
    io::stdin()
        .take(MAX_INPUT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("Cannot read the input: {error}"))?;
    if bytes.len() as u64 > MAX_INPUT_BYTES {
        return Err(format!("Cannot read the input: it is larger than {MAX_INPUT_BYTES} bytes"));
    }
    serde_json::from_slice(&bytes).map_err(|error| format!("Cannot read the input: {error}"))
}

fn check(input: &Input) -> Result<(), String> {
    for (key, text) in [("before", &input.before), ("after", &input.after)] {
        if text.lines().count() > MAX_LINES {
            return Err(format!("Cannot compare {key:?}: it has more than {MAX_LINES} lines"));
        }
    }
    // A line end in a name would forge lines of the diff.
    for (key, name) in [("beforeName", &input.before_name), ("afterName", &input.after_name)] {
        if name.chars().any(char::is_control) {
            return Err(format!("Cannot use {key:?}: it has a control character"));
        }
    }
    if input.context > MAX_LINES {
        return Err(format!("Cannot use \"context\": it is over {MAX_LINES}"));
    }
    Ok(())
}
