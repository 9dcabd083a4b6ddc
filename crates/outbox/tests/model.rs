//! Random steps against a plain list: nothing is lost, nothing is offered twice at a time, lanes keep their order, and what is counted is
//! what there is.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod stage;

use std::time::Duration;

use mainstay_core::outbox::{Assurance, DeadReason, Next, StoppedReason, WallTime};
use mainstay_outbox::store::{Accepted, Full, Keep};
use mainstay_outbox::{
    DeliveryId, Filter, Finish, Limits, NewDelivery, Offer, Page, State, Store, StoreError,
};
use proptest::prelude::*;
use stage::{NOW, Stage, finish, new};

#[derive(Clone, Debug)]
enum Step {
    Accept { to: u8, lane: Option<u8>, once: bool, later_ms: u64, scope: Option<(u8, u8)> },
    Claim { to: u8, most: usize },
    Finish { which: prop::sample::Index, end: End, maybe_done: bool },
    Retry { whom: Whom, per_second: Option<u32> },
    Drop(Whom),
    Settle(Whom),
    Tend,
    Wait(u64),
    Reopen,
    Crash,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Delivered,
    Again { later_ms: u64, counts: bool },
    Stopped(usize),
    Dead(usize),
}

#[derive(Clone, Debug)]
enum Whom {
    All,
    One(prop::sample::Index),
    Lane(u8),
    State(usize),
}

fn whom() -> impl Strategy<Value = Whom> {
    prop_oneof![
        1 => Just(Whom::All),
        6 => any::<prop::sample::Index>().prop_map(Whom::One),
        2 => (0..3_u8).prop_map(Whom::Lane),
        2 => (0..4_usize).prop_map(Whom::State),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let later = prop_oneof![3 => Just(0), 1 => 1..3000_u64];
    let end = prop_oneof![
        4 => Just(End::Delivered),
        4 => (0..3000_u64, any::<bool>()).prop_map(|(later_ms, counts)| End::Again { later_ms, counts }),
        2 => (0..3_usize).prop_map(End::Stopped),
        2 => (0..4_usize).prop_map(End::Dead),
    ];
    let lane = prop_oneof![1 => Just(None), 3 => (0..3_u8).prop_map(Some)];
    let scope = prop_oneof![4 => Just(None), 1 => (0..6_u8, 0..2_u8).prop_map(Some)];
    prop_oneof![
        12 => (0..2_u8, lane, any::<bool>(), later, scope).prop_map(|(to, lane, once, later_ms, scope)| {
            Step::Accept { to, lane, once, later_ms, scope }
        }),
        10 => (0..2_u8, 1..4_usize).prop_map(|(to, most)| Step::Claim { to, most }),
        12 => (any::<prop::sample::Index>(), end, any::<bool>())
            .prop_map(|(which, end, maybe_done)| Step::Finish { which, end, maybe_done }),
        3 => (whom(), prop::option::of(1..50_u32))
            .prop_map(|(whom, per_second)| Step::Retry { whom, per_second }),
        3 => whom().prop_map(Step::Drop),
        2 => whom().prop_map(Step::Settle),
        2 => Just(Step::Tend),
        5 => (1..4000_u64).prop_map(Step::Wait),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

/// What is known of a delivery without any store.
#[derive(Clone, Debug)]
struct Entry {
    seq: i64,
    new: NewDelivery,
    state: State,
    due_at: WallTime,
    finished_at: Option<WallTime>,
    calls: u16,
    maybe_done: bool,
    underway: bool,
}

impl Entry {
    fn lane(&self) -> Option<(String, String)> {
        self.new.lane.clone().map(|lane| (self.new.upstream.clone(), lane))
    }
}

/// The reference: a list in the order of places, and what is on its way.
struct Model {
    entries: Vec<Entry>,
    offers: Vec<Offer>,
    /// With the lanes that they had.
    claimed: Vec<(DeliveryId, Option<(String, String)>)>,
    now: WallTime,
    accepted: u32,
    places: i64,
}

const LIMITS: Limits = Limits { items: 24, bytes: 10_000, lane_items: 5, reserve_bytes: 0 };
const KEEP: Keep = Keep { delivered: Duration::from_secs(3), dead: Duration::from_secs(6) };

impl Model {
    /// No place is ever taken again.
    fn next_seq(&mut self) -> i64 {
        self.places += 1;
        self.places
    }

    fn find(&mut self, id: DeliveryId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.new.id == id)
    }

    fn is_first(&self, entry: &Entry) -> bool {
        let Some(lane) = entry.lane() else { return true };
        let mut open = self.entries.iter().filter(|other| other.state.is_open());
        open.find(|other| other.lane() == Some(lane.clone())).map(|first| first.seq)
            == Some(entry.seq)
    }

    /// Whose turn it is or will be, in the order in which they are offered.
    fn turns(&self, to: &str) -> Vec<&Entry> {
        let is_out = |entry: &Entry| {
            let lane = entry.lane();
            self.claimed
                .iter()
                .any(|(id, out)| *id == entry.new.id || (lane.is_some() && *out == lane))
        };
        let mut turns: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| entry.new.upstream == to && entry.state == State::Waiting)
            .filter(|entry| self.is_first(entry) && !is_out(entry))
            .collect();
        turns.sort_by_key(|entry| (entry.due_at, entry.seq));
        turns
    }

    fn full(&self, new: &NewDelivery) -> Option<Full> {
        let kept = || self.entries.iter().filter(|entry| entry.state != State::Delivered);
        let size = |new: &NewDelivery| (new.head.to_json().len() + new.body.len()) as u64;
        if kept().count() as u64 >= LIMITS.items {
            return Some(Full::Items);
        }
        if kept().map(|entry| size(&entry.new)).sum::<u64>() + size(new) > LIMITS.bytes {
            return Some(Full::Bytes);
        }
        let same = kept()
            .filter(|entry| entry.state.is_open() && entry.new.upstream == new.upstream)
            .filter(|entry| new.lane.is_some() && entry.new.lane == new.lane);
        (same.count() as u64 >= LIMITS.lane_items).then_some(Full::Lane)
    }

    fn filter(&self, whom: &Whom) -> Filter {
        match whom {
            Whom::All => Filter::default(),
            Whom::One(which) => {
                let ids: Vec<_> = self.entries.iter().map(|entry| entry.new.id).collect();
                // Of none at all: somebody who isn't there.
                let none = DeliveryId::of_bytes([0; 16]);
                let id = if ids.is_empty() { none } else { *which.get(&ids) };
                Filter { ids: vec![id], ..Filter::default() }
            }
            Whom::Lane(lane) => Filter { lane: Some(lane.to_string()), ..Filter::default() },
            Whom::State(state) => {
                Filter { states: vec![State::NAMES[*state]], ..Filter::default() }
            }
        }
    }

    /// Those of `filter` for which `is_meant`, in their order.
    fn chosen(&self, filter: &Filter, is_meant: impl Fn(State) -> bool) -> Vec<DeliveryId> {
        let fits = |entry: &&Entry| {
            (filter.ids.is_empty() || filter.ids.contains(&entry.new.id))
                && (filter.states.is_empty() || filter.states.contains(&entry.state.name()))
                && (filter.lane.is_none() || filter.lane == entry.new.lane)
                && is_meant(entry.state)
        };
        self.entries.iter().filter(fits).map(|entry| entry.new.id).collect()
    }

    fn close(&mut self, id: DeliveryId, state: State) {
        let now = self.now;
        let entry = self.find(id).unwrap();
        (entry.state, entry.finished_at) = (state, Some(now));
    }

    /// The process is another one. What may be done twice and was on its way isn't known to have been where that is noted nowhere.
    fn restarted(&mut self, leases_are_noted: bool) {
        self.offers.clear();
        let claimed = std::mem::take(&mut self.claimed);
        let is_claimed = |entry: &Entry| claimed.iter().any(|(id, _)| *id == entry.new.id);
        if leases_are_noted {
            let repeatable = self.entries.iter_mut().filter(|entry| is_claimed(entry));
            repeatable.for_each(|entry| entry.maybe_done = true);
        }
        for entry in self.entries.iter_mut().filter(|entry| entry.underway) {
            (entry.underway, entry.maybe_done) = (false, true);
            if entry.state == State::Waiting {
                entry.state = State::Stopped(StoppedReason::MaybeDone);
            }
        }
    }
}

async fn accept(store: &Store, model: &mut Model, mut new: NewDelivery) {
    let same = model.entries.iter().find(|one| new.scope.is_some() && one.new.scope == new.scope);
    if let Some(same) = same {
        let told = store.accept(new.clone()).await;
        if same.new.print == new.print {
            assert_eq!(told.unwrap(), Accepted::Known(same.new.id));
        } else {
            assert!(matches!(told, Err(StoreError::OtherRequest(id)) if id == same.new.id));
        }
        return;
    }
    new.body = model.accepted.to_string().into();
    let full = model.full(&new);
    match store.accept(new.clone()).await {
        Ok(told) => assert_eq!((told, full), (Accepted::New, None)),
        Err(StoreError::Full(told)) => return assert_eq!(Some(told), full),
        Err(error) => panic!("{error}"),
    }
    model.accepted += 1;
    let seq = model.next_seq();
    let due_at = new.due_at;
    model.entries.push(Entry {
        seq,
        new,
        state: State::Waiting,
        due_at,
        finished_at: None,
        calls: 0,
        maybe_done: false,
        underway: false,
    });
}

async fn claim(store: &Store, model: &mut Model, to: &str, most: usize) {
    let turns = model.turns(to);
    let due = turns.iter().filter(|entry| entry.due_at <= model.now).take(most);
    let due: Vec<_> = due.map(|entry| (*entry).clone()).collect();
    let next_due = turns.get(due.len()).map(|entry| entry.due_at);
    let claimed = store.claim(to, model.now, most).await.unwrap();
    let told: Vec<_> = claimed
        .offers
        .iter()
        .map(|offer| (offer.id, offer.body.clone(), offer.calls, offer.maybe_done))
        .collect();
    let wanted: Vec<_> = due
        .iter()
        .map(|entry| (entry.new.id, entry.new.body.clone(), entry.calls, entry.maybe_done))
        .collect();
    assert_eq!((told, claimed.next_due), (wanted, next_due));
    assert!(claimed.stopped.is_empty());
    for entry in due {
        model.claimed.push((entry.new.id, entry.lane()));
        model.find(entry.new.id).unwrap().underway = entry.new.assurance == Assurance::None;
    }
    model.offers.extend(claimed.offers);
}

async fn end(store: &Store, model: &mut Model, offer: Offer, end: End, maybe_done: bool) {
    let now = model.now;
    let next = match end {
        End::Delivered => Next::Delivered,
        End::Again { later_ms, counts } => {
            Next::Again { at: WallTime(now.0 + later_ms), counts, hold_until: None }
        }
        End::Stopped(which) => Next::Stopped(StoppedReason::ALL[which]),
        End::Dead(which) => Next::Dead(DeadReason::ALL[which]),
    };
    let told = store.finish(&offer, Finish { maybe_done, ..finish(next) }, now).await;
    model.claimed.retain(|(id, _)| *id != offer.id);
    let Some(entry) = model.find(offer.id) else {
        assert!(matches!(told, Err(StoreError::Unknown)));
        return;
    };
    told.unwrap();
    entry.underway = false;
    entry.maybe_done |= maybe_done;
    entry.calls += u16::from(!matches!(end, End::Again { counts: false, .. }));
    let is_open = entry.state.is_open();
    match next {
        Next::Delivered => model.close(offer.id, State::Delivered),
        Next::Dead(why) if is_open => model.close(offer.id, State::Dead(why)),
        Next::Stopped(why) if is_open => entry.state = State::Stopped(why),
        Next::Again { at, .. } if is_open => entry.due_at = at,
        _ => {}
    }
}

async fn retry(store: &Store, model: &mut Model, filter: Filter, per_second: Option<u32>) {
    let is_meant = |state| matches!(state, State::Stopped(_) | State::Dead(_));
    let ids = model.chosen(&filter, is_meant);
    assert_eq!(store.retry(filter, per_second, model.now).await.unwrap(), ids.len() as u64);
    for (place, id) in (0..).zip(ids) {
        let now = model.now;
        if !model.find(id).unwrap().state.is_open() {
            model.find(id).unwrap().seq = model.next_seq();
        }
        let entry = model.find(id).unwrap();
        let later_ms = per_second.map_or(0, |rate| place * 1000 / u64::from(rate));
        (entry.state, entry.finished_at, entry.calls) = (State::Waiting, None, 0);
        entry.due_at = WallTime(now.0 + later_ms);
        model.entries.sort_by_key(|entry| entry.seq);
    }
}

async fn give_up(store: &Store, model: &mut Model, filter: Filter) {
    let dead = model.chosen(&filter, |state| matches!(state, State::Dead(_)));
    let open = model.chosen(&filter, State::is_open);
    let count = (dead.len() + open.len()) as u64;
    assert_eq!(store.drop_those(filter, model.now).await.unwrap(), count);
    model.entries.retain(|entry| !dead.contains(&entry.new.id));
    open.into_iter().for_each(|id| model.close(id, State::Dead(DeadReason::Dropped)));
}

/// All that is stored is what the model has.
async fn compare(store: &Store, model: &Model) {
    let listed = store.list(Filter::default(), Page { after: None, most: 1000 }).await.unwrap();
    let told: Vec<_> = listed
        .iter()
        .map(|one| {
            let turn = (one.due_at, one.behind, one.finished_at);
            (one.seq, one.id, one.state, one.calls, one.maybe_done, turn)
        })
        .collect();
    let wanted: Vec<_> = model
        .entries
        .iter()
        .map(|entry| {
            let behind = entry.state.is_open() && !model.is_first(entry);
            let turn = (entry.due_at, behind, entry.finished_at);
            (entry.seq, entry.new.id, entry.state, entry.calls, entry.maybe_done, turn)
        })
        .collect();
    assert_eq!(told, wanted);
    for total in store.totals().await.unwrap() {
        let of = |entry: &&Entry| {
            entry.new.upstream == total.upstream && entry.state.name() == total.state
        };
        let first = model.entries.iter().find(of);
        assert_eq!(total.items, model.entries.iter().filter(of).count() as u64);
        assert_eq!(total.oldest, first.map(|entry| entry.new.accepted_at.0));
    }
    assert_eq!(store.check().await.unwrap(), []);
}

async fn run(mut stage: Stage, steps: Vec<Step>) {
    let mut store = stage.open_with(LIMITS);
    let mut model = Model {
        entries: Vec::new(),
        offers: Vec::new(),
        claimed: Vec::new(),
        now: NOW,
        accepted: 0,
        places: 0,
    };
    for step in steps {
        match step {
            Step::Accept { to, lane, once, later_ms, scope } => {
                let lane = lane.map(|lane| lane.to_string());
                let mut new = new(&to.to_string(), lane.as_deref(), "");
                new.assurance = if once { Assurance::None } else { Assurance::Repeatable };
                (new.accepted_at, new.due_at) = (model.now, WallTime(model.now.0 + later_ms));
                if let Some((scope, print)) = scope {
                    (new.scope, new.print) = (Some([scope; 32]), [print; 32]);
                }
                accept(&store, &mut model, new).await;
            }
            Step::Claim { to, most } => claim(&store, &mut model, &to.to_string(), most).await,
            Step::Finish { which, end: how, maybe_done } => {
                if !model.offers.is_empty() {
                    let offer = model.offers.remove(which.index(model.offers.len()));
                    end(&store, &mut model, offer, how, maybe_done).await;
                }
            }
            Step::Retry { whom, per_second } => {
                let filter = model.filter(&whom);
                retry(&store, &mut model, filter, per_second).await;
            }
            Step::Drop(whom) => {
                let filter = model.filter(&whom);
                give_up(&store, &mut model, filter).await;
            }
            Step::Settle(whom) => {
                let filter = model.filter(&whom);
                let ids = model.chosen(&filter, |state| matches!(state, State::Stopped(_)));
                let count = ids.len() as u64;
                assert_eq!(store.settle(filter, model.now).await.unwrap(), count);
                ids.into_iter().for_each(|id| model.close(id, State::Delivered));
            }
            Step::Tend => {
                assert!(!store.tend(KEEP, model.now).await.unwrap());
                let now = model.now;
                model.entries.retain(|entry| {
                    let keep =
                        if entry.state == State::Delivered { KEEP.delivered } else { KEEP.dead };
                    entry.finished_at.is_none_or(|at| at.after(keep) >= now)
                });
            }
            Step::Wait(ms) => model.now = WallTime(model.now.0 + ms),
            Step::Reopen | Step::Crash => {
                if matches!(step, Step::Crash) {
                    stage = stage.as_a_crash_leaves_it();
                }
                drop(store);
                stage.leases_end();
                store = stage.open_with(LIMITS);
                store.stop_interrupted().await.unwrap();
                model.restarted(stage.is_postgres());
                compare(&store, &model).await;
            }
        }
    }
    compare(&store, &model).await;
}

fn check(stage: Stage, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(stage, steps));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_is_what_a_plain_list_would_be(steps in prop::collection::vec(step(), 1..120)) {
        check(Stage::in_memory(), steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_database_is_what_a_plain_list_would_be(steps in prop::collection::vec(step(), 1..120)) {
        check(Stage::postgres(), steps);
    }
}
