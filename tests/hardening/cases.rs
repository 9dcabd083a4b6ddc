//! Cases in plain text: a title, what must come of it, and the bytes.
//!
//! ```text
//! # two lengths that differ
//! > refused
//! POST / HTTP/1.1\r\n
//! ```
//!
//! A line's end is none of the bytes: what is to be sent is written, `\r\n` and all. `\xHH` is any byte. An empty line
//! ends a case.

/// One of them.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) title: String,
    /// What must come of it: the lines that begin with `>`.
    pub(crate) wanted: Vec<String>,
    pub(crate) bytes: Vec<u8>,
}

/// Reads a file of them.
pub(crate) fn read(text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |why: &str| format!("line {}: {why}: {line:?}", number + 1);
        if let Some(title) = line.strip_prefix("# ") {
            cases.push(Case { title: title.to_owned(), wanted: Vec::new(), bytes: Vec::new() });
        } else if let Some(case) = cases.last_mut() {
            match line.strip_prefix("> ") {
                Some(wanted) => case.wanted.push(wanted.to_owned()),
                None => {
                    case.bytes.extend(unescaped(line).ok_or_else(|| wrong("what escape is that"))?)
                }
            }
        } else if !line.is_empty() && !line.starts_with("//") {
            return Err(wrong("this stands before the first title"));
        }
    }
    match cases.iter().find(|case| case.wanted.is_empty() || case.bytes.is_empty()) {
        Some(case) => Err(format!("{:?} wants nothing or says nothing", case.title)),
        None => Ok(cases),
    }
}

/// The bytes of a text with escapes.
pub(crate) fn unescaped(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'0' => 0,
                b'\\' => b'\\',
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                _ => return None,
            },
            other => other,
        });
    }
    Some(bytes)
}

#[test]
fn cases_are_read_as_they_are_written() {
    let [one, two] = &read("# a\n> refused\nx\\r\\n\n\\x41\n\n# b\n> cut\ny\n").unwrap()[..] else {
        panic!()
    };
    assert_eq!((&one.title[..], &one.bytes[..]), ("a", &b"x\r\nA"[..]));
    assert_eq!((&two.wanted[..], &two.bytes[..]), (&["cut".to_owned()][..], &b"y"[..]));
    assert!(read("# a\nx\n").is_err());
    assert!(read("# a\n> refused\n\\q\n").is_err());
}
