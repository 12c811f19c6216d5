//! Markdown (CommonMark, tables, footnotes, strikethrough, task lists) to HTML.
//! The result is safe to put into a page: raw HTML is escaped and links keep only harmless schemes.

use pulldown_cmark::{html, CowStr, Event, Options, Parser, Tag};
use serde::Deserialize;
use std::io::{self, Read, Write};
use std::process::ExitCode;

const MAX_INPUT_BYTES: u64 = 4 << 20;
const SAFE_SCHEMES: [&str; 5] = ["http", "https", "mailto", "tel", "ftp"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Input {
    markdown: String,
    #[serde(default)]
    smart_punctuation: bool,
    #[serde(default)]
    unsafe_raw_html: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("markdown-to-html: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let input = read_input()?;
    let html = render(&input);
    io::stdout()
        .write_all(html.as_bytes())
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

fn render(input: &Input) -> String {
    let mut options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS;
    if input.smart_punctuation {
        options |= Options::ENABLE_SMART_PUNCTUATION;
    }
    let events = Parser::new_ext(&input.markdown, options).map(|event| match event {
        Event::Html(raw) if !input.unsafe_raw_html => Event::Text(raw),
        Event::Start(tag) => Event::Start(with_safe_url(tag)),
        Event::End(tag) => Event::End(with_safe_url(tag)),
        other => other,
    });
    let mut html = String::with_capacity(input.markdown.len() * 3 / 2);
    html::push_html(&mut html, events);
    html
}

fn with_safe_url(tag: Tag<'_>) -> Tag<'_> {
    match tag {
        Tag::Link(kind, url, title) => Tag::Link(kind, safe_url(url), title),
        Tag::Image(kind, url, title) => Tag::Image(kind, safe_url(url), title),
        other => other,
    }
}

/// Threat: `javascript:` and `data:` links run script in the reader's page. Browsers drop control
/// characters and white space before they read the scheme (WHATWG URL, basic URL parser), so does this.
fn safe_url(url: CowStr<'_>) -> CowStr<'_> {
    let visible: String = url.chars().filter(|c| !c.is_control() && !c.is_whitespace()).collect();
    let scheme = match visible.find(|c| matches!(c, ':' | '/' | '?' | '#')) {
        Some(end) if visible[end..].starts_with(':') => &visible[..end],
        _ => return url,
    };
    if SAFE_SCHEMES.iter().any(|safe| scheme.eq_ignore_ascii_case(safe)) {
        url
    } else {
        CowStr::Borrowed("")
    }
}
