//! WebSocket connections through a tunnel, in pieces of any size and broken anywhere: each side gets exactly what the other sent, our
//! own frames come only between two of theirs, and a break is told wherever it can be.
//!
//! Both ends read frames with a plain reader of their own, which has all bytes at once and shares nothing with what is tested.

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_core::heal::socket::{ConnectionEnd, Side, SocketSettings, Tunnel, TunnelEnd};
use mainstay_core::{Chance, Timestamp};
use proptest::prelude::*;

/// A frame, without its mask.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    first: u8,
    payload: Vec<u8>,
}

impl Frame {
    fn bytes(&self, mask: Option<[u8; 4]>) -> Vec<u8> {
        let masked = if mask.is_some() { 0x80 } else { 0 };
        let mut bytes = vec![self.first];
        match self.payload.len() {
            short @ 0..=125 => bytes.push(masked | short as u8),
            middle @ 126..=65_535 => {
                bytes.push(masked | 126);
                bytes.extend((middle as u16).to_be_bytes());
            }
            long => {
                bytes.push(masked | 127);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend(mask.into_iter().flatten());
        let mask = mask.unwrap_or_default();
        bytes.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    fn is_ours(&self) -> bool {
        self.first == 0x89 && self.payload.starts_with(b"mainstay")
    }
}

/// All whole frames, and the bytes behind them.
fn read(mut bytes: &[u8]) -> (Vec<Frame>, &[u8]) {
    let mut frames = Vec::new();
    while let Some((frame, length)) = read_one(bytes) {
        frames.push(frame);
        bytes = &bytes[length..];
    }
    (frames, bytes)
}

fn read_one(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (length, mut at) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        short => (u64::from(short), 2),
    };
    let mask: [u8; 4] = if second & 0x80 == 0 {
        [0; 4]
    } else {
        at += 4;
        bytes.get(at - 4..at)?.try_into().ok()?
    };
    let end = at + length as usize;
    let payload =
        bytes.get(at..end)?.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    Some((Frame { first, payload: payload.collect() }, end))
}

/// What both ends do.
#[derive(Clone, Debug)]
enum Step {
    /// The application sends so many bytes of what it has.
    Send(usize),
    /// The upstream does.
    Answer(usize),
    /// So many bytes leave for the upstream.
    Up(usize),
    /// So many bytes leave for the application.
    Down(usize),
    /// Time passes.
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1..400_usize).prop_map(Step::Send),
        (1..400_usize).prop_map(Step::Answer),
        (1..600_usize).prop_map(Step::Up),
        (1..600_usize).prop_map(Step::Down),
        (1..30_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..120)
}

/// Messages, whole or in fragments, with Pings and Pongs of the ends' own between them.
fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let data = (
        prop::sample::select(vec![0x81_u8, 0x82, 0x01, 0x00, 0x80, 0xc1]),
        prop_oneof![0..130_usize, 120..600_usize],
    );
    let control = (prop::sample::select(vec![0x89_u8, 0x8a]), 0..126_usize);
    let frame = prop_oneof![4 => data, 1 => control].prop_map(|(first, length)| Frame {
        first,
        payload: (0..length).map(|at| (at * 7) as u8).collect(),
    });
    prop::collection::vec(frame, 0..12)
}

/// Both ends and what is between them.
struct World {
    tunnel: Tunnel,
    now: Timestamp,
    /// What the ends still have to send.
    of_application: VecDeque<u8>,
    of_upstream: VecDeque<Frame>,
    /// The frame that the upstream is sending.
    sending: VecDeque<u8>,
    /// What the ends have got.
    at_application: Vec<u8>,
    at_upstream: Vec<u8>,
    answered: usize,
}

impl World {
    fn new(client: &[Frame], server: &[Frame]) -> Self {
        let settings = SocketSettings::default();
        let now = Timestamp::ZERO;
        let idle = Duration::from_secs(60);
        Self {
            tunnel: Tunnel::new(&settings, idle, Chance::from_seed(7), now),
            now,
            of_application: client.iter().flat_map(|frame| frame.bytes(Some(*b"mask"))).collect(),
            of_upstream: server.iter().cloned().collect(),
            sending: VecDeque::new(),
            at_application: Vec::new(),
            at_upstream: Vec::new(),
            answered: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Send(most) => self.send(most),
            Step::Answer(most) => self.answer(most),
            Step::Up(most) => self.up(most),
            Step::Down(most) => self.down(most),
            Step::Wait(seconds) => self.wait(seconds),
        }
    }

    fn send(&mut self, most: usize) {
        if self.tunnel.reads(Side::Application) {
            let piece: Vec<u8> =
                self.of_application.drain(..most.min(self.of_application.len())).collect();
            self.tunnel.on_bytes(Side::Application, &piece, self.now);
        }
    }

    /// The upstream answers Pings at the next end of a frame, as it has to.
    fn answer(&mut self, most: usize) {
        if !self.tunnel.reads(Side::Upstream) {
            return;
        }
        if self.sending.is_empty() {
            let (heard, _) = read(&self.at_upstream);
            let ours: Vec<&Frame> = heard.iter().filter(|frame| frame.is_ours()).collect();
            let next = match ours.get(self.answered) {
                Some(ping) => {
                    self.answered += 1;
                    Some(Frame { first: 0x8a, payload: ping.payload.clone() })
                }
                None => self.of_upstream.pop_front(),
            };
            self.sending.extend(next.iter().flat_map(|frame| frame.bytes(None)));
        }
        let piece: Vec<u8> = self.sending.drain(..most.min(self.sending.len())).collect();
        self.tunnel.on_bytes(Side::Upstream, &piece, self.now);
    }

    fn up(&mut self, most: usize) {
        let pending = self.tunnel.pending(Side::Upstream);
        let piece = pending[..most.min(pending.len())].to_vec();
        self.tunnel.on_written(Side::Upstream, piece.len(), self.now);
        self.at_upstream.extend(piece);
    }

    fn down(&mut self, most: usize) {
        let pending = self.tunnel.pending(Side::Application);
        let piece = pending[..most.min(pending.len())].to_vec();
        self.tunnel.on_written(Side::Application, piece.len(), self.now);
        self.at_application.extend(piece);
    }

    /// Time passes, with what it makes due. A living upstream gives a sign before the time to answer is over.
    fn wait(&mut self, seconds: u64) {
        self.pass(seconds);
        self.up(usize::MAX);
        self.answer(usize::MAX);
        self.answer(usize::MAX);
    }

    /// Up to the first Ping or end in this time.
    fn pass(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while self.tunnel.next_deadline().is_some_and(|due| due <= until) {
            self.come_due();
            if !self.tunnel.pending(Side::Upstream).is_empty() || self.tunnel.ending().is_some() {
                return;
            }
        }
        self.now = until;
    }

    /// Time passes until something is due.
    fn come_due(&mut self) {
        if let Some(due) = self.tunnel.next_deadline() {
            self.now = self.now.max(due);
            self.tunnel.on_time(self.now);
        }
    }

    /// Everything that is still under way arrives.
    fn settle(&mut self) {
        loop {
            let before = (self.at_application.len(), self.at_upstream.len());
            self.send(usize::MAX);
            self.answer(usize::MAX);
            self.up(usize::MAX);
            self.down(usize::MAX);
            let is_quiet = self.of_upstream.is_empty() && self.sending.is_empty();
            if before == (self.at_application.len(), self.at_upstream.len()) && is_quiet {
                return;
            }
        }
    }
}

proptest! {
    #[test]
    fn both_sides_get_what_the_other_sent_and_the_upstream_our_pings_between_frames(
        client in frames(),
        server in frames(),
        steps in steps(),
    ) {
        let mut world = World::new(&client, &server);
        for step in &steps {
            world.step(step);
            prop_assert_eq!(world.tunnel.ending(), None);
        }
        world.settle();
        let (at_application, rest) = read(&world.at_application);
        prop_assert_eq!((&at_application, rest), (&server, &b""[..]));
        let (mut at_upstream, rest) = read(&world.at_upstream);
        prop_assert_eq!(rest, b"");
        let pings = at_upstream.iter().filter(|frame| frame.is_ours()).count();
        prop_assert_eq!(pings as u64, world.tunnel.counts().pings);
        at_upstream.retain(|frame| !frame.is_ours());
        prop_assert_eq!(at_upstream, client);
    }

    #[test]
    fn a_break_is_told_between_frames_and_cuts_within_one(
        client in frames(),
        server in frames(),
        steps in steps(),
        how in prop::sample::select(vec![
            (Some(ConnectionEnd::Closed), TunnelEnd::UpstreamGone),
            (Some(ConnectionEnd::Reset), TunnelEnd::UpstreamReset),
            (None, TunnelEnd::UpstreamDead),
        ]),
    ) {
        let mut world = World::new(&client, &server);
        steps.iter().for_each(|step| world.step(step));
        let all: Vec<u8> = server.iter().flat_map(|frame| frame.bytes(None)).collect();
        world.down(usize::MAX);
        match how.0 {
            Some(end) => world.tunnel.on_end(Side::Upstream, end, world.now),
            None => {
                // Silence. The application ends its frame; what it sent is taken, or only by the system.
                world.send(usize::MAX);
                let begun = world.now;
                while world.tunnel.counts().close_code.is_none() && world.tunnel.ending().is_none() {
                    world.up(usize::MAX);
                    world.come_due();
                }
                prop_assert!(world.now.since(begun) <= Duration::from_secs(30 + 10));
            }
        }
        world.down(usize::MAX);
        let (frames, rest) = read(&world.at_application);
        match world.tunnel.ending() {
            Some(ending) => {
                prop_assert!(ending.is_cut && !rest.is_empty());
                prop_assert!(all.starts_with(&world.at_application));
            }
            None => {
                let (close, before) = frames.split_last().expect("a Close");
                prop_assert_eq!((close.first, &close.payload[..2]), (0x88, &[3, 0xf4][..]));
                prop_assert_eq!((rest, before), (&b""[..], &server[..before.len()]));
                // It ends what it was sending first.
                world.send(usize::MAX);
                world.tunnel.on_bytes(Side::Application, b"\x88\x80mask", world.now);
            }
        }
        prop_assert_eq!(world.tunnel.ending().map(|ending| ending.end), Some(how.1));
        prop_assert!(!world.tunnel.reads(Side::Application) && !world.tunnel.reads(Side::Upstream));
    }
}
