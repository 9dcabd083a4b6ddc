//! Puts a result into a page: between its markers, so that the text around it stays, or as the whole file.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Writes it there.
pub(super) fn write(file: &Path, result: &str) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", file.display());
    let text = match fs::read_to_string(file) {
        Ok(page) => put(&page, result).ok_or_else(|| {
            format!("{} is left alone: it has no lines `{BEGIN}` and `{END}`", file.display())
        })?,
        Err(error) if error.kind() == ErrorKind::NotFound => format!("{BEGIN}\n{result}{END}\n"),
        Err(error) => return Err(failed(error)),
    };
    fs::write(file, text).map_err(failed)
}

fn put(page: &str, result: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{result}{END}{after}"))
}

const BEGIN: &str = "<!-- bench proxy: begin -->";
const END: &str = "<!-- bench proxy: end -->";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let page = format!("# Title\n\n{BEGIN}\nold\n{END}\n\nMore.\n");
        assert_eq!(put(&page, "new\n"), Some(format!("# Title\n\n{BEGIN}\nnew\n{END}\n\nMore.\n")));
    }

    #[test]
    fn a_page_without_markers_is_left_alone() {
        assert_eq!(put("# Notes\n", "new\n"), None);
        assert_eq!(put(&format!("{END} {BEGIN}"), "new\n"), None);
    }
}
