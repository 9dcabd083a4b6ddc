//! Event streams, broken anywhere and continued against servers of every kind: the application reads exactly the events that the
//! server has, or it is told that this can't be had, and never reads anything else.
//!
//! The application is a plain reader of its own, written by the standard and sharing nothing with what is tested.

use std::sync::Arc;

use mainstay_core::Checked;
use mainstay_core::heal::events::{EventSettings, PartKind, Stream, StreamEnd, Unhealable};
use proptest::prelude::*;
use proptest::sample::Index;

/// What an application gets to see of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    event: String,
    data: String,
    last_id: String,
}

/// Reads a stream as WHATWG HTML, section 9.2.6 has it. Gives the events, and the lines that no empty one ends.
fn read(bytes: &[u8]) -> (Vec<Seen>, String) {
    let (seen, open, _) = read_with_id(bytes);
    (seen, open)
}

/// Reads a stream, and gives the last event id at the end of its last block too.
fn read_with_id(bytes: &[u8]) -> (Vec<Seen>, String, String) {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut seen, mut last_id, mut last_id_of_block) = (Vec::new(), String::new(), String::new());
    let (mut event, mut data) = (String::new(), String::new());
    let mut lines: Vec<&str> = text.split('\n').collect();
    let mut open = lines.pop().unwrap_or_default().to_string();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            _ if line.is_empty() => {
                if !data.is_empty() {
                    data.pop();
                    let data = std::mem::take(&mut data);
                    seen.push(Seen { event: event.clone(), data, last_id: last_id.clone() });
                }
                event.clear();
                open.clear();
                last_id_of_block.clone_from(&last_id);
                continue;
            }
            "data" => data.extend([value, "\n"]),
            "event" => event = value.to_string(),
            "id" if !value.contains('\0') => last_id = value.to_string(),
            _ => {}
        }
        open.push_str(line);
    }
    (seen, open, last_id_of_block)
}

/// A block of the server's.
#[derive(Clone, Debug)]
struct Written {
    bytes: Vec<u8>,
    id: Option<String>,
}

#[derive(Clone, Debug)]
struct Shape {
    has_id: bool,
    event: Option<&'static str>,
    data: Vec<&'static str>,
    comment: bool,
    retry: bool,
    end: &'static str,
}

/// Few different contents, so that many events look alike but for their ids.
fn shape(with_id: impl Strategy<Value = bool>) -> impl Strategy<Value = Shape> {
    let line = prop::sample::select(vec!["", "x", "ä€", " x: y", "🦀"]);
    let event = prop::sample::select(vec![None, None, Some("e")]);
    let end = prop::sample::select(vec!["\n", "\r\n", "\r"]);
    (with_id, event, prop::collection::vec(line, 0..3), any::<bool>(), any::<bool>(), end).prop_map(
        |(has_id, event, data, comment, retry, end)| Shape {
            has_id,
            event,
            data,
            comment,
            retry,
            end,
        },
    )
}

/// What makes a difference to a reader, in any order.
fn jumble() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "\n", "\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n", ":", ": ", " ", "data", "data:",
        "data: x", "id", "id: 1", "id:2", "id: \0", "event", "event: e", "retry: 5", "ä",
        "\u{feff}", "x",
    ];
    let word = prop::sample::select(words.to_vec());
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat().into_bytes())
}

/// How the server makes its ids.
#[derive(Clone, Copy, Debug)]
enum Ids {
    Rising,
    /// Unique, and in no order.
    Scattered,
}

impl Ids {
    fn id(self, number: usize) -> String {
        match self {
            Self::Rising => number.to_string(),
            // A permutation of the numbers below 1009, a prime.
            Self::Scattered => format!("id-{}", number * 577 % 1009),
        }
    }
}

/// The server's whole stream.
fn log(shapes: &[Shape], ids: Ids) -> Vec<Written> {
    let write = |(number, shape): (usize, &Shape)| {
        let id = shape.has_id.then(|| ids.id(number + 1));
        let mut lines: Vec<String> = Vec::new();
        lines.extend(shape.comment.then(|| String::from(": c")));
        lines.extend(shape.event.map(|event| format!("event:{event}")));
        lines.extend(id.as_ref().map(|id| format!("id: {id}")));
        lines.extend(shape.data.iter().map(|line| format!("data: {line}")));
        lines.extend(shape.retry.then(|| String::from("retry: 7")));
        lines.push(String::new());
        let bytes = lines.iter().flat_map(|line| [line, shape.end]).collect::<String>();
        Written { bytes: bytes.into_bytes(), id }
    };
    shapes.iter().enumerate().map(write).collect()
}

/// Where a server begins when it is asked for what comes after an id.
#[derive(Clone, Copy, Debug)]
enum Server {
    /// After the last block with it.
    Heeds,
    /// With the block that has it.
    Includes,
    /// So many blocks before it, as a buffer may have them.
    Goes(usize),
    /// At its beginning, always.
    Ignores,
}

impl Server {
    fn begin(self, log: &[Written], last_id: Option<&[u8]>) -> usize {
        let has_it = |block: &Written| {
            last_id.is_some() && block.id.as_ref().map(String::as_bytes) == last_id
        };
        let Some(place) = log.iter().position(has_it) else { return 0 };
        match self {
            Self::Heeds => place + 1,
            Self::Includes => place,
            Self::Goes(back) => place.saturating_sub(back),
            Self::Ignores => 0,
        }
    }
}

fn server() -> impl Strategy<Value = Server> {
    prop_oneof![
        Just(Server::Heeds),
        Just(Server::Includes),
        (0..40_usize).prop_map(Server::Goes),
        Just(Server::Ignores),
    ]
}

/// How the application's stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Whole,
    Failed(Unhealable),
    /// The server had no more, and it was still open what the last of it was.
    Undecided,
}

/// One connection: which server answers, with a mark or without, and where it breaks.
#[derive(Clone, Debug)]
struct Connection {
    server: Server,
    marked: bool,
    breaks_at: Index,
}

fn connection() -> impl Strategy<Value = Connection> {
    (server(), any::<bool>(), any::<Index>()).prop_map(|(server, marked, breaks_at)| Connection {
        server,
        marked,
        breaks_at,
    })
}

/// Runs a stream over its connections; the last one isn't broken. What the application got, and how it ended.
fn run(
    logs: impl Fn(usize) -> Vec<Written>,
    remembered: usize,
    connections: &[Connection],
    cuts: &[usize],
) -> (Vec<u8>, Outcome) {
    let settings = EventSettings { remembered, ..EventSettings::default() };
    let mut stream = Stream::new(Arc::new(Checked::new(settings).expect("within bounds")), None);
    let mut got = Vec::new();
    let mut cuts = cuts.iter().cycle();
    for (number, connection) in connections.iter().enumerate() {
        let last_id = match stream.resume() {
            Ok(resume) => resume.last_event_id,
            Err(reason) => return (got, Outcome::Failed(reason)),
        };
        if number > 0 {
            got.extend_from_slice(stream.heartbeat().expect("between two blocks"));
            stream.on_reconnected();
        }
        let log = logs(number);
        let begin = connection.server.begin(&log, last_id.as_deref());
        let mut bytes = if connection.marked { "\u{feff}".as_bytes().to_vec() } else { Vec::new() };
        log[begin..].iter().for_each(|block| bytes.extend_from_slice(&block.bytes));
        let is_last = number + 1 == connections.len();
        if !is_last {
            bytes.truncate(connection.breaks_at.index(bytes.len() + 1));
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let length = cuts.next().map_or(rest.len(), |cut| rest.len().min(*cut));
            let (piece, later) = rest.split_at(length);
            if let Err(reason) = take_all(&mut stream, piece, &mut got) {
                return (got, Outcome::Failed(reason));
            }
            rest = later;
        }
        if is_last {
            return match stream.on_end() {
                StreamEnd::Whole(last) => {
                    got.extend_from_slice(&last);
                    (got, Outcome::Whole)
                }
                StreamEnd::Broken | StreamEnd::Reconnect => (got, Outcome::Undecided),
            };
        }
    }
    (got, Outcome::Whole)
}

fn take_all(stream: &mut Stream, piece: &[u8], got: &mut Vec<u8>) -> Result<(), Unhealable> {
    let mut at = 0;
    while let Some(part) = stream.take(piece, &mut at)? {
        assert!(part.kind != PartKind::Fragment, "nothing here is too long");
        got.extend_from_slice(part.source.bytes(piece));
        assert_eq!(read(got).1, "", "whole blocks only");
    }
    assert_eq!(at, piece.len());
    Ok(())
}

fn all_of(log: &[Written]) -> Vec<Seen> {
    read(&log.iter().flat_map(|block| block.bytes.clone()).collect::<Vec<u8>>()).0
}

/// The events without the last ids, which stay behind where a block that sets one and nothing else was left out.
fn contents(seen: &[Seen]) -> Vec<(&str, &str)> {
    seen.iter().map(|seen| (seen.event.as_str(), seen.data.as_str())).collect()
}

fn settings() -> ProptestConfig {
    ProptestConfig { cases: 2000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn the_application_reads_each_event_once_or_is_told(
        shapes in prop::collection::vec(shape(prop::bool::weighted(0.7)), 0..40),
        ids in prop::sample::select(vec![Ids::Rising, Ids::Scattered]),
        remembered in prop::sample::select(vec![16_usize, 4096]),
        connections in prop::collection::vec(connection(), 1..5),
        cuts in prop::collection::vec(1..50_usize, 1..20),
    ) {
        let log = log(&shapes, ids);
        let (got, outcome) = run(|_| log.clone(), remembered, &connections, &cuts);
        let (seen, all) = (read(&got).0, all_of(&log));
        prop_assert!(contents(&all).starts_with(&contents(&seen)), "{outcome:?}");
        match outcome {
            Outcome::Whole => prop_assert_eq!(contents(&seen), contents(&all)),
            Outcome::Failed(Unhealable::NoIds) => {
                prop_assert!(seen.iter().all(|seen| seen.last_id.is_empty()));
            }
            Outcome::Failed(Unhealable::TooManyEvents | Unhealable::TooManySinceId) => {
                prop_assert!(remembered == 16 && seen.len() > 16);
            }
            // A last id that no event has; see `Replay`.
            Outcome::Failed(Unhealable::Ambiguous) => {
                prop_assert!(shapes.iter().any(|shape| shape.has_id && shape.data.is_empty()));
            }
            // All servers here are honest and their ids are unique: no other reason holds.
            Outcome::Failed(other) => prop_assert!(false, "{other:?}"),
            Outcome::Undecided => prop_assert!(shapes.iter().any(|shape| !shape.has_id)),
        }
    }

    #[test]
    fn where_each_event_has_an_id_every_break_is_healed(
        shapes in prop::collection::vec(shape(Just(true)), 0..30),
        ids in prop::sample::select(vec![Ids::Rising, Ids::Scattered]),
        connections in prop::collection::vec(connection(), 1..6),
        cuts in prop::collection::vec(1..50_usize, 1..20),
    ) {
        let shapes: Vec<Shape> =
            shapes.into_iter().filter(|shape| !shape.data.is_empty()).collect();
        let log = log(&shapes, ids);
        let (got, outcome) = run(|_| log.clone(), 4096, &connections, &cuts);
        prop_assert_eq!(outcome, Outcome::Whole);
        prop_assert_eq!(read(&got).0, all_of(&log));
    }

    #[test]
    fn a_server_that_has_forgotten_its_stream_and_counts_anew_is_noticed(
        shapes in prop::collection::vec(shape(Just(true)), 1..30),
        connections in prop::collection::vec(connection(), 2..4),
        cuts in prop::collection::vec(1..50_usize, 1..20),
    ) {
        let shapes: Vec<Shape> =
            shapes.into_iter().filter(|shape| !shape.data.is_empty()).collect();
        let logs = |number: usize| {
            let mut shapes = shapes.clone();
            if number > 0 {
                shapes.iter_mut().for_each(|shape| shape.event = Some("other"));
            }
            log(&shapes, Ids::Rising)
        };
        let connections: Vec<Connection> = connections
            .into_iter()
            .map(|connection| Connection { server: Server::Ignores, ..connection })
            .collect();
        let (got, outcome) = run(logs, 4096, &connections, &cuts);
        let seen = read(&got).0;
        if seen.first().is_some_and(|first| first.event != "other") {
            prop_assert!(contents(&all_of(&logs(0))).starts_with(&contents(&seen)));
            prop_assert_eq!(outcome, Outcome::Failed(Unhealable::IdReused));
        } else {
            let all = all_of(&logs(1));
            prop_assert_eq!(contents(&seen), contents(&all));
            prop_assert_eq!(outcome, Outcome::Whole);
        }
    }

    #[test]
    fn what_isn_t_broken_is_passed_on_to_the_byte_and_read_as_applications_do(
        bytes in jumble(),
        cuts in prop::collection::vec(1..20_usize, 1..20),
    ) {
        let settings = Checked::new(EventSettings::default()).expect("within bounds");
        let mut stream = Stream::new(Arc::new(settings), None);
        let (mut got, mut rest, mut cuts) = (Vec::new(), &bytes[..], cuts.iter().cycle());
        while !rest.is_empty() {
            let length = cuts.next().map_or(rest.len(), |cut| rest.len().min(*cut));
            let (piece, later) = rest.split_at(length);
            take_all(&mut stream, piece, &mut got).expect("no connection before");
            rest = later;
        }
        let (seen, open, last_id) = read_with_id(&bytes);
        prop_assert_eq!(stream.counts().delivered, seen.len() as u64);
        prop_assert_eq!(stream.last_event_id().unwrap_or_default(), last_id.as_bytes());
        prop_assert_eq!(&read(&got).0, &seen);
        match stream.on_end() {
            StreamEnd::Whole(last) => {
                got.extend_from_slice(&last);
                prop_assert_eq!(got, bytes);
            }
            end => {
                prop_assert_eq!(end, StreamEnd::Broken);
                prop_assert!(!open.is_empty() || !bytes.ends_with(b"\n"), "nothing was cut off");
            }
        }
    }
}
