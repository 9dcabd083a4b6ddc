//! What the lab's faults mean here: to who connects, to a request that arrives, and to a server's strength.
//!
//! The words are the lab's, and so is their reader; this is their meaning in a world without sockets. A fault that
//! has none here is refused when a world is read, rather than passed over.

use std::time::Duration;

use mainstay_core::time::nanos;
use mainstay_core::{BreakKind, Certainty, Timestamp};
use mainstay_lab::{Delay, Ending, Fault, Place, RetryAfter, Rule, TlsTrouble};

/// A rule in force since some moment.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    /// Which fault of the world it is.
    pub(crate) number: usize,
    pub(crate) rule: Rule,
    pub(crate) since: Timestamp,
}

impl Active {
    /// What happens now; `None` while it flaps and is up.
    pub(crate) fn fault(&self, now: Timestamp) -> Option<&Fault> {
        match &self.rule.fault {
            Fault::Healthy => None,
            Fault::Flap { up, down, fault } => {
                (self.in_period(now, *up, *down) >= *up).then_some(&**fault)
            }
            other => Some(other),
        }
    }

    /// When that changes by itself.
    pub(crate) fn next_turn_at(&self, now: Timestamp) -> Option<Timestamp> {
        let Fault::Flap { up, down, .. } = &self.rule.fault else { return None };
        let at = self.in_period(now, *up, *down);
        let until = if at < *up { *up } else { *up + *down };
        Some(now + (until - at))
    }

    fn in_period(&self, now: Timestamp, up: Duration, down: Duration) -> Duration {
        // The reader refuses a flap without length; one made in code must not divide by zero.
        let period = nanos(up + down).max(1);
        Duration::from_nanos(nanos(now.since(self.since)) % period)
    }
}

/// How a server meets who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// It accepts.
    Open,
    /// It resets.
    Closed,
    /// It answers nothing.
    Silent,
    /// It accepts, and TLS ends so.
    Tls(BreakKind),
    /// It accepts, and TLS never ends.
    TlsSilent,
}

/// What a fault means to who connects.
pub(crate) fn door(fault: &Fault, speaks_tls: bool) -> Door {
    match fault {
        Fault::Refuse => Door::Closed,
        Fault::Blackhole => Door::Silent,
        Fault::Tls(_) if !speaks_tls => Door::Open,
        Fault::Tls(TlsTrouble::Expired) => Door::Tls(BreakKind::CertificateExpired),
        Fault::Tls(TlsTrouble::WrongName) => Door::Tls(BreakKind::CertificateWrongName),
        Fault::Tls(TlsTrouble::SelfSigned) => Door::Tls(BreakKind::CertificateUnknownIssuer),
        Fault::Tls(TlsTrouble::OldProtocol) => Door::Tls(BreakKind::TlsProtocol),
        Fault::Tls(TlsTrouble::Alert) => Door::Tls(BreakKind::TlsAlert),
        Fault::Tls(TlsTrouble::Stalled) => Door::TlsSilent,
        _ => Door::Open,
    }
}

/// What becomes of a request that a fault meets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meeting {
    /// A worker serves it, and executes it; then this.
    Served(Fate),
    /// No worker sees it.
    Instead {
        /// Whether it is executed all the same.
        executed: bool,
        /// Then this.
        fate: Fate,
    },
}

/// What comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A head, so much later, and a body.
    Answer { status: u16, hint: Option<Duration>, later: Spread, body: Body },
    /// The connection breaks before a head.
    Break(BreakKind, Certainty),
    /// Nothing, ever.
    Silence,
}

/// How long the server waits before it answers.
pub(crate) type Spread = Option<Delay>;

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Whole, in the endpoint's own time.
    Whole,
    /// Whole, and so much later.
    Slow(Duration),
    /// Broken off.
    Broken(BreakKind),
    /// Never.
    Stalled,
}

impl Fate {
    /// An answer as it should be.
    pub(crate) const GOOD: Self = Self::answer(200, None);

    /// An answer with this status.
    pub(crate) const fn answer(status: u16, hint: Option<Duration>) -> Self {
        Self::Answer { status, hint, later: None, body: Body::Whole }
    }

    const fn with_body(body: Body) -> Self {
        Self::Answer { status: 200, hint: None, later: None, body }
    }
}

/// What a fault means to a request; `None` when it doesn't concern requests. `reused`: its connection was kept.
pub(crate) fn meeting(fault: &Fault, reused: bool, speaks_h2: bool) -> Option<Meeting> {
    use Certainty::{MaybeProcessed, Refused};
    let instead = |fate| Some(Meeting::Instead { executed: false, fate });
    let served = |fate| Some(Meeting::Served(fate));
    let broken = |kind| served(Fate::with_body(Body::Broken(kind)));
    match fault {
        Fault::Hang => instead(Fate::Silence),
        Fault::ResetBefore | Fault::CloseBefore => {
            instead(Fate::Break(BreakKind::ResetBeforeHead, MaybeProcessed))
        }
        Fault::Garbage { .. } => instead(Fate::Break(BreakKind::MalformedResponse, MaybeProcessed)),
        Fault::H2RefuseStream if speaks_h2 => {
            instead(Fate::Break(BreakKind::StreamRefused, Refused))
        }
        Fault::H2GoAway if speaks_h2 => instead(Fate::Break(BreakKind::GoAway, Refused)),
        // It closes when the request has arrived: that was acknowledged, so a clean close proves nothing either.
        Fault::CloseOnReuse { .. } if reused => {
            instead(Fate::Break(BreakKind::ClosedWhileIdle, MaybeProcessed))
        }
        Fault::ResetAfterExecute => served(Fate::Break(BreakKind::ResetBeforeHead, MaybeProcessed)),
        Fault::ResetAfterHead | Fault::ResetInBody { .. } => broken(BreakKind::BodyReset),
        Fault::Truncate { .. } | Fault::TruncateChunked { .. } => broken(BreakKind::BodyTruncated),
        Fault::Stall { .. } => served(Fate::with_body(Body::Stalled)),
        Fault::StallHead => served(Fate::Silence),
        Fault::Trickle { bytes, every } => {
            let pieces = u32::try_from(BODY_BYTES.div_ceil((*bytes).max(1))).unwrap_or(u32::MAX);
            served(Fate::with_body(Body::Slow(every.saturating_mul(pieces))))
        }
        Fault::Slow(delay) => {
            served(Fate::Answer { status: 200, hint: None, later: Some(*delay), body: Body::Whole })
        }
        Fault::Status { code, executed } => {
            Some(Meeting::Instead { executed: *executed, fate: Fate::answer(*code, None) })
        }
        Fault::Throttle { code, retry_after } => {
            let hint = match retry_after {
                RetryAfter::Absent => None,
                RetryAfter::Seconds(seconds) | RetryAfter::Date(seconds) => {
                    Some(Duration::from_secs(u64::from(*seconds)))
                }
            };
            instead(Fate::answer(*code, hint.filter(|_| matches!(code, 429 | 503))))
        }
        _ => None,
    }
}

/// What is known of a request that crossed the close of its connection: a clean close leaves the proof that nothing of
/// it was taken, a reset doesn't.
pub(crate) fn closed_while_idle(with: Ending) -> Certainty {
    match with {
        Ending::Fin => Certainty::NotSent,
        Ending::Drop | Ending::Reset => Certainty::MaybeProcessed,
    }
}

/// Whether a world may contain this fault.
pub(crate) fn is_followed(fault: &Fault) -> bool {
    match fault {
        Fault::Flap { fault, .. } => is_followed(fault),
        Fault::Dns(_)
        | Fault::H2PingPolicy { .. }
        | Fault::H2MaxStreams { .. }
        | Fault::H2GoAwayGraceful
        | Fault::NotServing
        | Fault::ResetInBody { at: Place::Every(_) }
        | Fault::Truncate { at: Place::Every(_) }
        | Fault::TruncateChunked { at: Place::Every(_) }
        | Fault::Stall { at: Place::Every(_) } => false,
        Fault::Healthy
        | Fault::Refuse
        | Fault::Blackhole
        | Fault::HalfDead
        | Fault::Tls(_)
        | Fault::CloseIdle { .. }
        | Fault::CloseOnReuse { .. }
        | Fault::Capacity { .. }
        | Fault::Cold { .. }
        | Fault::H2RefuseStream
        | Fault::H2GoAway => true,
        other => meeting(other, false, true).is_some(),
    }
}

/// Why the others aren't.
pub(crate) const NOT_FOLLOWED: &str = "a fault that the simulator follows: a world has no names, no PINGs, no limit of streams, no gRPC and no bytes of bodies, so not dns-…, h2-ping-policy, h2-max-streams, h2-goaway-graceful, not-serving, range-…, etag-…, changing, and none with every=SIZE";

/// What a trickled body is taken to hold.
const BODY_BYTES: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_lab::KINDS;

    /// A rule of each word of the lab's list, its parameters filled in.
    fn example(word: &str) -> String {
        let parameters = match word {
            "trickle" => "bytes=64 every=10ms",
            "slow" => "fixed=1s",
            "close-idle" => "after=1s",
            "flap" => "up=1s down=1s",
            "capacity" => "concurrency=1 service=1ms queue=1",
            "cold" => "extra=1s for=1s",
            "h2-ping-policy" => "every=1s",
            "h2-max-streams" => "n=1",
            "dns-slow" => "by=1s",
            "dns-answer" => "a=127.0.0.1",
            _ => "",
        };
        format!("{word} {parameters}")
    }

    #[test]
    fn each_word_of_the_lab_is_followed_or_refused_for_a_reason() {
        let followed = |word: &str| is_followed(&example(word).parse::<Rule>().unwrap().fault);
        let refused: Vec<_> =
            KINDS.iter().map(|kind| kind.word).filter(|it| !followed(it)).collect();
        assert!(
            refused.iter().all(|word| {
                let family = word.split_once('-').map_or(*word, |(family, _)| family);
                NOT_FOLLOWED.contains(&format!("{family}-…")) || NOT_FOLLOWED.contains(word)
            }),
            "{refused:?}"
        );
    }

    #[test]
    fn a_break_by_the_bytes_of_a_body_is_refused() {
        let followed = |text: &str| is_followed(&text.parse::<Rule>().unwrap().fault);
        assert!(followed("truncate at=last") && followed("stall at=10"));
        assert!(!followed("truncate every=300KB") && !followed("stall every=1MiB"));
        assert!(!followed("flap up=1s down=1s reset-in-body every=300KB"));
    }

    #[test]
    fn a_flap_begins_up_and_turns_for_ever() {
        let rule = "flap up=2s down=1s refuse".parse().unwrap();
        let active = Active { number: 0, rule, since: Timestamp::from_millis(1000) };
        let at = |millis| active.fault(Timestamp::from_millis(millis)).is_some();
        assert_eq!(
            [1000, 2999, 3000, 3999, 4000, 6000].map(at),
            [false, false, true, true, false, true]
        );
        let turn = |millis| active.next_turn_at(Timestamp::from_millis(millis));
        assert_eq!(turn(1500), Some(Timestamp::from_millis(3000)));
        assert_eq!(turn(3000), Some(Timestamp::from_millis(4000)));
    }
}
