//! Event streams without ids whose application breaks off and comes back: it gets what it missed, or is told that there may be a gap.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderName, HeaderValue};
use http_body_util::BodyExt;
use mainstay::{Answer, Client, DeliveredBody, Plan, Source};
use mainstay_core::BreakKind;
use mainstay_record::{Recorder, RingCounts};
use peer::plan::plan;
use peer::told::request;
use peer::{Conversation, Peer};
use tokio::task::yield_now;
use tokio::time::{Duration, sleep};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nset-cookie: a=b\r\n\
                    connection: close\r\n\r\n";
const KEPT: &str = "heal.events = { ring = { keep = \"10s\", events = 5 }, dead_after = \"1h\" }";

fn event(number: u32) -> String {
    format!("data: number {number}\n\n")
}

/// An application, its peer, and what is between them.
struct Stage {
    peer: Peer,
    client: Client,
    plan: Plan,
    recorder: Arc<Recorder>,
}

impl Stage {
    async fn set(config: &str) -> Self {
        let peer = Peer::listen().await;
        let (plan, recorder) = plan(&[&peer], config);
        Self { peer, client: Client::new(1 << 20), plan, recorder }
    }

    async fn ask(&self, fields: &[(&'static str, &str)]) -> Answer {
        self.client.call(&self.plan, asking(fields), Source::Empty).await.unwrap()
    }

    /// A stream that the peer begins with these events.
    async fn begun(&self, events: &str) -> (Reader, Conversation) {
        self.begun_by(&[], events).await
    }

    async fn begun_by(
        &self,
        fields: &[(&'static str, &str)],
        events: &str,
    ) -> (Reader, Conversation) {
        let serving = async {
            let mut conversation = self.peer.accept().await;
            let head = conversation.head().await;
            assert!(!head.contains("last-event-id: ms-"), "{head}");
            conversation.say(&format!("{HEAD}{events}")).await;
            conversation
        };
        let (answer, conversation) = tokio::join!(self.ask(fields), serving);
        (Reader::of(answer), conversation)
    }

    fn counts(&self) -> RingCounts {
        self.client.ring_counts("api")
    }

    async fn until(&self, wanted: impl Fn(RingCounts) -> bool) {
        while !wanted(self.counts()) {
            yield_now().await;
        }
    }
}

fn asking(fields: &[(&'static str, &str)]) -> Parts {
    let mut head = request("GET");
    for (name, value) in fields {
        let value = HeaderValue::from_str(value).unwrap();
        head.headers.append(HeaderName::from_static(name), value);
    }
    head
}

/// What an application has read.
struct Reader {
    body: DeliveredBody,
    text: String,
}

impl Reader {
    fn of(answer: Answer) -> Self {
        assert_eq!(answer.response.status(), 200);
        assert_eq!(answer.response.headers()["content-type"], "text/event-stream");
        Self { body: answer.response.into_body(), text: String::new() }
    }

    /// Reads until so many events have come.
    async fn events(&mut self, count: usize) {
        while self.data().len() < count {
            assert_eq!(self.frame().await, Ok(true), "{}", self.text);
        }
        assert_eq!(self.data().len(), count, "{}", self.text);
    }

    /// Reads one frame; whether there was one, or what broke.
    async fn frame(&mut self) -> Result<bool, BreakKind> {
        match self.body.frame().await {
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap();
                self.text.push_str(std::str::from_utf8(&data).unwrap());
                Ok(true)
            }
            Some(Err(error)) => Err(error.what.kind),
            None => Ok(false),
        }
    }

    async fn read_all(&mut self) -> Result<(), BreakKind> {
        while self.frame().await? {}
        Ok(())
    }

    fn data(&self) -> Vec<&str> {
        self.text.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
    }

    fn last_id(&self) -> String {
        let mut ids = self.text.lines().filter_map(|line| line.strip_prefix("id: "));
        ids.next_back().unwrap().to_owned()
    }

    fn numbers(&self) -> Vec<u32> {
        let number = |data: &&str| data.strip_prefix("number ").and_then(|text| text.parse().ok());
        self.data().iter().filter_map(number).collect()
    }
}

#[tokio::test]
async fn an_application_that_comes_back_gets_what_it_missed_and_goes_on_by_the_same_call() {
    let stage = Stage::set(KEPT).await;
    let (mut first, mut upstream) = stage.begun(&event(1)).await;
    first.events(1).await;
    let id = first.last_id();
    assert!(id.starts_with("ms-") && id.ends_with("-1"), "{id}");
    drop(first);
    upstream.say(&(event(2) + &event(3))).await;
    stage.until(|counts| counts.bytes > 300).await;
    let answer = stage.ask(&[("last-event-id", &id)]).await;
    assert!(!answer.response.headers().contains_key("set-cookie"));
    let mut second = Reader::of(answer);
    second.events(2).await;
    upstream.say(&event(4)).await;
    second.events(3).await;
    drop(upstream);
    assert_eq!(second.read_all().await, Ok(()));
    assert_eq!(second.numbers(), [2, 3, 4]);
    let calls = stage.recorder.counts().calls;
    assert_eq!((calls.started, calls.broken), (1, 0), "both applications were of one call");
    let RingCounts { open, made, resumed, .. } = stage.counts();
    assert_eq!((open, made, resumed), (1, 1, 1));
}

#[tokio::test]
async fn whoever_comes_back_takes_the_place_of_its_dead_connection() {
    let stage = Stage::set(KEPT).await;
    let (mut first, mut upstream) = stage.begun(&event(1)).await;
    first.events(1).await;
    let mut second = Reader::of(stage.ask(&[("last-event-id", &first.last_id())]).await);
    upstream.say(&event(2)).await;
    second.events(1).await;
    assert_eq!(first.read_all().await, Err(BreakKind::ClientGone));
    drop(first);
    upstream.say(&event(3)).await;
    second.events(2).await;
    assert_eq!(second.numbers(), [2, 3]);
}

#[tokio::test]
async fn nobody_else_gets_the_stream_or_learns_of_it() {
    let stage = Stage::set(KEPT).await;
    let mine = ("authorization", "Bearer mine");
    let (mut first, mut upstream) = stage.begun_by(&[mine, ("cookie", "a=1")], &event(1)).await;
    first.events(1).await;
    let id = first.last_id();
    drop(first);
    let back = ("last-event-id", &*id);
    for other in [
        &[back][..],
        &[back, mine],
        &[back, mine, ("cookie", "a=2")],
        &[back, ("authorization", "Bearer other"), ("cookie", "a=1")],
        &[back, mine, ("cookie", "a=1"), ("cookie", "a=1")],
    ] {
        let (mut stranger, _upstream) = stage.begun_by(other, &event(9)).await;
        stranger.events(2).await;
        assert!(stranger.text.starts_with("event: error\nid: ms-"), "{}", stranger.text);
        assert!(stranger.text.contains("\"event-id-unknown\""), "{}", stranger.text);
        assert_eq!(stranger.numbers(), [9], "{other:?}");
    }
    let mut elsewhere = asking(&[back, mine, ("cookie", "a=1")]);
    elsewhere.uri = "/other".parse().unwrap();
    let serving = async {
        let mut conversation = stage.peer.accept().await;
        conversation.head().await;
        conversation.say(&format!("{HEAD}{}", event(9))).await;
        conversation
    };
    let calling = stage.client.call(&stage.plan, elsewhere, Source::Empty);
    let (answer, _conversation) = tokio::join!(calling, serving);
    let mut stranger = Reader::of(answer.unwrap());
    stranger.events(2).await;
    assert!(stranger.text.contains("\"event-id-unknown\""), "{}", stranger.text);
    // It is there for the one whose it is.
    let mut owner = Reader::of(stage.ask(&[back, mine, ("cookie", "a=1")]).await);
    upstream.say(&event(2)).await;
    owner.events(1).await;
    assert_eq!((owner.numbers(), stage.counts().unknown), (vec![2], 6));
}

#[tokio::test]
async fn whoever_is_told_of_a_gap_gets_a_stream_that_can_tell_it() {
    let stage = Stage::set(KEPT).await;
    let (mut first, _upstream) = stage.begun(&event(1)).await;
    first.events(1).await;
    let id = first.last_id();
    drop(first);
    let fields = [("last-event-id", &*id), ("cookie", "another=one"), ("accept-encoding", "gzip")];
    let serving = async {
        let mut conversation = stage.peer.accept().await;
        let head = conversation.head().await;
        assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
        assert!(!head.contains("gzip"), "{head}");
        conversation.say(&format!("{HEAD}{}", event(9))).await;
        conversation
    };
    let (answer, _conversation) = tokio::join!(stage.ask(&fields), serving);
    let mut stranger = Reader::of(answer);
    stranger.events(2).await;
    assert!(stranger.text.contains("\"event-id-unknown\""), "{}", stranger.text);
}

#[tokio::test]
async fn what_fell_out_is_told_by_an_event_before_a_fresh_stream() {
    let stage = Stage::set(KEPT).await;
    let (mut first, mut upstream) = stage.begun(&event(1)).await;
    first.events(1).await;
    let id = first.last_id();
    drop(first);
    // More than is kept: nobody can come back for it any more, so it isn't read on.
    upstream.say(&(2..=7).map(event).collect::<String>()).await;
    upstream.ended().await;
    assert_eq!(stage.recorder.counts().calls.records, 1);
    let (mut second, _fresh) = stage.begun_by(&[("last-event-id", &id)], &event(8)).await;
    second.events(2).await;
    assert!(second.text.contains("\"event-id-fallen-out\""), "{}", second.text);
    assert!(second.text.contains(&format!("\"last_event_id\":\"{id}\"")), "{}", second.text);
    assert_eq!((second.numbers(), stage.counts().fallen_out), (vec![8], 1));
}

#[tokio::test]
async fn the_id_of_a_gap_s_event_is_a_place_to_come_back_to() {
    let stage = Stage::set(KEPT).await;
    let lost = "ms-00000000000000aa-7";
    let (mut first, mut upstream) = stage.begun_by(&[("last-event-id", lost)], ": hello\n\n").await;
    first.frame().await.unwrap();
    let id = first.last_id();
    assert!(id.ends_with("-0"), "{id}");
    drop(first);
    upstream.say(&event(1)).await;
    let mut second = Reader::of(stage.ask(&[("last-event-id", &id)]).await);
    second.events(1).await;
    assert_eq!(second.numbers(), [1]);
}

// Time stands still while anything at all happens, and leaps when nothing does.
#[tokio::test(start_paused = true)]
async fn a_stream_for_which_nobody_comes_back_is_given_up_and_its_call_recorded() {
    let stage = Stage::set(KEPT).await;
    let (mut first, mut upstream) = stage.begun(&event(1)).await;
    first.events(1).await;
    drop(first);
    sleep(Duration::from_secs(9)).await;
    assert_eq!((stage.counts().open, stage.recorder.counts().calls.records), (1, 0));
    upstream.ended().await;
    stage.until(|counts| counts.open == 0).await;
    assert_eq!(stage.counts().bytes, 0);
    let endpoint = &stage.recorder.counts().upstreams[0].endpoints[0];
    assert_eq!(endpoint.body_failures["client-gone"], 1);
    let view = &stage.plan.service.upstream().view(mainstay::Clock::now())[0];
    assert_eq!(view.in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_stream_is_kept_as_it_was() {
    let stage = Stage::set(KEPT).await;
    let (mut first, mut upstream) = stage.begun(&event(1)).await;
    first.events(1).await;
    let id = first.last_id();
    drop(first);
    upstream.say(&(event(2) + "data: half")).await;
    upstream.reset();
    sleep(Duration::from_secs(5)).await;
    let mut second = Reader::of(stage.ask(&[("last-event-id", &id)]).await);
    assert_eq!(second.read_all().await, Err(BreakKind::BodyReset));
    assert!(
        second.text.contains("event: error") && !second.text.contains("half"),
        "{}",
        second.text
    );
    assert_eq!(second.numbers(), [2]);
    // It has all of it, so it is owed nothing, and gets a fresh one.
    let back = second.last_id();
    drop(second);
    let (mut third, _fresh) = stage.begun_by(&[("last-event-id", &back)], &event(3)).await;
    third.events(1).await;
    assert_eq!((third.numbers(), stage.counts().over), (vec![3], 1));
}

#[tokio::test]
async fn a_server_with_ids_of_its_own_is_asked_by_them_and_nothing_is_read_for_nobody() {
    let stage = Stage::set(KEPT).await;
    let (mut first, mut upstream) = stage.begun("id: 5\ndata: number 1\n\n").await;
    first.events(1).await;
    assert_eq!(first.last_id(), "5");
    drop(first);
    upstream.ended().await;
    stage.until(|counts| counts.open == 0).await;
    let serving = async {
        let mut conversation = stage.peer.accept().await;
        let head = conversation.head().await;
        assert!(head.contains("last-event-id: 5\r\n"), "{head}");
        conversation.say(&format!("{HEAD}id: 6\ndata: number 2\n\n")).await;
        conversation
    };
    let (answer, _conversation) = tokio::join!(stage.ask(&[("last-event-id", "5")]), serving);
    let mut second = Reader::of(answer);
    second.events(1).await;
    assert_eq!(second.numbers(), [2]);
}

#[tokio::test]
async fn there_are_no_more_of_them_than_may_be_and_what_isn_t_kept_promises_nothing() {
    let mut stage = Stage::set(KEPT).await;
    stage.client = stage.client.keeping_streams(1, 1 << 20);
    let (mut first, _upstream) = stage.begun(&event(1)).await;
    first.events(1).await;
    let (mut second, _other) = stage.begun(&event(1)).await;
    second.events(1).await;
    assert_eq!(second.text, event(1));
    let lost = "ms-00000000000000aa-7";
    let marked = format!("\u{feff}{}", event(2));
    let (mut third, _third) = stage.begun_by(&[("last-event-id", lost)], &marked).await;
    third.events(2).await;
    assert!(third.text.starts_with("event: error\ndata: {"), "{}", third.text);
    assert!(third.text.ends_with(&format!("\n\n{}", event(2))), "{}", third.text);
    let RingCounts { open, made, refused, .. } = stage.counts();
    assert_eq!((open, made, refused), (1, 1, 2));
}

#[tokio::test]
async fn memory_for_all_of_them_is_bounded_and_each_gives_its_own_oldest_up() {
    let mut stage = Stage::set(KEPT).await;
    stage.client = stage.client.keeping_streams(10, 250);
    let (mut first, mut upstream) = stage.begun(&event(1)).await;
    first.events(1).await;
    let id = first.last_id();
    drop(first);
    upstream.say(&(2..=4).map(event).collect::<String>()).await;
    upstream.say(&event(5)).await;
    stage.until(|counts| counts.bytes > 200).await;
    assert!(stage.counts().bytes <= 250);
    let (mut second, _fresh) = stage.begun_by(&[("last-event-id", &id)], &event(8)).await;
    second.events(2).await;
    assert!(second.text.contains("\"event-id-fallen-out\""), "{}", second.text);
}

#[tokio::test]
async fn when_the_process_ends_nobody_is_waited_for() {
    let stage = Stage::set(KEPT).await;
    let (mut gone, mut one) = stage.begun(&event(1)).await;
    let (mut here, mut other) = stage.begun(&event(1)).await;
    gone.events(1).await;
    here.events(1).await;
    drop(gone);
    stage.client.close_streams();
    one.ended().await;
    stage.until(|counts| counts.open == 1).await;
    other.say(&event(2)).await;
    here.events(2).await;
    drop(here);
    other.ended().await;
    stage.until(|counts| counts.open == 0).await;
}

#[tokio::test]
async fn other_answers_and_other_methods_aren_t_kept() {
    let stage = Stage::set(KEPT).await;
    for method in ["GET", "POST"] {
        let kind = if method == "GET" { "text/plain" } else { "text/event-stream" };
        let serving = async {
            let mut conversation = stage.peer.accept().await;
            conversation.head().await;
            conversation.say(&HEAD.replace("text/event-stream", kind)).await;
            conversation.say(&event(1)).await;
        };
        let calling = stage.client.call(&stage.plan, request(method), Source::Empty);
        let (answer, ()) = tokio::join!(calling, serving);
        let whole = answer.unwrap().response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(whole, event(1), "{method}");
    }
    assert_eq!(stage.counts(), RingCounts::default());
}
