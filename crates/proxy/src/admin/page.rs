//! The dashboard's files, which are in the binary: it needs nothing from anywhere.
//!
//! They hold no data, so they are served to whoever can reach the address: what they ask for needs the token. What a page may
//! do is said to the browser (`POLICY`): run these files and talk to this address, nothing else.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::{Reply, manual};
use crate::problem::Refusal;

/// A file of the page. Its name is its path below `/dashboard/`.
struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Each file, one line.
const FILES: &[File] = &[
    File { name: INDEX, kind: HTML, bytes: include_bytes!("page/index.html") },
    File { name: "icon.svg", kind: SVG, bytes: include_bytes!("page/icon.svg") },
    File { name: "style.css", kind: CSS, bytes: include_bytes!("page/style.css") },
    File { name: "parts.css", kind: CSS, bytes: include_bytes!("page/parts.css") },
    File { name: "breaks.css", kind: CSS, bytes: include_bytes!("page/breaks.css") },
    File { name: "actions.js", kind: SCRIPT, bytes: include_bytes!("page/actions.js") },
    File { name: "app.js", kind: SCRIPT, bytes: include_bytes!("page/app.js") },
    File { name: "call.js", kind: SCRIPT, bytes: include_bytes!("page/call.js") },
    File { name: "changes.js", kind: SCRIPT, bytes: include_bytes!("page/changes.js") },
    File { name: "charts.js", kind: SCRIPT, bytes: include_bytes!("page/charts.js") },
    File { name: "codes.js", kind: SCRIPT, bytes: include_bytes!("page/codes.js") },
    File { name: "connections.js", kind: SCRIPT, bytes: include_bytes!("page/connections.js") },
    File { name: "dom.js", kind: SCRIPT, bytes: include_bytes!("page/dom.js") },
    File { name: "endpoint.js", kind: SCRIPT, bytes: include_bytes!("page/endpoint.js") },
    File { name: "feed.js", kind: SCRIPT, bytes: include_bytes!("page/feed.js") },
    File { name: "headline.js", kind: SCRIPT, bytes: include_bytes!("page/headline.js") },
    File { name: "help.js", kind: SCRIPT, bytes: include_bytes!("page/help.js") },
    File { name: "history.js", kind: SCRIPT, bytes: include_bytes!("page/history.js") },
    File { name: "icons.js", kind: SCRIPT, bytes: include_bytes!("page/icons.js") },
    File { name: "incidents.js", kind: SCRIPT, bytes: include_bytes!("page/incidents.js") },
    File { name: "list.js", kind: SCRIPT, bytes: include_bytes!("page/list.js") },
    File { name: "now.js", kind: SCRIPT, bytes: include_bytes!("page/now.js") },
    File { name: "outbox.js", kind: SCRIPT, bytes: include_bytes!("page/outbox.js") },
    File { name: "resource.js", kind: SCRIPT, bytes: include_bytes!("page/resource.js") },
    File { name: "route.js", kind: SCRIPT, bytes: include_bytes!("page/route.js") },
    File { name: "save.js", kind: SCRIPT, bytes: include_bytes!("page/save.js") },
    File { name: "sse.js", kind: SCRIPT, bytes: include_bytes!("page/sse.js") },
    File { name: "states.js", kind: SCRIPT, bytes: include_bytes!("page/states.js") },
    File { name: "store.js", kind: SCRIPT, bytes: include_bytes!("page/store.js") },
    File { name: "table.js", kind: SCRIPT, bytes: include_bytes!("page/table.js") },
    File { name: "theme.js", kind: SCRIPT, bytes: include_bytes!("page/theme.js") },
    File { name: "timeline.js", kind: SCRIPT, bytes: include_bytes!("page/timeline.js") },
    File { name: "token.js", kind: SCRIPT, bytes: include_bytes!("page/token.js") },
    File { name: "widgets.js", kind: SCRIPT, bytes: include_bytes!("page/widgets.js") },
    File { name: "words.js", kind: SCRIPT, bytes: include_bytes!("page/words.js") },
];

/// What is at `/`.
const INDEX: &str = "index.html";

/// The manual's page of break codes, made from the manual's own source.
const BREAKS: &str = "breaks";

static BREAKS_PAGE: LazyLock<String> =
    LazyLock::new(|| manual::page("Break codes", include_str!("../../../../docs/breaks.md")));

/// Whether a path is of the page: it is served without a token.
pub(super) fn is_at(path: &str) -> bool {
    path == "/" || path.starts_with("/dashboard/")
}

/// The file at a path, or that it is still the one that the browser has.
///
/// # Errors
///
/// There is no such file.
pub(super) fn answer(path: &str, asked: &HeaderMap) -> Result<Response<Reply>, Refusal> {
    let name = path.strip_prefix("/dashboard/").unwrap_or(INDEX);
    let (kind, bytes) = match name {
        BREAKS => (HTML, BREAKS_PAGE.as_bytes()),
        name => {
            let file = FILES.iter().find(|file| file.name == name).ok_or(Refusal::NotFound)?;
            (file.kind, file.bytes)
        }
    };
    let tag = tag(bytes);
    let known = asked.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let is_known = known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag));
    let mut response = match is_known {
        true => {
            let mut response = Response::new(Reply::Whole(Bytes::new()));
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        false => Response::new(Reply::Whole(Bytes::from_static(bytes))),
    };
    let headers = response.headers_mut();
    for (name, value) in FIELDS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// A name for these very bytes (FNV-1a, 64 bits): another build's file is asked for again.
fn tag(bytes: &[u8]) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("\"{:016x}\"", bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
}

/// What the browser is told about each file.
const FIELDS: [(&str, &str); 7] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    // Asked for again each time, and answered in a line when nothing has changed.
    ("cache-control", "no-cache"),
];

/// Scripts, styles and data of this address alone; nothing inline, no forms, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> Option<&'static [u8]> {
        let name = path.strip_prefix("/dashboard/")?;
        FILES.iter().find(|file| file.name == name).map(|file| file.bytes)
    }

    /// A file that is named and isn't there would be found by a browser only.
    #[test]
    fn what_the_files_name_is_there_and_nothing_is_from_elsewhere_or_inline() {
        for file in FILES.iter().filter(|file| file.kind == HTML) {
            let html = std::str::from_utf8(file.bytes).unwrap();
            for named in html.split(['"', '\'']).filter(|part| part.starts_with("/dashboard/")) {
                let named = named.split('#').next().unwrap();
                assert!(named == "/dashboard/breaks" || text(named).is_some(), "{named}");
            }
            for wrong in ["http://", "https://", "<style", " style=", " onclick=", "javascript:"] {
                assert!(!html.contains(wrong), "{}: {wrong}", file.name);
            }
            let scripts = html.split("<script").skip(1);
            assert!(scripts.into_iter().all(|script| script.contains("src=\"")), "{}", file.name);
        }
    }

    #[test]
    fn each_script_imports_what_is_there_and_names_nothing_elsewhere() {
        let scripts = || FILES.iter().filter(|file| file.kind == SCRIPT);
        let mut imported = vec!["app.js"];
        for file in scripts() {
            let script = std::str::from_utf8(file.bytes).unwrap();
            for named in script.split("from \"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let known = scripts().find(|other| named.strip_prefix("./") == Some(other.name));
                imported.push(known.map_or_else(|| panic!("{}: {named}", file.name), |it| it.name));
            }
            // The name of a namespace, which nobody asks for.
            let script = script.replace("http://www.w3.org/2000/svg", "");
            for wrong in ["http://", "https://", "eval(", "innerHTML", "new Function", "import("] {
                assert!(!script.contains(wrong), "{}: {wrong}", file.name);
            }
        }
        for file in scripts() {
            assert!(imported.contains(&file.name), "nobody imports {}", file.name);
        }
    }

    #[test]
    fn a_browser_that_has_a_file_isnt_sent_it_again() {
        let mut asked = HeaderMap::new();
        let first = answer("/", &asked).unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[header::ETAG].clone();
        asked.insert(header::IF_NONE_MATCH, tag.clone());
        assert_eq!(answer("/", &asked).unwrap().status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer("/dashboard/style.css", &asked).unwrap().status(), StatusCode::OK);
        asked.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"0\""));
        assert_eq!(answer("/", &asked).unwrap().status(), StatusCode::OK);
        assert!(answer("/dashboard/none", &asked).is_err());
        assert!(answer("/dashboard/../Cargo.toml", &asked).is_err());
    }
}
