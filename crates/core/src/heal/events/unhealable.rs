//! Why an event stream can't be continued: what is missing to the proof.

/// What is missing to the proof that what would come is what the application hasn't had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unhealable {
    /// Events were delivered, and none of them had an id.
    NoIds,
    /// The server took its last id back, by an empty one.
    IdTakenBack,
    /// The last id can't stand in a header field as it is.
    IdNotSendable,
    /// An id came more than once, so that it says no place.
    IdsRepeat,
    /// An id that was delivered came again with another event.
    IdReused,
    /// More events came since the last id than are remembered.
    TooManySinceId,
    /// Too many events to remember, and their ids are in no order that could be gone by.
    TooManyEvents,
    /// Events that were delivered after the last id aren't sent again, or others in their place.
    TailNotRepeated,
    /// The server began to repeat, and then something else came.
    RepeatDiffers,
    /// What comes may be new, or a repetition, and nothing tells which.
    Ambiguous,
    /// A block was longer than what is kept of one.
    BlockTooLong,
}

impl Unhealable {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::NoIds,
        Self::IdTakenBack,
        Self::IdNotSendable,
        Self::IdsRepeat,
        Self::IdReused,
        Self::TooManySinceId,
        Self::TooManyEvents,
        Self::TailNotRepeated,
        Self::RepeatDiffers,
        Self::Ambiguous,
        Self::BlockTooLong,
    ];

    /// A stable name for records, metrics and the error event.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoIds => "no-event-ids",
            Self::IdTakenBack => "event-id-taken-back",
            Self::IdNotSendable => "event-id-not-sendable",
            Self::IdsRepeat => "event-ids-repeat",
            Self::IdReused => "event-id-reused",
            Self::TooManySinceId => "too-many-events-since-id",
            Self::TooManyEvents => "too-many-events",
            Self::TailNotRepeated => "events-not-repeated",
            Self::RepeatDiffers => "repetition-differs",
            Self::Ambiguous => "repetition-ambiguous",
            Self::BlockTooLong => "event-too-long",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_reason_is_listed_once_and_has_a_code_of_its_own() {
        let codes: BTreeSet<_> = Unhealable::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Unhealable::ALL.len());
        assert!(
            Unhealable::ALL.iter().enumerate().all(|(place, reason)| *reason as usize == place)
        );
        assert_eq!(Unhealable::BlockTooLong as usize + 1, Unhealable::ALL.len());
    }
}
