//! Calls of anything: the program makes the attempts, core decides which.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use mainstay::{
    AttemptOutcome, AttemptReason, BreakKind, CallError, Certainty, Failure, Mainstay, StopReason,
    Upstream, UpstreamBuilder,
};

/// How a test's attempts fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Refused,
    Lost,
    Duplicate,
    Busy,
}

fn read(error: &Wrong) -> Failure {
    match error {
        Wrong::Refused => Failure::not_sent(BreakKind::ConnectRefused),
        Wrong::Lost => Failure::unknown(),
        Wrong::Duplicate => Failure::answer(),
        Wrong::Busy => Failure::throttled(Some(Duration::from_millis(1))),
    }
}

/// An upstream of two endpoints, the second of which is asked when the first doesn't do.
fn db(settings: &[(&str, &str)]) -> (Mainstay, Upstream) {
    let db = UpstreamBuilder::new("db")
        .endpoint_in_tier("127.0.0.1:1", 0)
        .endpoint_in_tier("127.0.0.1:2", 1)
        .set("retry.backoff.base", "1ms")
        .set("health", false);
    let db = settings.iter().fold(db, |db, (key, value)| db.set(key, *value));
    let client = Mainstay::builder().upstream(db).build().unwrap();
    let db = client.upstream("db").unwrap();
    (client, db)
}

/// What the first endpoint fails with is either followed by the second's answer or it isn't.
async fn check(wrong: Wrong, idempotent: bool) -> Result<u16, CallError<Wrong>> {
    let (_client, db) = db(&[]);
    let call = db.call(|endpoint, _| async move {
        if endpoint.port() == 1 { Err(wrong) } else { Ok(endpoint.port()) }
    });
    let call = call.classify(read).label("insert");
    if idempotent { call.idempotent().send().await } else { call.send().await }
}

#[tokio::test]
async fn what_was_not_sent_goes_elsewhere_whatever_it_is() {
    assert_eq!(check(Wrong::Refused, false).await.unwrap(), 2);
}

#[tokio::test]
async fn what_may_have_been_done_goes_again_only_where_that_is_said_to_be_safe() {
    assert_eq!(check(Wrong::Lost, true).await.unwrap(), 2);
    let error = check(Wrong::Lost, false).await.unwrap_err();
    assert_eq!(error.certainty(), Certainty::MaybeProcessed);
    assert_eq!(error.stop_reason(), Some(StopReason::OutcomeUnknown));
    assert_eq!((error.break_code(), error.attempts().len()), (Some("reset-before-head"), 1));
    assert_eq!(error.into_inner(), Some(Wrong::Lost));
}

#[tokio::test]
async fn an_error_that_is_an_answer_goes_to_the_caller_and_counts_as_well_done() {
    let error = check(Wrong::Duplicate, true).await.unwrap_err();
    assert!(error.is_answer() && error.certainty() == Certainty::Processed);
    assert_eq!(error.attempts().len(), 1);
    assert_eq!(error.attempts()[0].outcome, AttemptOutcome::Answered(None));
    assert_eq!(error.inner(), Some(&Wrong::Duplicate));
}

#[tokio::test]
async fn without_a_classifier_nothing_is_known_of_an_error() {
    let (_client, db) = db(&[]);
    let call = db.call(|_, _| async { Err::<(), _>(Wrong::Refused) });
    let error = call.send().await.unwrap_err();
    assert_eq!((error.certainty(), error.attempts().len()), (Certainty::MaybeProcessed, 1));
}

#[tokio::test]
async fn the_budget_bounds_the_attempts_of_all_calls() {
    let (client, db) = db(&[]);
    let made = Arc::new(AtomicUsize::new(0));
    for _ in 0..200 {
        let call = db.call(|_, _| {
            made.fetch_add(1, Ordering::Relaxed);
            async { Err::<(), _>(Wrong::Lost) }
        });
        call.classify(read).idempotent().send().await.unwrap_err();
    }
    let made = made.load(Ordering::Relaxed);
    assert!(made < 300, "{made} attempts of 200 calls");
    let counts = client.counts();
    assert_eq!(counts.upstreams[0].calls.started, 200);
    let opened: u64 =
        counts.upstreams[0].endpoints.iter().map(|it| it.breaker_opens.values().sum::<u64>()).sum();
    assert!(opened > 0, "and breakers opened");
}

#[tokio::test]
async fn an_attempt_that_hangs_is_hedged_and_its_future_dropped() {
    let (_client, db) = db(&[("hedge.after", "5ms")]);
    let out = Arc::new(());
    let held = Arc::clone(&out);
    let call = db.call(move |endpoint, attempt| {
        let held = Arc::clone(&held);
        async move {
            let _held = held;
            if endpoint.index() == 0 {
                pending::<()>().await;
            }
            Ok::<_, Wrong>((endpoint.name().to_owned(), attempt.number))
        }
    });
    let answer = call.idempotent().send().await.unwrap();
    assert_eq!(answer, ("127.0.0.1:2".to_owned(), 2));
    assert_eq!(Arc::strong_count(&out), 1, "no attempt's future is left");
}

#[tokio::test]
async fn an_attempts_timeout_drops_it_and_another_follows() {
    let (_client, db) = db(&[("attempt_timeout", "10ms")]);
    let call = db.call(|endpoint, attempt| async move {
        assert!(attempt.time_left <= Duration::from_millis(10));
        if endpoint.index() == 0 {
            pending::<()>().await;
        }
        Err::<(), _>(Wrong::Busy)
    });
    let error = call.classify(read).idempotent().timeout(Duration::from_secs(20)).send().await;
    let error = error.unwrap_err();
    let told: Vec<_> = error.attempts().iter().map(|it| (it.reason, it.code())).collect();
    assert_eq!(told[0], (AttemptReason::First, Some("response-timeout")));
    assert_eq!(told[1], (AttemptReason::Failover, Some("throttled")));
}

/// Polls a call so often, each time when it is woken, and leaves at the next; or runs it to its end, and says so.
async fn leaves_after(db: &Upstream, polls: usize) -> bool {
    let call = db.call(|endpoint, _| async move {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        if endpoint.index() == 0 {
            pending::<()>().await;
        }
        Ok::<_, Wrong>(())
    });
    let mut call = pin!(call.idempotent().send());
    let mut polled = 0;
    poll_fn(|cx| {
        if polled == polls {
            return Poll::Ready(false);
        }
        polled += 1;
        call.as_mut().poll(cx).map(|ended| ended.is_ok())
    })
    .await
}

#[tokio::test]
async fn a_call_that_leaves_at_any_poll_leaves_nothing_behind() {
    let means = UpstreamBuilder::new("db")
        .endpoint_in_tier("127.0.0.1:1", 0)
        .endpoint_in_tier("127.0.0.1:2", 1)
        .set("health", false)
        .hedge_after(Duration::from_millis(1))
        .set("budget.initial", 500)
        .set("budget.cost", 1)
        .set("budget.floor", 1000);
    let client = Mainstay::builder().upstream(means).build().unwrap();
    let db = client.upstream("db").unwrap();
    let mut ended = 0;
    for polls in 0..20 {
        ended += usize::from(leaves_after(&db, polls).await);
        assert_eq!(db.in_flight(), 0, "after {polls} polls");
    }
    assert!(ended > 0, "the longest ones got their answers");
    let calls = &client.counts().upstreams[0].calls;
    assert_eq!(
        (calls.started, calls.records),
        (19, 19),
        "each was counted but the first, and ended"
    );
}
