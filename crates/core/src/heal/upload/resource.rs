//! Where an upload resource is: on the host that was asked, or nowhere.

use alloc::string::String;

/// Where a request went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: String,
    /// Host, and port if it was said.
    pub authority: String,
}

impl Origin {
    /// The path and query of the resource that `location` names, if it is one of this origin.
    ///
    /// An absolute path, or a whole URI; a path relative to the request's isn't resolved, and no server sends one.
    pub(super) fn resource(&self, location: &[u8]) -> Option<String> {
        let text = core::str::from_utf8(location.trim_ascii()).ok()?;
        if text.len() > MOST_BYTES || !text.bytes().all(goes_into_a_uri) {
            return None;
        }
        let text = text.split_once('#').map_or(text, |(before, _)| before);
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => {
                scheme.eq_ignore_ascii_case(&self.scheme).then_some(rest)?
            }
            _ => match text.strip_prefix("//") {
                Some(rest) => rest,
                None => return text.starts_with('/').then(|| text.into()),
            },
        };
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(at)?;
        if !authority.eq_ignore_ascii_case(&self.authority) {
            return None;
        }
        Some(if path.starts_with('/') { path.into() } else { String::from("/") + path })
    }
}

/// Whether it may be in a URI as it is. Some servers send characters that should be encoded (RFC 3986, section 2), and most of them do
/// no harm; these few can't be asked for.
const fn goes_into_a_uri(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'`')
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Longer than any server takes in a request line.
const MOST_BYTES: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(location: &str, wanted: Option<&str>) {
        let origin = Origin { scheme: "https".into(), authority: "api.example:8443".into() };
        assert_eq!(origin.resource(location.as_bytes()).as_deref(), wanted, "{location}");
    }

    #[test]
    fn a_resource_of_the_same_origin_is_its_path_and_query() {
        check("/files/1?key=2", Some("/files/1?key=2"));
        check(" /files/1#part ", Some("/files/1"));
        check("https://api.example:8443/files/1", Some("/files/1"));
        check("HTTPS://API.example:8443/files/1", Some("/files/1"));
        check("//api.example:8443/files/1", Some("/files/1"));
        check("https://api.example:8443?key=2", Some("/?key=2"));
        check("https://api.example:8443", Some("/"));
    }

    #[test]
    fn credentials_go_to_no_other_place() {
        check("http://api.example:8443/files/1", None);
        check("https://api.example/files/1", None);
        check("https://evil.example/files/1", None);
        check("https://api.example:8443@evil.example/files/1", None);
        check("https://user@api.example:8443/files/1", None);
        check("//evil.example/files/1", None);
        check("ftp://api.example:8443/1", None);
    }

    #[test]
    fn what_isnt_well_formed_is_no_place() {
        check("", None);
        check("files/1", None);
        check("/files/a b", None);
        check("/files/\u{e4}", None);
        check("/files/1\r\nhost: evil", None);
        for byte in ['"', '<', '>', '`'] {
            check(&alloc::format!("/files/{byte}1"), None);
            check(&alloc::format!("/files?key={byte}1"), None);
            check(&alloc::format!("https://api.example:8443/files/{byte}1"), None);
        }
        check("/files/{1}|2^3", Some("/files/{1}|2^3"));
        check(&alloc::format!("/{}", "x".repeat(MOST_BYTES)), None);
    }
}
