//! The dispatcher, before an API that is played.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod stage;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mainstay_core::breaks::{BreakKind, Certainty};
use mainstay_core::outbox::{AnswerBody, CallEnd, Next, ScheduleSettings, WallTime};
use mainstay_outbox::{
    Deliver, Delivered, Dispatcher, Dispatching, NewDelivery, Offer, Store, StoreError,
};
use parking_lot::Mutex;
use stage::{Stage, new, with_each_kind};
use tokio::sync::{mpsc, watch};

/// Answers as it was told to, and then with 200.
struct Api {
    ends: Mutex<Vec<CallEnd>>,
    calls: mpsc::UnboundedSender<(Vec<u8>, WallTime)>,
}

const OK: CallEnd = answered(200, None);

const fn answered(status: u16, hint: Option<Duration>) -> CallEnd {
    CallEnd::Answered { status, hint, maybe_done: false, body: AnswerBody::Whole }
}

fn now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    WallTime(since.as_millis() as u64)
}

impl Deliver for Api {
    async fn deliver(&self, offer: &Offer) -> Option<Delivered> {
        self.calls.send((offer.body.to_vec(), now())).unwrap();
        let end = self.ends.lock().pop().unwrap_or(OK);
        let schedule = ScheduleSettings::default();
        Some(Delivered { end, note: None, answer: None, schedule, seed: 1 })
    }

    fn most_in_flight(&self, _: &str) -> u16 {
        8
    }

    fn became(&self, _: &Offer, _: Next) {}

    fn trouble(&self, error: &StoreError) {
        panic!("{error}");
    }
}

with_each_kind! {
    a_destination_that_is_held_is_asked_again_when_the_hold_is_over,
    a_hold_outlives_the_last_delivery,
    a_lanes_deliveries_arrive_in_order_and_all_of_them,
}

struct Running {
    store: Store,
    calls: mpsc::UnboundedReceiver<(Vec<u8>, WallTime)>,
    orders: watch::Sender<Dispatching>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(stage: &Stage, ends: &[CallEnd]) -> Self {
        let store = stage.open();
        let (sender, calls) = mpsc::unbounded_channel();
        let ends = Mutex::new(ends.iter().rev().copied().collect());
        let api = Arc::new(Api { ends, calls: sender });
        let (orders, heard) = watch::channel(Dispatching::Goes);
        let task = tokio::spawn(Dispatcher::new(store.clone(), api).run(heard));
        Self { store, calls, orders, task }
    }

    async fn accept(&self, body: &str) {
        self.store.accept(due(body)).await.unwrap();
    }

    /// The next call. Far sooner than the look that the dispatcher has anyway.
    async fn call(&mut self) -> (Vec<u8>, WallTime) {
        tokio::time::timeout(Duration::from_secs(15), self.calls.recv()).await.unwrap().unwrap()
    }

    async fn drain(self) {
        self.orders.send(Dispatching::Drains).unwrap();
        self.task.await.unwrap();
        assert_eq!(self.store.check().await.unwrap(), []);
    }
}

fn due(body: &str) -> NewDelivery {
    let now = now();
    let expires_at = now.after(Duration::from_secs(3600));
    NewDelivery { accepted_at: now, due_at: now, expires_at, ..new("api", Some("a"), body) }
}

async fn a_destination_that_is_held_is_asked_again_when_the_hold_is_over(stage: Stage) {
    let hint = Some(Duration::from_millis(200));
    let held =
        CallEnd::Broken { kind: BreakKind::BreakerOpen, certainty: Certainty::NotSent, hint };
    let mut running = Running::start(&stage, &[held]);
    running.accept("1").await;
    let (_, first) = running.call().await;
    let (body, second) = running.call().await;
    assert_eq!(body, b"1");
    let waited = second.since(first);
    assert!(waited >= Duration::from_millis(200) && waited < Duration::from_secs(10), "{waited:?}");
    running.drain().await;
}

async fn a_hold_outlives_the_last_delivery(stage: Stage) {
    let hint = Some(Duration::from_millis(400));
    let mut running = Running::start(&stage, &[answered(429, hint)]);
    running.accept("1").await;
    let (_, first) = running.call().await;
    // It is given up while it waits, so that nothing waits there any more.
    while running.store.drop_those(mainstay_outbox::Filter::default(), now()).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    running.accept("2").await;
    let (body, second) = running.call().await;
    assert_eq!(body, b"2");
    assert!(second.since(first) >= Duration::from_millis(400));
    running.drain().await;
}

async fn a_lanes_deliveries_arrive_in_order_and_all_of_them(stage: Stage) {
    let mut running = Running::start(&stage, &[]);
    for number in 0..50 {
        running.accept(&number.to_string()).await;
    }
    for number in 0..50 {
        assert_eq!(running.call().await.0, number.to_string().into_bytes());
    }
    running.drain().await;
}
