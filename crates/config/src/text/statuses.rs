//! Lists of statuses: numbers, ranges, classes and exceptions.

/// Reads a list such as `[408, "500-599", "5xx", "!501"]` into sorted ranges; exceptions apply wherever they stand.
///
/// # Errors
///
/// The index of the first wrong item, and what to write instead.
pub(crate) fn read_statuses(
    items: &[String],
    least: u16,
    most: u16,
) -> Result<Vec<(u16, u16)>, (usize, String)> {
    let mut set = vec![false; 1000];
    for pass in [Pass::Add, Pass::Remove] {
        for (index, item) in items.iter().enumerate() {
            let (text, kind) = match item.strip_prefix('!') {
                Some(rest) => (rest, Pass::Remove),
                None => (item.as_str(), Pass::Add),
            };
            let (from, to) = range(text).ok_or((index, ALLOWED.to_owned()))?;
            if from < least || to > most {
                return Err((index, format!("statuses here are {least} to {most}")));
            }
            if kind == pass {
                let members = set.iter_mut().take(usize::from(to) + 1).skip(usize::from(from));
                members.for_each(|member| *member = pass == Pass::Add);
            }
        }
    }
    Ok(ranges(&set))
}

/// Writes ranges as the items of a TOML list.
pub(crate) fn show_statuses(ranges: &[(u16, u16)]) -> String {
    let items = ranges.iter().map(|&(from, to)| match to - from {
        0 => from.to_string(),
        1 => format!("{from}, {to}"),
        _ => format!("\"{from}-{to}\""),
    });
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Add,
    Remove,
}

fn range(text: &str) -> Option<(u16, u16)> {
    let status = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
        if digits { text.parse::<u16>().ok() } else { None }
    };
    if let Some(class) = text.strip_suffix("xx") {
        let first = status(&format!("{class}00")).filter(|first| *first >= 100)?;
        return Some((first, first + 99));
    }
    match text.split_once('-') {
        Some((from, to)) => {
            let (from, to) = (status(from)?, status(to)?);
            (from <= to).then_some((from, to))
        }
        None => status(text).map(|status| (status, status)),
    }
}

fn ranges(set: &[bool]) -> Vec<(u16, u16)> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for (status, _) in (0_u16..).zip(set).filter(|(_, member)| **member) {
        match ranges.last_mut() {
            Some((_, to)) if *to + 1 == status => *to = status,
            _ => ranges.push((status, status)),
        }
    }
    ranges
}

const ALLOWED: &str =
    "write a status (503), a range (\"500-599\"), a class (\"5xx\") or an exception (\"!501\")";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(items: &[&str]) -> Result<Vec<(u16, u16)>, (usize, String)> {
        let items: Vec<String> = items.iter().map(|&item| item.to_owned()).collect();
        read_statuses(&items, 400, 599)
    }

    #[test]
    fn exceptions_apply_wherever_they_stand() {
        let expected = Ok(vec![(408, 408), (500, 500), (502, 599)]);
        assert_eq!(read(&["408", "5xx", "!501"]), expected);
        assert_eq!(read(&["!501", "408", "500-599"]), expected);
        assert_eq!(read(&[]), Ok(vec![]));
    }

    #[test]
    fn the_wrong_item_is_named() {
        for wrong in ["6xx", "200", "50", "599-500", "5x", "", "!", "+50", "0xx", "500-"] {
            assert_eq!(read(&["503", wrong]).unwrap_err().0, 1, "{wrong}");
        }
    }

    #[test]
    fn ranges_are_written_short() {
        assert_eq!(
            show_statuses(&[(408, 408), (500, 501), (503, 510)]),
            "[408, 500, 501, \"503-510\"]"
        );
    }
}
