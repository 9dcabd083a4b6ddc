//! Uploads that break at random, continued with a server that keeps its word or lies in one of several ways.
//!
//! What the server has is a prefix of the body at all times, and all of it exactly when the upload says that it is over. A lie is
//! found before one more byte is sent.
#![cfg(not(loom))]

use mainstay_core::heal::upload::{Fault, Origin, Protocol, Step, Upload};
use proptest::prelude::*;

/// What a server says in place of the truth, from some exchange on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// It forgot some of what it said to have.
    LessThanTold,
    MoreThanSent,
    OtherLength,
    NoOffset,
    TwoOffsets,
    Gone,
    /// It refuses what it asked for.
    Refuses,
}

const LIES: [Lie; 7] = [
    Lie::LessThanTold,
    Lie::MoreThanSent,
    Lie::OtherLength,
    Lie::NoOffset,
    Lie::TwoOffsets,
    Lie::Gone,
    Lie::Refuses,
];

/// What becomes of one request.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// How much of its content leaves, in hundredths; less than all is a break.
    leaves: usize,
    /// How much of that arrives.
    arrives: usize,
    /// Whether the answer is lost.
    is_lost: bool,
    /// Whether the server is busy.
    is_busy: bool,
}

fn fate() -> impl Strategy<Value = Fate> {
    let parts = (prop_oneof![0..=100_usize, Just(100)], 0..=100_usize);
    (parts, prop::bool::weighted(0.2), prop::bool::weighted(0.2)).prop_map(
        |((leaves, arrives), is_lost, is_busy)| Fate { leaves, arrives, is_lost, is_busy },
    )
}

const NO_MORE_BREAKS: Fate = Fate { leaves: 100, arrives: 100, is_lost: false, is_busy: false };

type Head = (u16, Vec<(&'static str, String)>);

/// The reference: keeps what arrives, tells what it has, and is complete when all of it is there.
struct Server {
    protocol: Protocol,
    total: usize,
    has: Vec<u8>,
    /// By the draft an upload is complete when a request that says so has come to its end.
    complete: bool,
    /// The most that it told.
    told: usize,
    lie: Option<Lie>,
}

impl Server {
    /// Takes what arrives of a request's content, `ended` if that is all of it.
    fn take(&mut self, content: &[u8], ended: bool) {
        assert!(!self.complete, "something was sent to an upload that is complete");
        self.has.extend_from_slice(content);
        self.complete = ended;
    }

    fn tell_offset(&mut self, sent: usize) -> Head {
        let version = ("tus-resumable", "1.0.0".to_owned());
        let mut fields = vec![version, ("upload-complete", flag(self.complete))];
        let mut offsets = vec![self.has.len()];
        match self.lie {
            Some(Lie::LessThanTold) if self.told > 0 => offsets = vec![self.told - 1],
            Some(Lie::MoreThanSent) => offsets = vec![sent + 1],
            Some(Lie::NoOffset) => offsets.clear(),
            Some(Lie::TwoOffsets) => offsets.push(self.has.len()),
            Some(Lie::OtherLength) => {
                fields.push(("upload-length", (self.total + 1).to_string()));
            }
            Some(Lie::Gone) => return (404, Vec::new()),
            Some(Lie::LessThanTold | Lie::Refuses) | None => {
                fields.push(("upload-length", self.total.to_string()));
                self.told = self.has.len();
            }
        }
        fields.extend(offsets.iter().map(|offset| ("upload-offset", offset.to_string())));
        (204, fields)
    }

    fn append(&mut self, from: usize, content: &[u8], ended: bool) -> Head {
        // An answer to the first request is that of the call, whatever it says.
        let refuses = self.lie == Some(Lie::Refuses) && from > 0;
        if refuses || from != self.has.len() {
            return (409, Vec::new());
        }
        self.take(content, ended);
        match self.protocol {
            Protocol::Ietf { .. } => (201, vec![("upload-complete", flag(ended))]),
            Protocol::Tus => (204, vec![("upload-offset", self.has.len().to_string())]),
        }
    }
}

fn flag(is: bool) -> String {
    if is { "?1" } else { "?0" }.to_owned()
}

fn fields<'a>(list: &'a [(&'a str, String)]) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    list.iter().map(|(name, value)| (*name, value.as_bytes()))
}

/// How an upload ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Over,
    Stopped(Fault),
}

/// Uploads `body` through `fates`, then through requests that all go well. After `honest_for` requests the server lies.
fn run(
    protocol: Protocol,
    body: &[u8],
    fates: &[Fate],
    lie: Option<(Lie, usize)>,
) -> (Outcome, Server) {
    let (origin, total) = (Origin { scheme: "http".into(), authority: "a".into() }, body.len());
    let method = "POST";
    let mut upload = Upload::of(protocol, origin, method, Some(total as u64), core::iter::empty())
        .expect("an upload");
    let mut server =
        Server { protocol, total, has: Vec::new(), complete: false, told: 0, lie: None };
    let mut sent = 0;
    let mut step = match protocol {
        Protocol::Ietf { .. } => None,
        Protocol::Tus => {
            let created = [("location", "/u".to_owned())];
            Some(upload.on_answer(201, fields(&created)).expect("a creation"))
        }
    };
    let fates = fates.iter().copied().chain(std::iter::repeat(NO_MORE_BREAKS));
    for (number, fate) in fates.enumerate().take(1_000) {
        if lie.is_some_and(|(_, honest_for)| number >= honest_for) {
            server.lie = lie.map(|(lie, _)| lie);
        }
        let next = match step {
            Some(Step::Deliver | Step::Complete) => return (Outcome::Over, server),
            Some(Step::AskOffset) if fate.is_lost => upload.on_break(),
            Some(Step::AskOffset) if fate.is_busy => upload.on_offset(423, fields(&[])),
            Some(Step::AskOffset) => {
                let (status, list) = server.tell_offset(sent);
                upload.on_offset(status, fields(&list))
            }
            Some(Step::Append { .. }) | None => {
                let from = match step {
                    Some(Step::Append { from }) => from as usize,
                    _ => {
                        let version = ("upload-draft-interop-version", "8".to_owned());
                        upload.on_offer(fields(&[version, ("location", "/u".to_owned())]));
                        0
                    }
                };
                // Nothing goes to a server that has said, or shown, that it has something else.
                assert_eq!(server.has, body[..server.has.len()]);
                let rest = &body[from..];
                let leaves = rest.len() * fate.leaves / 100;
                let arrives = leaves * fate.arrives / 100;
                sent = sent.max(from + leaves);
                upload.on_sent((from + leaves) as u64);
                let ended = arrives == rest.len();
                let (status, list) = server.append(from, &rest[..arrives], ended);
                if (ended || status == 409) && !fate.is_lost {
                    upload.on_answer(status, fields(&list))
                } else {
                    upload.on_break()
                }
            }
        };
        match next {
            Ok(next) => step = Some(next),
            Err(fault) => return (Outcome::Stopped(fault), server),
        }
    }
    panic!("it has no end: {step:?}");
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Ietf { interop_version: 8 }), Just(Protocol::Tus)]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..400)
}

proptest! {
    #[test]
    fn with_an_honest_server_all_of_it_arrives_whatever_breaks(
        protocol in protocol(),
        body in body(),
        fates in prop::collection::vec(fate(), 0..12),
    ) {
        let (outcome, server) = run(protocol, &body, &fates, None);
        match outcome {
            Outcome::Over => {}
            // The one thing that the draft can't give again.
            Outcome::Stopped(fault) => {
                prop_assert_eq!((fault, server.complete), (Fault::AnswerLost, true));
                prop_assert_ne!(protocol, Protocol::Tus);
            }
        }
        prop_assert_eq!(server.has, body);
    }

    #[test]
    fn a_lie_is_never_followed(
        protocol in protocol(),
        body in body(),
        fates in prop::collection::vec(fate(), 1..12),
        lie in prop::sample::select(&LIES[..]),
        honest_for in 0..8_usize,
    ) {
        let (outcome, server) = run(protocol, &body, &fates, Some((lie, honest_for)));
        match outcome {
            // It was over before the lie mattered.
            Outcome::Over => prop_assert_eq!(&server.has, &body),
            Outcome::Stopped(fault) => {
                let wanted = match lie {
                    Lie::LessThanTold => Fault::WentDown,
                    Lie::MoreThanSent => Fault::BeyondSent,
                    Lie::OtherLength => Fault::OtherLength,
                    Lie::NoOffset | Lie::TwoOffsets => Fault::NoOffset,
                    Lie::Gone => Fault::Gone,
                    Lie::Refuses => Fault::Disagrees,
                };
                prop_assert!([wanted, Fault::AnswerLost].contains(&fault), "{fault:?}");
            }
        }
        prop_assert!(body.starts_with(&server.has));
    }
}

/// The lies above are met, and not only those that end by themselves.
#[test]
fn each_lie_stops_an_upload_that_broke() {
    let broke = Fate { leaves: 60, arrives: 50, ..NO_MORE_BREAKS };
    let body: Vec<u8> = (0..=99).collect();
    for protocol in [Protocol::Ietf { interop_version: 8 }, Protocol::Tus] {
        for lie in LIES {
            let fates = [broke, NO_MORE_BREAKS, broke, NO_MORE_BREAKS];
            let (outcome, server) = run(protocol, &body, &fates, Some((lie, 3)));
            assert!(matches!(outcome, Outcome::Stopped(_)), "{lie:?}: {outcome:?}");
            assert!(server.has.len() < body.len(), "{lie:?}");
        }
    }
}
