//! Why an upload isn't continued.

use core::fmt;

/// Why a request isn't one whose upload can be continued. The set is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unsuitable {
    /// Neither PUT nor POST; in tus only POST creates.
    Method,
    /// It has no content.
    NoContent,
    /// tus has to know the length before the first byte, and the application doesn't say it.
    NoLength,
    /// The application continues its uploads by itself.
    OwnProtocol,
}

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "requests of this method create no upload",
            Self::NoContent => "the request has no content",
            Self::NoLength => "the length of the request's content isn't known",
            Self::OwnProtocol => "the application continues its uploads by itself",
        })
    }
}

impl core::error::Error for Unsuitable {}

/// Why an upload that broke isn't continued. The set is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The server didn't offer to continue it.
    NotOffered,
    /// The upload resource isn't there any more: thrown away, or completed and cleared up. Nobody knows which.
    Gone,
    /// The server has less than it said before.
    WentDown,
    /// The server has more than was sent.
    BeyondSent,
    /// The server speaks of another length.
    OtherLength,
    /// The server doesn't say, or not in a way that can be read, how much it has.
    NoOffset,
    /// Everything is there, and the answer to it is lost.
    AnswerLost,
    /// The server refuses the very offset that it told.
    Disagrees,
    /// The server refuses to tell the offset.
    Refused,
}

impl Fault {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::NotOffered,
        Self::Gone,
        Self::WentDown,
        Self::BeyondSent,
        Self::OtherLength,
        Self::NoOffset,
        Self::AnswerLost,
        Self::Disagrees,
        Self::Refused,
    ];

    /// The stable code, for records and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().0
    }

    #[rustfmt::skip]
    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::NotOffered => ("not-offered", "the server didn't offer to continue the upload"),
            Self::Gone => ("gone", "the server doesn't know the upload any more"),
            Self::WentDown => ("went-down", "the server has less of the upload than it said before"),
            Self::BeyondSent => ("beyond-sent", "the server has more of the upload than was sent"),
            Self::OtherLength => ("other-length", "the server speaks of an upload of another length"),
            Self::NoOffset => ("no-offset", "the server doesn't say how much of the upload it has"),
            Self::AnswerLost => ("answer-lost", "the upload is complete, and the answer to it is lost"),
            Self::Disagrees => ("disagrees", "the server refuses the very offset that it told"),
            Self::Refused => ("refused", "the server doesn't tell the offset"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().1)
    }
}

impl core::error::Error for Fault {}
