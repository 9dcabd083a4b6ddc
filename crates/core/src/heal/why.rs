//! Why a broken answer wasn't continued.

use crate::event::StopReason;

/// Why a broken answer ended as broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotHealed {
    /// The route doesn't want answers to be continued.
    Off,
    /// It can't be proved that what would come is what is missing: the code of what is missing to the proof.
    Unproven(&'static str),
    /// It could have been, and the means ran out.
    Stopped(StopReason),
}

impl NotHealed {
    /// A stable name for records and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Unproven(code) => code,
            Self::Stopped(reason) => reason.code(),
        }
    }
}
