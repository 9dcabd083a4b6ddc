//! Two attempts at once: the answer of each is held back, so that one that breaks early leaves the call to the other.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::sync::Arc;

use http_body_util::BodyExt;
use mainstay::{Client, Source};
use mainstay_core::BreakKind;
use mainstay_record::Recorder;
use peer::plan::plan;
use peer::told::{attempts, request, steps};
use peer::{Conversation, Peer};
use tokio::time::{Duration, Instant, sleep};

/// The hedge is made after a moment, and nothing else in so short a time.
const HEDGED: &str = "hedge.after = \"20ms\"\nbudget = { initial = 500, floor = 1000 }\n\
    heal.hold_for = \"1s\"\nretry = { max_attempts = 3, backoff = { base = \"1ms\", cap = \"2ms\" } }";
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\n";

/// What the application got: the attempts, its body or what broke it, and how long it took to the head.
struct Got {
    attempts: u16,
    body: Result<String, BreakKind>,
    took: Duration,
}

/// Makes one call whose first attempt goes to the first peer and its hedge to the second, which play their parts.
async fn called<F: Future<Output = ()>>(
    story: impl FnOnce(Peer, Peer) -> F,
) -> (Got, Arc<Recorder>) {
    called_under("", story).await
}

/// The same with more lines of config.
async fn called_under<F: Future<Output = ()>>(
    config: &str,
    story: impl FnOnce(Peer, Peer) -> F,
) -> (Got, Arc<Recorder>) {
    let (first, second) = (Peer::listen().await, Peer::listen().await);
    let (plan, recorder) = plan(&[&first, &second], &format!("{HEDGED}\n{config}"));
    let client = Client::new(1 << 20);
    let calling = async {
        let begun = Instant::now();
        let answer = client.call(&plan, request("GET"), Source::Empty).await.unwrap();
        let (attempts, took) = (answer.attempts, begun.elapsed());
        let whole = answer.response.into_body().collect().await.map_err(|error| error.what.kind);
        let body = whole.map(|whole| String::from_utf8(whole.to_bytes().into()).unwrap());
        Got { attempts, body, took }
    };
    let (got, ()) = tokio::join!(calling, story(first, second));
    (got, recorder)
}

async fn next(peer: &Peer) -> Conversation {
    let mut conversation = peer.accept().await;
    conversation.head().await;
    conversation
}

// Time stands still while anything at all happens, and leaps when nothing does.
#[tokio::test(start_paused = true)]
async fn a_hedge_whose_answer_breaks_early_leaves_the_call_to_the_first_attempt() {
    let (got, recorder) = called(async |first: Peer, second: Peer| {
        let mut slow = next(&first).await;
        let mut hedge = next(&second).await;
        hedge.say(HEAD).await;
        hedge.say("01").await;
        sleep(Duration::from_millis(50)).await;
        hedge.reset();
        sleep(Duration::from_millis(50)).await;
        slow.say(&format!("{HEAD}0123456789")).await;
    })
    .await;
    assert_eq!((got.attempts, got.body), (2, Ok("0123456789".into())));
    let attempts = attempts(&recorder);
    let hedge = attempts.iter().find(|attempt| attempt.reason == "hedge").unwrap();
    assert_eq!(hedge.code.as_deref(), Some("body-reset"));
    assert_eq!(steps(hedge), "connect done, send done, first-byte done, body broke body-reset");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_whose_answer_is_silent_is_delivered_when_the_hold_is_over() {
    let (got, recorder) = called(async |first: Peer, second: Peer| {
        let mut slow = next(&first).await;
        let mut hedge = next(&second).await;
        hedge.say(HEAD).await;
        slow.ended().await;
        hedge.say("0123456789").await;
    })
    .await;
    assert_eq!((got.attempts, got.body), (2, Ok("0123456789".into())));
    assert!((1020..1500).contains(&got.took.as_millis()), "{:?}", got.took);
    assert_eq!(recorder.counts().calls.saved_by_hedge, 1);
}

#[tokio::test(start_paused = true)]
async fn a_first_attempt_that_is_faster_to_its_body_wins_over_a_hedge_that_has_but_a_head() {
    let (got, _) = called(async |first: Peer, second: Peer| {
        let mut slow = next(&first).await;
        let mut hedge = next(&second).await;
        hedge.say(HEAD).await;
        sleep(Duration::from_millis(50)).await;
        slow.say(&format!("{HEAD}first wins")).await;
        hedge.ended().await;
    })
    .await;
    assert_eq!((got.attempts, got.body), (2, Ok("first wins".into())));
    assert!(got.took < Duration::from_millis(500), "{:?}", got.took);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_is_held_goes_on_alone_when_the_first_attempt_breaks() {
    let (got, recorder) = called(async |first: Peer, second: Peer| {
        let slow = next(&first).await;
        let mut hedge = next(&second).await;
        hedge.say(HEAD).await;
        sleep(Duration::from_millis(50)).await;
        slow.reset();
        sleep(Duration::from_millis(50)).await;
        hedge.say("0123456789").await;
    })
    .await;
    assert_eq!((got.attempts, got.body), (2, Ok("0123456789".into())));
    assert!(got.took < Duration::from_millis(500), "{:?}", got.took);
    assert_eq!(attempts(&recorder)[0].code.as_deref(), Some("reset-before-head"));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_is_alone_and_silent_is_delivered_when_the_hold_is_over() {
    let (got, _) = called(async |first: Peer, second: Peer| {
        let slow = next(&first).await;
        let mut hedge = next(&second).await;
        hedge.say(HEAD).await;
        sleep(Duration::from_millis(50)).await;
        slow.reset();
        sleep(Duration::from_secs(2)).await;
        hedge.say("0123456789").await;
    })
    .await;
    assert_eq!((got.attempts, got.body), (2, Ok("0123456789".into())));
    assert!((1020..1500).contains(&got.took.as_millis()), "{:?}", got.took);
}

#[tokio::test(start_paused = true)]
async fn when_both_answers_break_early_it_is_tried_again() {
    let (got, recorder) = called(async |first: Peer, second: Peer| {
        let mut slow = next(&first).await;
        let mut hedge = next(&second).await;
        slow.say(HEAD).await;
        hedge.say(HEAD).await;
        sleep(Duration::from_millis(50)).await;
        hedge.reset();
        sleep(Duration::from_millis(50)).await;
        slow.reset();
        next(&first).await.say(&format!("{HEAD}0123456789")).await;
    })
    .await;
    assert_eq!((got.attempts, got.body), (3, Ok("0123456789".into())));
    assert_eq!(recorder.counts().calls.saved_by_retry, 1);
}

/// The call's deadline comes before the hold is over, for both attempts at the same time.
const SOON_OVER: &str = "total_timeout = \"500ms\"\nattempt_timeout = \"500ms\"";

#[tokio::test(start_paused = true)]
async fn a_first_answer_that_is_held_up_to_the_deadline_is_delivered_and_the_hedge_ended() {
    let (got, _) = called_under(SOON_OVER, async |first: Peer, second: Peer| {
        let mut slow = next(&first).await;
        let mut hedge = next(&second).await;
        slow.say(HEAD).await;
        hedge.ended().await;
        slow.say("0123456789").await;
    })
    .await;
    assert_eq!((got.attempts, got.body), (2, Ok("0123456789".into())));
    assert!((500..600).contains(&got.took.as_millis()), "{:?}", got.took);
}

#[tokio::test(start_paused = true)]
async fn of_two_answers_that_are_held_up_to_the_deadline_the_first_is_delivered() {
    let (got, _) = called_under(SOON_OVER, async |first: Peer, second: Peer| {
        let mut slow = next(&first).await;
        let mut hedge = next(&second).await;
        slow.say(HEAD).await;
        hedge.say(HEAD).await;
        hedge.ended().await;
        slow.say("0123456789").await;
    })
    .await;
    assert_eq!((got.attempts, got.body), (2, Ok("0123456789".into())));
    assert!((500..600).contains(&got.took.as_millis()), "{:?}", got.took);
}
