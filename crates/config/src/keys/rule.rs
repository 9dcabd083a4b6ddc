//! What the text at a key has to be.

use crate::settings::LaneBy;
use crate::text;

/// What a text has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Anything that can be a name: 1 to 100 characters, none of them for control.
    Name,
    /// Anything that isn't empty.
    Any,
    /// Words with a meaning of their own, or a host.
    HostHeader,
    HostPattern,
    Host,
    Path,
    PlainPath,
    ProbePath,
    Method,
    FieldName,
    /// A whole field: `name: value`.
    Field,
    FieldValue,
    Address,
    Url,
    Upstream,
    Profile,
    /// What the order of writes is kept by.
    Lane,
    /// A URL as PostgreSQL's own clients take it.
    Database,
    /// `key=value`.
    Attribute,
}

impl Rule {
    /// What it has to be, with an article.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Name => "1 to 100 characters",
            Self::Any => "a text that isn't empty",
            Self::HostHeader => "\"endpoint\", \"keep\", or a host",
            Self::HostPattern => "a host, or \"*.example.com\"",
            Self::Host => "a host",
            Self::Path => "\"/v1\" and below, or a pattern \"/v1/{id}/**\"",
            Self::PlainPath => "a path, such as \"/v1\"",
            Self::ProbePath => "a path, with a query if need be",
            Self::Method => "a method, such as \"GET\"",
            Self::FieldName => "the name of a header field",
            Self::Field => "a header field, such as \"Name: value\"",
            Self::FieldValue => "the value of a header field",
            Self::Address => "an address with a port",
            Self::Url => "a URL",
            Self::Upstream => "the name of an upstream",
            Self::Profile => "the name of a profile",
            Self::Lane => "\"header:NAME\", \"path:2\" or \"json:/customer/id\"",
            Self::Database => "\"postgresql://USER@HOST:PORT/DATABASE\"",
            Self::Attribute => "\"key=value\"",
        }
    }

    /// Checks a text and gives the form in which it is kept.
    pub(super) fn read(self, text: &str) -> Result<String, String> {
        let kept = |holds: bool| {
            if holds { Ok(text.to_owned()) } else { Err(format!("allowed: {}", self.noun())) }
        };
        match self {
            Self::Name => kept(
                (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control),
            ),
            Self::Any | Self::Upstream | Self::Profile => kept(!text.is_empty()),
            Self::HostHeader if matches!(text, "endpoint" | "keep") => kept(true),
            Self::HostHeader => text::authority(text),
            Self::HostPattern => text::host_pattern(text),
            Self::Host => text::host(text),
            Self::Path => text::path(text).and_then(|_| kept(true)),
            Self::PlainPath => {
                text::split_path(text).and_then(|segments| match segments.is_empty() {
                    true => Err("that is nothing to take off".into()),
                    false => Ok(segments.iter().map(|segment| format!("/{segment}")).collect()),
                })
            }
            Self::ProbePath => text::probe_path(text),
            Self::Method => text::method(text),
            Self::FieldName => text::field_name(text),
            Self::Field => text::field(text),
            Self::FieldValue => text::field_value(text),
            Self::Address => text::address(text).and_then(|_| kept(true)),
            Self::Url => text::url(text).and_then(|_| kept(true)),
            Self::Lane => kept(LaneBy::parse(text).is_some()),
            Self::Database => {
                kept(["postgresql://", "postgres://"].iter().any(|begin| text.starts_with(begin)))
            }
            Self::Attribute => kept(text.split_once('=').is_some_and(|(key, _)| !key.is_empty())),
        }
    }
}
