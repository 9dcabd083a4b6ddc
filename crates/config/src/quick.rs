//! Settings from the command line: `mainstay run --to URL --to URL`.

use crate::mistake::{Errors, Mistake, MistakeKind};
use crate::source::{Place, Source};
use crate::text::quoted;
use crate::{Loaded, read_loaded};

/// Settings for one upstream at `urls`, without a file, by the rules of the file.
///
/// `admin` is an address or `off`.
///
/// # Errors
///
/// Everything that is wrong; each error names the argument (`--to`, `--listen`, `--admin`, `--profile`) and its value.
pub fn quick(
    urls: &[String],
    listen: Option<&str>,
    admin: Option<&str>,
    profile: Option<&str>,
) -> Result<Loaded, Errors> {
    if urls.is_empty() {
        return Err(Errors::one(nothing_to_call()));
    }
    // The arguments become the file that they stand for, one a line, so that there is one set of rules.
    let mut lines: Vec<(&'static str, String)> = Vec::new();
    if let Some(listen) = listen {
        lines.push(("--listen", format!("listen = {}", quoted(listen))));
    }
    match admin {
        Some("off") => lines.push(("--admin", "admin = false".into())),
        Some(admin) => lines.push(("--admin", format!("admin = {}", quoted(admin)))),
        None => {}
    }
    lines.push(("--to", format!("[upstream.{UPSTREAM}]")));
    if let Some(profile) = profile {
        lines.push(("--profile", format!("profile = {}", quoted(profile))));
    }
    lines.push(("--to", "endpoints = [".into()));
    lines.extend(urls.iter().map(|url| ("--to", format!("{},", quoted(url)))));
    lines.push(("--to", "]".into()));
    read_loaded(Source::arguments(&lines), None)
}

fn nothing_to_call() -> Mistake {
    let place =
        Place { name: "--to".into(), line: None, column: 1, text: String::new(), marked: 0..0 };
    Mistake {
        kind: MistakeKind::Missing,
        place,
        message: "there is no endpoint".into(),
        advice: "such as --to https://a.example --to https://b.example".into(),
    }
}

/// What the only upstream is called in records.
const UPSTREAM: &str = "default";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        urls: &[&str],
        listen: Option<&str>,
        admin: Option<&str>,
        profile: Option<&str>,
        expected: &str,
    ) {
        let urls: Vec<String> = urls.iter().map(|&url| url.to_owned()).collect();
        let shown = match quick(&urls, listen, admin, profile) {
            Ok(_) => String::new(),
            Err(errors) => errors.to_string(),
        };
        assert_eq!(shown.trim(), expected.trim());
    }

    #[test]
    fn urls_alone_are_enough() {
        check(&["https://a.example", "https://b.example"], None, None, None, "");
        check(&["http://a"], Some("0.0.0.0:80"), Some("off"), Some("payments"), "");
    }

    #[test]
    fn errors_name_the_argument_and_its_value() {
        check(
            &["https://a.example", "ftp://b.example"],
            Some("8080"),
            None,
            Some("payment"),
            r#"
error: `listen` isn't an address with a port
 --> --listen
 |
 | --listen "8080"
 |          ^^^^^^ did you mean "127.0.0.1:8080"?

error: there is no profile "payment"
 --> --profile
 |
 | --profile "payment"
 |           ^^^^^^^^^ did you mean `payments`?

error: that isn't the URL of an endpoint
 --> --to
 |
 | --to "ftp://b.example"
 |      ^^^^^^^^^^^^^^^^^ the scheme is http or https
"#,
        );
    }

    #[test]
    fn no_url_and_hostile_ones_are_refused() {
        check(
            &[],
            None,
            None,
            None,
            "error: there is no endpoint\n --> --to\n  = such as --to https://a.example --to https://b.example",
        );
        let urls = vec!["\"]\nadmin = false #\u{1b}\u{0}".to_owned()];
        assert_eq!(quick(&urls, None, None, None).unwrap_err().list().len(), 1);
    }
}
