//! The small notations inside strings: lengths of time, sizes, shares, statuses, addresses, URLs, paths.
//!
//! Each is read here and written here, so that what is printed is what can be read.

mod address;
mod nearest;
mod number;
mod statuses;
mod units;
mod url;
mod web;

pub(crate) use address::address;
pub(crate) use nearest::{nearest, suggest};
pub(crate) use number::amount;
pub(crate) use statuses::{read_statuses, show_statuses};
pub(crate) use units::{length, share, show_length, show_share, show_size, size};
pub(crate) use url::{Url, authority, host, url};
pub(crate) use web::{
    field, field_name, field_value, host_pattern, method, path, probe_path, segments, split_path,
};

/// `text` as a TOML string.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// `text` as a TOML key: bare where that is possible.
pub(crate) fn key(text: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !text.is_empty() && text.bytes().all(bare) { text.to_owned() } else { quoted(text) }
}
