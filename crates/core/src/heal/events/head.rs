//! What heads say: whether an answer is an event stream that can be healed, and whether a new one continues it.

/// The head of an answer, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamHead<'a> {
    /// Its status.
    pub status: u16,
    /// Its `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// Its `Content-Encoding`.
    pub content_encoding: Option<&'a [u8]>,
}

/// What becomes of a stream by the head of the answer to its reconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuation {
    /// It goes on.
    GoesOn,
    /// The server wants no more reconnects: it ends, cleanly (204).
    Ends,
    /// It can't be had now. The ordinary rules say whether and when it is tried again.
    TryAgain,
    /// It can't be had any more.
    Refused(HeadRefusal),
}

/// Why an answer doesn't continue a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeadRefusal {
    /// Its status is neither 200 nor 204, nor one that passes.
    Status,
    /// It isn't `text/event-stream`.
    ContentType,
    /// It is compressed, so that its events aren't seen.
    ContentEncoding,
}

impl HeadRefusal {
    /// A stable name for records and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Status => "reconnect-status",
            Self::ContentType => "reconnect-content-type",
            Self::ContentEncoding => "reconnect-content-encoding",
        }
    }
}

impl StreamHead<'_> {
    /// Whether the answer is an event stream whose events can be seen.
    #[must_use]
    pub fn is_event_stream(&self) -> bool {
        self.continues() == Continuation::GoesOn
    }

    /// What it means for a stream that was to be continued by it (WHATWG HTML, section 9.2.2 and 9.2.3).
    ///
    /// There, anything but a 200 fails the connection for good. Here statuses that say that it is for now only are left to the ordinary
    /// retry, as everywhere else.
    #[must_use]
    pub fn continues(&self) -> Continuation {
        match self.status {
            204 => Continuation::Ends,
            // 421 and 425: this connection, or this moment, was the wrong one.
            408 | 421 | 425 | 429 | 500..=599 => Continuation::TryAgain,
            200 if !self.has_type() => Continuation::Refused(HeadRefusal::ContentType),
            200 if !self.is_plain() => Continuation::Refused(HeadRefusal::ContentEncoding),
            200 => Continuation::GoesOn,
            _ => Continuation::Refused(HeadRefusal::Status),
        }
    }

    /// Parameters don't matter: event streams are UTF-8 whatever is said.
    fn has_type(&self) -> bool {
        let essence = self.content_type.and_then(|line| line.split(|byte| *byte == b';').next());
        essence.is_some_and(|essence| essence.trim_ascii().eq_ignore_ascii_case(TYPE))
    }

    fn is_plain(&self) -> bool {
        self.content_encoding.is_none_or(|coding| {
            coding.trim_ascii().is_empty() || coding.trim_ascii().eq_ignore_ascii_case(b"identity")
        })
    }
}

const TYPE: &[u8] = b"text/event-stream";

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, content_type: &'static str) -> StreamHead<'static> {
        StreamHead { status, content_type: Some(content_type.as_bytes()), content_encoding: None }
    }

    #[test]
    fn a_200_with_the_type_of_event_streams_goes_on() {
        for text in
            ["text/event-stream", "Text/Event-Stream;charset=utf-8", " text/event-stream ;x"]
        {
            assert_eq!(head(200, text).continues(), Continuation::GoesOn, "{text}");
            assert!(head(200, text).is_event_stream());
        }
        for text in ["text/html", "text/event-streams", "", "application/json;text/event-stream"] {
            let refused = Continuation::Refused(HeadRefusal::ContentType);
            assert_eq!(head(200, text).continues(), refused, "{text}");
        }
        assert!(!StreamHead { content_type: None, ..head(200, "") }.is_event_stream());
    }

    #[test]
    fn a_compressed_stream_can_t_be_seen_into() {
        let coded = |coding: &'static str| StreamHead {
            content_encoding: Some(coding.as_bytes()),
            ..head(200, "text/event-stream")
        };
        assert!(coded("identity").is_event_stream());
        let refused = Continuation::Refused(HeadRefusal::ContentEncoding);
        assert_eq!(coded("gzip").continues(), refused);
    }

    #[test]
    fn each_status_is_told_by_what_it_says_about_the_stream() {
        for status in 200..600 {
            let wanted = match status {
                200 => Continuation::GoesOn,
                204 => Continuation::Ends,
                408 | 421 | 425 | 429 | 500.. => Continuation::TryAgain,
                _ => Continuation::Refused(HeadRefusal::Status),
            };
            assert_eq!(head(status, "text/event-stream").continues(), wanted, "{status}");
        }
    }
}
