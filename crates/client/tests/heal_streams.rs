//! Event streams from a peer that breaks off anywhere and, asked for what comes after an event, repeats, renumbers and changes what was:
//! the application's events are exactly the server's, or the call ends as visibly broken.
//!
//! Nobody can find out a server that leaves out what it hasn't sent yet, or repeats under ids that are new: these lies aren't among the
//! peer's.
//!
//! Each case follows from its seed; `MAINSTAY_HEAL_SEED=N` runs one.

mod peer;

use http_body_util::BodyExt;
use mainstay::{Client, DeliveredBody, Source};
use mainstay_core::Chance;
use peer::plan::plan;
use peer::told::request;
use peer::{Conversation, Peer};
use tokio::io::AsyncWriteExt;
use tokio::time::{Duration, timeout};

/// Which events have ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ids {
    All,
    Some,
    None,
}

/// What tells the end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The last chunk.
    Chunk,
    /// A last event, for the connection's end says nothing.
    Event,
}

/// How the peer answers what is asked for after an event, apart from breaking off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Heeds,
    FromStart,
    /// From a few events before.
    Overlaps,
    /// From the start, without one of those that it had sent. If some events have no ids, that can be told too late.
    LeavesOut,
    /// What is new has the ids of what was.
    Renumbers,
    /// From the start, with other data under the same ids.
    Changes,
    Busy,
    Missing,
    OtherType,
}

const MANNERS: [Manner; 9] = [
    Manner::Heeds,
    Manner::FromStart,
    Manner::Overlaps,
    Manner::LeavesOut,
    Manner::Renumbers,
    Manner::Changes,
    Manner::Busy,
    Manner::Missing,
    Manner::OtherType,
];

/// What a case is made of.
#[derive(Clone, Debug)]
struct Case {
    ids: Ids,
    end: End,
    /// How many answers in a hundred aren't as they should be.
    lies: u64,
    events: Vec<Event>,
}

/// An event as an application sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    id: Option<String>,
    kind: Option<String>,
    data: String,
}

impl Case {
    fn of(seed: u64) -> (Self, Chance) {
        let mut chance = Chance::from_seed(seed);
        let ids = [Ids::All, Ids::Some, Ids::None][chance.below(3) as usize];
        let end = if chance.below(2) == 0 { End::Chunk } else { End::Event };
        let lies = chance.below(3) * 20;
        let count = 1 + chance.below(40);
        let mut events: Vec<_> =
            (1..=count).map(|number| Event::of(number, ids, &mut chance)).collect();
        if end == End::Event {
            events[0].data = "{\"choices\":[]}".to_owned();
            events.push(Event { id: None, kind: None, data: "[DONE]".to_owned() });
        }
        (Self { ids, end, lies, events }, chance)
    }

    /// What is sent to whoever asks for what comes after this event.
    fn answered(&self, after: Option<&str>, manner: Manner, chance: &mut Chance) -> Vec<Event> {
        let next = after.map_or(0, |id| {
            let place = self.events.iter().position(|event| event.id.as_deref() == Some(id));
            1 + place.expect("an id that was sent")
        });
        match manner {
            Manner::FromStart => self.events.clone(),
            Manner::Overlaps => {
                let before = chance.below(1 + next as u64) as usize;
                self.events[next - before..].to_vec()
            }
            Manner::LeavesOut if next > 0 && self.ids == Ids::All => {
                let mut events = self.events.clone();
                events.remove(chance.below(next as u64) as usize);
                events
            }
            Manner::Renumbers => {
                let mut old = self.events.iter().filter_map(|event| event.id.clone());
                let mut events = self.events[next..].to_vec();
                let numbered = events.iter_mut().filter(|event| event.id.is_some());
                numbered.for_each(|event| event.id = old.next());
                events
            }
            Manner::Changes => {
                let mut events = self.events.clone();
                let numbered = events.iter_mut().filter(|event| event.id.is_some());
                numbered.for_each(|event| event.data.push('!'));
                events
            }
            Manner::Heeds
            | Manner::LeavesOut
            | Manner::Busy
            | Manner::Missing
            | Manner::OtherType => self.events[next..].to_vec(),
        }
    }
}

impl Event {
    fn of(number: u64, ids: Ids, chance: &mut Chance) -> Self {
        let has_id = ids == Ids::All || (ids == Ids::Some && chance.below(2) == 0);
        let kind = (chance.below(3) == 0).then(|| "tick".to_owned());
        // Those without an id may well look alike.
        let mut data = match has_id || chance.below(2) == 0 {
            true => format!("number {number}"),
            false => "nothing new".to_owned(),
        };
        if chance.below(4) == 0 {
            data.push_str("\nand ");
            data.push_str(&"more ".repeat(chance.below(60) as usize));
        }
        Self { id: has_id.then(|| number.to_string()), kind, data }
    }

    /// As a server writes it, in one of the ways that there are.
    fn write(&self, text: &mut String, chance: &mut Chance) {
        let line_end = ["\n", "\r\n", "\r"][chance.below(3) as usize];
        let mut line = |words: &str| {
            text.push_str(words);
            text.push_str(line_end);
        };
        if chance.below(8) == 0 {
            line(": a comment");
        }
        if chance.below(8) == 0 {
            line("retry: 1");
        }
        let id = self.id.as_ref().map(|id| format!("id: {id}"));
        let is_early = chance.below(2) == 0;
        if let Some(id) = id.as_ref().filter(|_| is_early) {
            line(id);
        }
        if let Some(kind) = &self.kind {
            line(&format!("event: {kind}"));
        }
        self.data.split('\n').for_each(|data| line(&format!("data: {data}")));
        if let Some(id) = id.as_ref().filter(|_| !is_early) {
            line(id);
        }
        line("");
    }

    /// Those in a text, as an application reads them; what no empty line follows is none.
    fn read(text: &str) -> Vec<Self> {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut events = Vec::new();
        let (mut id, mut kind, mut data) = (None, None, Vec::new());
        for line in text.split('\n') {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("", "") => {
                    let data = std::mem::take(&mut data);
                    let (id, kind) = (id.take(), kind.take());
                    if !data.is_empty() {
                        events.push(Self { id, kind, data: data.join("\n") });
                    }
                }
                ("id", value) => id = Some(value.to_owned()),
                ("event", value) => kind = Some(value.to_owned()),
                ("data", value) => data.push(value.to_owned()),
                _ => {}
            }
        }
        events
    }
}

/// Answers one request, and breaks off somewhere or not.
async fn answer(case: &Case, chance: &mut Chance, mut conversation: Conversation) {
    let Some(head) = conversation.next_head().await else { return };
    let after = head.lines().find_map(|line| line.strip_prefix("last-event-id: "));
    let lies = after.is_some() && chance.below(100) < case.lies;
    let manner = match lies {
        true => MANNERS[chance.below(MANNERS.len() as u64) as usize],
        false => Manner::Heeds,
    };
    let mut text = String::new();
    for event in case.answered(after, manner, chance) {
        event.write(&mut text, chance);
    }
    let (status, kind) = match manner {
        Manner::Busy => ("503 Service Unavailable", "text/event-stream"),
        Manner::Missing => ("404 Not Found", "text/event-stream"),
        Manner::OtherType => ("200 OK", "text/plain"),
        _ => ("200 OK", "text/event-stream; charset=utf-8"),
    };
    let framing = match case.end {
        End::Chunk => "transfer-encoding: chunked\r\n",
        End::Event => "",
    };
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{framing}connection: close\r\n\r\n");
    let mut wire = head.into_bytes();
    match case.end {
        End::Chunk => {
            let mut rest = text.as_bytes();
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(rest.len().min(1 + chance.below(90) as usize));
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
                rest = after;
            }
            wire.extend_from_slice(b"0\r\n\r\n");
        }
        End::Event => wire.extend_from_slice(text.as_bytes()),
    }
    // Anywhere: in the head, in an event, between two, in a chunk's head, at the last byte.
    let breaks = chance.below(4) > 0;
    let end = match chance.below(6) {
        _ if !breaks => wire.len(),
        0 => wire.len() - 1,
        _ => chance.below(wire.len() as u64) as usize,
    };
    // The other side may have left: what it made of that is what is looked at.
    let _ = conversation.stream.write_all(&wire[..end]).await;
    let _ = conversation.stream.flush().await;
    if breaks && chance.below(2) == 0 {
        conversation.reset();
    }
}

/// What came, and whether it ended in good order.
async fn read(mut body: DeliveredBody) -> (String, bool) {
    let mut all = Vec::new();
    let mut is_whole = true;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => all.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => {
                is_whole = false;
                break;
            }
        }
    }
    (String::from_utf8(all).expect("what was sent is text"), is_whole)
}

/// How a case ended.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    whole: u64,
    healed: u64,
    loud: u64,
}

async fn check(seed: u64) -> Told {
    let (case, mut chance) = Case::of(seed);
    let peer = Peer::listen().await;
    let end = if case.end == End::Event { "end = \"terminal\"" } else { "end = \"as-it-is\"" };
    let config = format!(
        "heal = {{ resume_within = \"2s\", events = {{ {end} }} }}\n\
         retry = {{ max_attempts = 10, backoff = {{ base = \"1ms\", cap = \"5ms\" }} }}\n\
         budget = {{ initial = 500, floor = 1000 }}\nbreaker = {{ mode = \"off\" }}"
    );
    let (plan, recorder) = plan(&[&peer], &config);
    let client = Client::new(1 << 20);
    let calling = async {
        match client.call(&plan, request("GET"), Source::Empty).await {
            Ok(answer) if answer.response.status() != 200 => None,
            Ok(answer) => Some(read(answer.response.into_body()).await),
            Err(_) => None,
        }
    };
    let serving = async {
        loop {
            let conversation = peer.accept().await;
            answer(&case, &mut chance, conversation).await;
        }
    };
    let told = timeout(Duration::from_secs(20), async {
        tokio::select! { told = calling => told, () = serving => None }
    });
    let told = told.await.unwrap_or_else(|_| panic!("seed {seed}, {case:?} never ended"));
    let Some((mut text, is_whole)) = told else { return Told { loud: 1, ..Told::default() } };
    if is_whole && case.end == End::Event {
        // The last event needs no empty line: all was said.
        text.push_str("\n\n");
    }
    let mut events = Event::read(&text);
    if !is_whole {
        let last = events.pop_if(|event| event.kind.as_deref() == Some("error"));
        assert!(last.is_some(), "seed {seed}, {case:?}: it broke without a word: {text}");
    }
    assert!(case.events.starts_with(&events), "seed {seed}, {case:?}: other events: {text}");
    assert!(!is_whole || events == case.events, "seed {seed}, {case:?}: {} as whole", events.len());
    let healed = recorder.counts().calls.healed;
    Told { whole: u64::from(is_whole), healed, loud: u64::from(!is_whole) }
}

#[tokio::test]
async fn the_events_are_those_of_the_server_or_the_call_ends_loudly() {
    if let Ok(seed) = std::env::var("MAINSTAY_HEAL_SEED") {
        check(seed.parse().expect("a number")).await;
        return;
    }
    let mut all = Told::default();
    for seed in 0..CASES {
        let told = check(seed).await;
        all.whole += told.whole;
        all.healed += told.healed;
        all.loud += told.loud;
    }
    // All are met, or nothing was tested.
    assert!(all.whole > CASES / 3 && all.healed > CASES / 4 && all.loud > CASES / 10, "{all:?}");
}

/// Some seconds' worth.
const CASES: u64 = 1_000;
