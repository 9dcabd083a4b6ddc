//! The two protocols, and what requests say in them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// How uploads are continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// The IETF's draft, by the interop version that client and server have to agree upon. A server of another one doesn't offer
    /// to continue anything, and takes the request for an ordinary one.
    Ietf {
        /// `Upload-Draft-Interop-Version`: 6 is drafts 05 to 07, 8 is draft 10.
        interop_version: u8,
    },
    /// tus 1.0.
    Tus,
}

/// Fields of a request, their names in lower case.
pub(super) type Fields = Vec<(&'static str, String)>;

impl Protocol {
    /// The interop version of the draft's latest text, draft 10.
    pub const INTEROP_VERSION: u8 = 8;

    /// Fields of the application's request beside its own; in tus, those of the creation in its place.
    pub(super) fn first(self, length: Option<u64>) -> Fields {
        let mut fields = self.version();
        match (self, length) {
            (Self::Ietf { .. }, _) => fields.push(("upload-complete", "?1".into())),
            (Self::Tus, Some(length)) => fields.push(("upload-length", length.to_string())),
            (Self::Tus, None) => {}
        }
        fields
    }

    /// Fields of a request for the offset.
    pub(super) fn offset(self) -> Fields {
        self.version()
    }

    /// Fields of a request with all from `from` on.
    pub(super) fn append(self, from: u64) -> Fields {
        let mut fields = self.version();
        fields.push(("upload-offset", from.to_string()));
        match self {
            Self::Ietf { .. } => {
                fields.push(("content-type", "application/partial-upload".into()));
                fields.push(("upload-complete", "?1".into()));
            }
            Self::Tus => fields.push(("content-type", "application/offset+octet-stream".into())),
        }
        fields
    }

    /// Whether a field of the application's request goes along with those about its upload, by its name in lower case. What
    /// is said of the content, of its form on the way, or under what condition it is to be taken, is said of another request.
    pub(super) fn goes_along(name: &str) -> bool {
        const OTHERS: [&str; 9] = [
            "expect",
            "transfer-encoding",
            "trailer",
            "te",
            "range",
            "digest",
            "repr-digest",
            "want-content-digest",
            "want-repr-digest",
        ];
        !name.starts_with("content-") && !name.starts_with("if-") && !OTHERS.contains(&name)
    }

    fn version(self) -> Fields {
        let field = match self {
            Self::Ietf { interop_version } => {
                ("upload-draft-interop-version", format!("{interop_version}"))
            }
            Self::Tus => ("tus-resumable", "1.0.0".into()),
        };
        Vec::from([field])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: Fields, wanted: &[(&str, &str)]) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(fields, wanted);
    }

    #[test]
    fn the_drafts_requests_say_that_they_are_complete() {
        let version = ("upload-draft-interop-version", "8");
        let draft = Protocol::Ietf { interop_version: 8 };
        check(draft.first(Some(7)), &[version, ("upload-complete", "?1")]);
        check(draft.offset(), &[version]);
        let kind = ("content-type", "application/partial-upload");
        check(draft.append(5), &[version, ("upload-offset", "5"), kind, ("upload-complete", "?1")]);
    }

    #[test]
    fn who_asks_goes_along_and_what_was_said_of_the_content_doesnt() {
        for name in ["authorization", "cookie", "x-api-key", "user-agent", "accept"] {
            assert!(Protocol::goes_along(name), "{name}");
        }
        for name in ["content-length", "content-type", "content-encoding", "expect", "if-match"] {
            assert!(!Protocol::goes_along(name), "{name}");
        }
    }

    #[test]
    fn a_creation_of_tus_says_how_much_will_come() {
        let version = ("tus-resumable", "1.0.0");
        check(Protocol::Tus.first(Some(7)), &[version, ("upload-length", "7")]);
        check(Protocol::Tus.offset(), &[version]);
        let kind = ("content-type", "application/offset+octet-stream");
        check(Protocol::Tus.append(5), &[version, ("upload-offset", "5"), kind]);
    }
}
