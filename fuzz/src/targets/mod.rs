//! The targets, by what they are given.

pub mod answers;
pub mod config;
pub mod degrade;
pub mod dns;
pub mod events;
pub mod frames;
pub mod hints;
pub mod labs;
mod net;
pub mod ranges;
pub mod requests;
pub mod sockets;
pub mod stored;
pub mod uploads;
pub mod worlds;

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Runs it on an input. Panics where something doesn't hold.
    pub run: fn(&[u8]),
    /// Pieces that its inputs are made of, so that chance gets somewhere.
    pub words: &'static [&'static str],
}

/// All of them.
pub const ALL: &[Target] = &[
    Target { name: "answers", run: answers::run, words: net::HTTP },
    Target { name: "config", run: config::run, words: config::WORDS },
    Target { name: "degrade", run: degrade::run, words: degrade::WORDS },
    Target { name: "dns", run: dns::run, words: &[] },
    Target { name: "events", run: events::run, words: events::WORDS },
    Target { name: "frames", run: frames::run, words: &[] },
    Target { name: "hints", run: hints::run, words: hints::WORDS },
    Target { name: "labs", run: labs::run, words: labs::WORDS },
    Target { name: "ranges", run: ranges::run, words: ranges::WORDS },
    Target { name: "requests", run: requests::run, words: net::HTTP },
    Target { name: "sockets", run: sockets::run, words: &[] },
    Target { name: "stored", run: stored::run, words: stored::WORDS },
    Target { name: "uploads", run: uploads::run, words: uploads::WORDS },
    Target { name: "worlds", run: worlds::run, words: worlds::WORDS },
];

/// Reads lines `name: value`, names in lower case, as a head's fields.
pub(crate) fn fields(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = std::str::from_utf8(&line[..colon]).ok()?.to_ascii_lowercase();
        Some((name, line[colon + 1..].trim_ascii().to_vec()))
    });
    lines.collect()
}

/// The same, as core wants them.
pub(crate) fn borrowed(fields: &[(String, Vec<u8>)]) -> impl Iterator<Item = (&str, &[u8])> {
    fields.iter().map(|(name, value)| (&name[..], &value[..]))
}

/// Cuts off the first `N` bytes, which say how the rest is to be used. Nothing where there are fewer.
pub(crate) fn knobs<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    bytes.split_first_chunk::<N>().map(|(knobs, rest)| (*knobs, rest))
}

/// The pieces of an input that a step cuts it into; at least one byte each.
pub(crate) fn pieces(bytes: &[u8], step: u8) -> std::slice::Chunks<'_, u8> {
    bytes.chunks(usize::from(step).max(1))
}
