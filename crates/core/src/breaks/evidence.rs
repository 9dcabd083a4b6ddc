//! What proves that a request never reached the peer, although it had been written.
//!
//! A close that crosses a request: the peer ends its stream while the request is on its way. The segment that carries
//! the end also carries what the peer had received by then. So if the end has been seen, and nothing of the request
//! had been acknowledged when it was, the peer's side ended *before* any of the request reached it. A peer that has ended
//! its stream can't answer, so it has no reason to carry anything out that arrives later.
//!
//! What proves nothing: a reset alone (a process that dies with the request in its hands resets too), silence, and an
//! end after a part of the request was acknowledged. Where the system counts no acknowledged bytes there is no proof.

use super::Certainty;

/// How a connection ended under a request that had been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// Bytes that had been written on the connection before the request's first.
    pub written_before: u64,
    /// Bytes that the peer had acknowledged when its end of the stream was seen; `None` when no end was seen, or when the
    /// system doesn't say.
    pub acked_at_end: Option<u64>,
    /// Whether anything was read since the request began.
    pub answered: bool,
}

/// What the evidence amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The peer had ended its stream before it received any of the request.
    EndedBefore,
    /// The peer had received this many of the request's bytes when it ended its stream.
    Received(u64),
    /// Nothing is proved.
    None,
}

impl Crossing {
    /// What it proves.
    #[must_use]
    pub const fn proof(&self) -> Proof {
        match self.acked_at_end {
            None => Proof::None,
            Some(acked) if acked > self.written_before => {
                Proof::Received(acked - self.written_before)
            }
            // Something came back for a request of which nothing had arrived: whatever that is, it is no proof.
            Some(_) if self.answered => Proof::None,
            Some(_) => Proof::EndedBefore,
        }
    }
}

/// Whether an answer that came on a kept connection is none to the request on it, but the 408 with which some servers
/// take leave of an idle connection (RFC 9110, section 15.5.9), crossing it: it is, if the peer had acknowledged nothing
/// of the request when it came. Where the system counts no acknowledged bytes, it is taken for an answer.
///
/// `acked` asks for the bytes that the peer has acknowledged on the connection; it is asked only where it decides.
#[must_use]
pub fn is_farewell(
    status: u16,
    reused: bool,
    written_before: u64,
    acked: impl FnOnce() -> Option<u64>,
) -> bool {
    // On a new connection a server has nothing to take leave of.
    status == REQUEST_TIMEOUT && reused && acked().is_some_and(|acked| acked <= written_before)
}

const REQUEST_TIMEOUT: u16 = 408;

impl Proof {
    /// How far the request got.
    #[must_use]
    pub const fn certainty(self) -> Certainty {
        match self {
            Self::EndedBefore => Certainty::NotSent,
            Self::Received(_) | Self::None => Certainty::MaybeProcessed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(acked_at_end: Option<u64>, answered: bool, wanted: Proof, certainty: Certainty) {
        let proof = Crossing { written_before: 100, acked_at_end, answered }.proof();
        assert_eq!((proof, proof.certainty()), (wanted, certainty));
    }

    #[test]
    fn an_end_before_the_first_acknowledged_byte_proves_that_nothing_arrived() {
        check(Some(100), false, Proof::EndedBefore, Certainty::NotSent);
        // Not even all that came earlier had been acknowledged.
        check(Some(60), false, Proof::EndedBefore, Certainty::NotSent);
    }

    #[test]
    fn a_408_is_a_farewell_where_nothing_of_the_request_had_been_acknowledged() {
        assert!(is_farewell(408, true, 100, || Some(100)));
        assert!(!is_farewell(408, true, 100, || Some(101)), "the peer had begun to hear it");
        assert!(!is_farewell(408, true, 100, || None), "nothing is known");
    }

    #[test]
    fn other_answers_and_new_connections_are_not_asked_about() {
        let unasked = || unreachable!("it costs a system call");
        assert!(!is_farewell(200, true, 100, unasked));
        assert!(!is_farewell(408, false, 100, unasked));
    }

    #[test]
    fn one_acknowledged_byte_is_enough_to_leave_the_outcome_open() {
        check(Some(101), false, Proof::Received(1), Certainty::MaybeProcessed);
        check(Some(180), true, Proof::Received(80), Certainty::MaybeProcessed);
    }

    #[test]
    fn without_an_end_or_with_an_answer_nothing_is_proved() {
        check(None, false, Proof::None, Certainty::MaybeProcessed);
        check(Some(100), true, Proof::None, Certainty::MaybeProcessed);
    }
}
