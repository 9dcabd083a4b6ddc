//! What requests are matched by: hosts, paths, methods, field names.

use crate::settings::PathMatch;

/// A host to match: a name without port, or `*.example.com`.
pub(crate) fn host_pattern(text: &str) -> Result<String, String> {
    match text.strip_prefix("*.") {
        Some(rest) => Ok(format!("*.{}", super::url::host(rest)?)),
        None if text.contains('*') => {
            Err("`*` stands for whole labels in front only: \"*.example.com\"".into())
        }
        None => super::url::host(text),
    }
}

/// A path to match: a prefix (`/v1`), or a pattern (`/v1/{id}/items/**`). `/` alone is any path: `None`.
pub(crate) fn path(text: &str) -> Result<Option<PathMatch>, String> {
    let segments = split_path(text)?;
    let special = |segment: &str| segment.contains(['*', '{', '}']);
    if !segments.iter().any(|segment| special(segment)) {
        let prefix: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        return Ok((!prefix.is_empty()).then_some(PathMatch::Prefix(prefix)));
    }
    for (index, segment) in segments.iter().enumerate() {
        let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let allowed = match (segment.as_str(), name) {
            ("*", _) => true,
            ("**", _) if index + 1 == segments.len() => true,
            ("**", _) => return Err("`**` stands at the end only".into()),
            (_, Some(name)) => !name.is_empty() && !special(name),
            (plain, None) => !special(plain),
        };
        if !allowed {
            return Err(format!(
                "`{segment}` isn't a segment: write a name, `{{name}}`, `*`, or `**` at the end"
            ));
        }
    }
    Ok(Some(PathMatch::Pattern(segments)))
}

/// The segments of a path that begins with a slash; one at the end says nothing.
pub(crate) fn split_path(text: &str) -> Result<Vec<String>, String> {
    let Some(rest) = text.strip_prefix('/') else {
        return Err(format!("a path begins with a slash: \"/{text}\""));
    };
    if let Some(c) = rest.chars().find(|c| matches!(c, '?' | '#') || !c.is_ascii_graphic()) {
        return Err(format!(
            "a path has no {c:?}; queries are matched by `query`, other letters are encoded as %xx"
        ));
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let segments: Vec<String> = rest.split('/').map(str::to_owned).collect();
    if segments.iter().any(String::is_empty) {
        Err("a path has no empty segments".into())
    } else {
        Ok(segments)
    }
}

/// The segments that a path match stands for: a prefix ends in `**`.
pub(crate) fn segments(path: &PathMatch) -> Vec<&str> {
    match path {
        PathMatch::Prefix(prefix) => prefix.split('/').skip(1).chain(["**"]).collect(),
        PathMatch::Pattern(segments) => segments.iter().map(String::as_str).collect(),
    }
}

/// Path and query of a check.
pub(crate) fn probe_path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        Ok(text.to_owned())
    } else {
        Err("write a path, with a query if need be, such as \"/health?deep=1\"".into())
    }
}

/// A method, in the case in which it is sent.
pub(crate) fn method(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    if upper != text && METHODS.contains(&upper.as_str()) {
        return Err(format!("methods are case-sensitive: did you mean \"{upper}\"?"));
    }
    if is_token(text) { Ok(text.to_owned()) } else { Err("that isn't a method".into()) }
}

/// The name of a header field, in lower case.
pub(crate) fn field_name(text: &str) -> Result<String, String> {
    if is_token(text) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("that isn't the name of a header field".into())
    }
}

/// A header field of a fixed answer, its name in lower case.
pub(crate) fn field(text: &str) -> Result<String, String> {
    let Some((name, value)) = text.split_once(':') else {
        return Err("a field is written \"Name: value\"".into());
    };
    let (name, value) = (field_name(name.trim())?, field_value(value.trim())?);
    match name.as_str() {
        "content-type" => Err("`content_type` says what the body is".into()),
        name if OURS.contains(&name) => Err(format!("`{name}` is for Mainstay to say")),
        _ => Ok(format!("{name}: {value}")),
    }
}

/// The value of a header field.
pub(crate) fn field_value(text: &str) -> Result<String, String> {
    let visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if !text.is_empty() && text.trim() == text && text.bytes().all(visible) {
        Ok(text.to_owned())
    } else {
        Err("allowed: letters, digits and marks of ASCII, blanks inside".into())
    }
}

/// Fields of connections, framing and marking.
const OURS: [&str; 12] = [
    "age",
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-connection",
    "proxy-status",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_placeholders_is_a_prefix() {
        let prefix = |text: &str| Ok(Some(PathMatch::Prefix(text.into())));
        assert_eq!(path("/v1"), prefix("/v1"));
        assert_eq!(path("/v1/"), prefix("/v1"));
        assert_eq!(path("/"), Ok(None));
    }

    #[test]
    fn a_path_with_placeholders_is_a_pattern() {
        let pattern = |segments: &[&str]| {
            Ok(Some(PathMatch::Pattern(segments.iter().map(|&segment| segment.into()).collect())))
        };
        assert_eq!(path("/v1/{id}/items/**"), pattern(&["v1", "{id}", "items", "**"]));
        assert_eq!(path("/*/x"), pattern(&["*", "x"]));
    }

    #[test]
    fn wrong_paths_are_refused() {
        for text in [
            "", "v1", "/a//b", "/a?b", "/a#b", "/a b", "/**/b", "/{}", "/{a", "/a*", "/{a}{b}",
            "/{*}",
        ] {
            assert!(path(text).is_err(), "{text}");
        }
    }

    #[test]
    fn methods_hosts_and_fields_keep_their_forms() {
        assert_eq!(method("get").unwrap_err(), "methods are case-sensitive: did you mean \"GET\"?");
        assert_eq!(method("purge"), Ok("purge".into()));
        assert!(method("A B").is_err());
        assert_eq!(host_pattern("*.Example.com"), Ok("*.example.com".into()));
        assert_eq!(host_pattern("[::1]"), Ok("::1".into()));
        assert!(host_pattern("a.*.com").is_err() && host_pattern("a.com:80").is_err());
        assert_eq!(field_name("X-Tenant"), Ok("x-tenant".into()));
        assert!(field_name("a:b").is_err());
        assert_eq!(field("X-Mode :  a: b "), Ok("x-mode: a: b".into()));
        for wrong in
            ["x", "x:", ":x", "a b: c", "Connection: close", "Content-Type: a/b", "x: \u{e9}"]
        {
            assert!(field(wrong).is_err(), "{wrong}");
        }
    }
}
