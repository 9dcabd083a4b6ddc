//! A page of the manual as HTML, made from its source: what it uses of Markdown, and no more.
//!
//! Headings (with anchors), paragraphs, tables, `code`, *stress* and links. A link to another page of the manual is shown as
//! its text: that page isn't in the binary.

use std::fmt::Write as _;

/// The whole document.
pub(super) fn page(title: &str, markdown: &str) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title} - Mainstay</title>\n\
         <link rel=\"icon\" href=\"/dashboard/icon.svg\" type=\"image/svg+xml\">\n\
         <link rel=\"stylesheet\" href=\"/dashboard/breaks.css\">\n</head>\n<body>\n<main>\n"
    );
    for block in blocks(markdown) {
        match block {
            Block::Heading(level, text) => {
                let level = level.clamp(1, 6);
                let _ =
                    writeln!(html, "<h{level} id=\"{}\">{}</h{level}>", anchor(text), inline(text));
            }
            Block::Table(lines) => table(&mut html, &lines),
            Block::Paragraph(text) => {
                let _ = writeln!(html, "<p>{}</p>", inline(&text));
            }
        }
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

enum Block<'a> {
    Heading(usize, &'a str),
    Table(Vec<&'a str>),
    Paragraph(String),
}

/// Blocks are what lies between empty lines; a heading is a block of its own even without them.
fn blocks(markdown: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    for line in markdown.lines().map(str::trim_end) {
        let level = line.bytes().take_while(|byte| *byte == b'#').count();
        match (line, blocks.last_mut()) {
            ("", _) => blocks.push(None),
            (line, _) if level > 0 => {
                blocks.push(Some(Block::Heading(level, line[level..].trim())));
                blocks.push(None);
            }
            (line, Some(Some(Block::Table(lines)))) if line.starts_with('|') => lines.push(line),
            (line, Some(Some(Block::Paragraph(text)))) if !line.starts_with('|') => {
                text.push(' ');
                text.push_str(line);
            }
            (line, _) if line.starts_with('|') => blocks.push(Some(Block::Table(vec![line]))),
            (line, _) => blocks.push(Some(Block::Paragraph(line.to_owned()))),
        }
    }
    blocks.into_iter().flatten().collect()
}

/// The first line has the headers, the second only rules.
fn table(html: &mut String, lines: &[&str]) {
    html.push_str("<table>\n");
    for (place, line) in lines.iter().enumerate().filter(|(place, _)| *place != 1) {
        let (open, close) =
            if place == 0 { ("<th scope=\"col\">", "</th>") } else { ("<td>", "</td>") };
        html.push_str("<tr>");
        for cell in line.trim_matches('|').split('|') {
            let _ = write!(html, "{open}{}{close}", inline(cell.trim()));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table>\n");
}

/// As GitHub makes them, so that links to the manual's source and to this page are alike.
fn anchor(text: &str) -> String {
    let kept =
        text.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter.to_ascii_lowercase() }).collect()
}

/// Text with its `code`, *stress* and links; everything else is escaped.
fn inline(text: &str) -> String {
    let (mut html, mut rest) = (String::with_capacity(text.len() * 2), text);
    while let Some(at) = rest.find(['`', '*', '[']) {
        html.push_str(&escaped(&rest[..at]));
        rest = &rest[at..];
        let marked = match rest.as_bytes()[0] {
            b'`' => between(rest, "`", "`")
                .map(|(text, rest)| (format!("<code>{}</code>", escaped(text)), rest)),
            b'*' => between(rest, "*", "*")
                .map(|(text, rest)| (format!("<em>{}</em>", escaped(text)), rest)),
            _ => between(rest, "[", "](").and_then(|(text, rest)| {
                let (to, rest) = rest.split_once(')')?;
                Some((link(text, to), rest))
            }),
        };
        match marked {
            Some((marked, after)) => {
                html.push_str(&marked);
                rest = after;
            }
            None => {
                html.push_str(&escaped(&rest[..1]));
                rest = &rest[1..];
            }
        }
    }
    html.push_str(&escaped(rest));
    html
}

/// What stands between two marks, and what comes after them.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<(&'a str, &'a str)> {
    text.strip_prefix(open)?.split_once(close).filter(|(inner, _)| !inner.is_empty())
}

fn link(text: &str, to: &str) -> String {
    match to.strip_prefix('#') {
        Some(_) => format!("<a href=\"{}\">{}</a>", escaped(to), inline(text)),
        None => inline(text),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::BreakKind;

    #[test]
    fn blocks_and_marks_become_elements_and_the_rest_is_escaped() {
        let html = page(
            "T",
            "# A b\nOne `x<y`\ntwo *three* [four](#a-b) [five](five.md).\n\n| a | b |\n|---|---|\n| 1 | `2` |\n### c-d\n",
        );
        let body = html.split("<main>\n").nth(1).unwrap();
        assert_eq!(
            body,
            "<h1 id=\"a-b\">A b</h1>\n<p>One <code>x&lt;y</code> two <em>three</em> <a href=\"#a-b\">four</a> five.</p>\n<table>\n\
             <tr><th scope=\"col\">a</th><th scope=\"col\">b</th></tr>\n<tr><td>1</td><td><code>2</code></td></tr>\n</table>\n\
             <h3 id=\"c-d\">c-d</h3>\n</main>\n</body>\n</html>\n"
        );
        assert_eq!(inline("2 * 3 <b> [x] `"), "2 * 3 &lt;b&gt; [x] `");
    }

    #[test]
    fn each_break_code_has_its_place_on_the_page() {
        let html = page("Break codes", include_str!("../../../../docs/breaks.md"));
        for kind in BreakKind::ALL {
            assert!(
                html.contains(&format!("<h3 id=\"{0}\">{0}</h3>", kind.code())),
                "{}",
                kind.code()
            );
        }
    }
}
