//! Drives calls: tells the machine what happened, does what it wants, comes back at its deadline.
//!
//! The same rule as for every driver: after each piece of news drain actions and events, then sleep until the next
//! deadline. Several attempts of a call may be out at a time; each is found by its number. Doing what a machine wants
//! may be news at once (a cancelled attempt is broken), so news stands in a line and is told one after the other.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::event::{AttemptId, Event};
use mainstay_core::line::{Refused, Ticket};
use mainstay_core::upstream::Seat;
use mainstay_core::{
    Action, Break, BreakKind, Call, CallFacts, Certainty, Ctx, EndpointId, Timestamp,
};

use super::flights::{Head, Purpose};
use super::pool::Idle;
use super::{Happened, Happening, Simulation};
use crate::arrivals::think_time;
use crate::slab::Key;
use crate::spread::happens;
use crate::trouble::Body;

/// A call, and what its driver knows of it.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) call: Call,
    /// Counted from 0, in the order in which calls begin.
    number: u64,
    pub(super) proxy: u16,
    /// The client that waits for it, if one does.
    pub(super) client: Option<u32>,
    pub(super) is_write: bool,
    /// Whether it mustn't be executed twice.
    pub(super) is_unsafe: bool,
    /// The deadline for which an entry of the agenda stands.
    planned: Option<Timestamp>,
    /// Counts these entries; earlier ones are stale.
    plans: u32,
    /// Attempts whose news is awaited.
    pub(super) live: Vec<(AttemptId, Key)>,
    /// Answers that came, for the machine may still want an earlier one.
    heads: Vec<(AttemptId, Head)>,
    /// The answer whose body is being delivered.
    pub(super) delivering: Option<Head>,
    /// Its requests that are on their way to a server, or in one.
    pub(super) at_servers: u32,
    /// Its place in line, if it waits for room.
    pub(super) ticket: Option<Ticket>,
    /// How often servers executed it.
    pub(super) executed: u32,
    /// How often it ended: once, in the end.
    pub(super) ends: u32,
    /// The time to the head of a good answer.
    took: Option<Duration>,
    /// Whether the end was counted.
    pub(super) is_counted: bool,
}

/// What a machine is told.
#[derive(Debug)]
pub(super) enum News {
    Started,
    Broke(AttemptId, Break),
    Answered(AttemptId, u16, Option<Duration>),
    BodyEnded(Option<BreakKind>),
    Time,
    Gone,
    /// It waited in line, and it is its turn.
    Seated(Seat),
    TurnedAway(Refused),
}

impl Simulation {
    /// A call begins, for a client or as it comes.
    pub(super) fn begin_call(
        &mut self,
        is_write: Option<bool>,
        has_key: Option<bool>,
        client: Option<u32>,
    ) {
        if self.now > self.ends_at {
            return;
        }
        let load = &self.world.load;
        let is_write = is_write.unwrap_or_else(|| happens(load.writes, &mut self.mix));
        let has_key = is_write && has_key.unwrap_or_else(|| happens(load.keyed, &mut self.mix));
        let proxies = u64::from(load.proxies);
        let proxy = match client {
            Some(client) => u64::from(client) % proxies,
            None => self.mix.below(proxies),
        };
        let policy = self.policy.of_call(is_write);
        let method = if is_write { "POST" } else { "GET" };
        let facts = CallFacts::of(method, has_key, policy).with_hash(self.mix.next_u64());
        let is_unsafe = !facts.repetition.is_idempotent();
        let call = self.calls.add(Running {
            call: Call::new(Arc::clone(policy), facts, self.now),
            number: self.outcome.started,
            proxy: proxy as u16,
            client,
            is_write,
            is_unsafe,
            planned: None,
            plans: 0,
            live: Vec::new(),
            heads: Vec::new(),
            delivering: None,
            at_servers: 0,
            ticket: None,
            executed: 0,
            ends: 0,
            took: None,
            is_counted: false,
        });
        self.outcome.call_started(self.now);
        if let Some(patience) = self.world.load.patience {
            self.agenda.put(self.now + patience, Happening::Impatience(call));
        }
        self.tell(call, News::Started);
    }

    /// A client calls again, once it has thought.
    pub(super) fn plan_client(&mut self, client: u32, is_first: bool) {
        let Some(think) = think_time(&self.world.load, self.now, &mut self.thinking) else {
            return;
        };
        // At the start they are spread, or all would call at once.
        let think = if is_first { self.thinking.up_to(think) } else { think };
        self.agenda.put(self.now + think, Happening::Client(client));
    }

    /// Tells a machine, and every machine for which that is news.
    pub(super) fn tell(&mut self, call: Key, news: News) {
        self.news.push_back((call, news));
        while let Some((call, news)) = self.news.pop_front() {
            self.tell_one(call, news);
        }
    }

    fn tell_one(&mut self, key: Key, news: News) {
        let Some(running) = self.calls.get_mut(key) else { return };
        let Some(proxy) = self.proxies.get_mut(usize::from(running.proxy)) else { return };
        let number = running.proxy;
        let before = proxy.upstream.budget().level(self.now);
        let mut ctx = Ctx { now: self.now, chance: &mut proxy.chance, upstream: &proxy.upstream };
        let call = &mut running.call;
        match news {
            News::Started => call.on_start(&mut ctx),
            News::Broke(attempt, what) => call.on_break(attempt, what, &mut ctx),
            News::Answered(attempt, status, hint) => call.on_head(attempt, status, hint, &mut ctx),
            News::BodyEnded(broke) => {
                running.delivering = None;
                if broke.is_some() {
                    running.took = None;
                }
                call.on_body_end(broke, &mut ctx);
            }
            News::Time => call.on_time(&mut ctx),
            News::Seated(seat) => {
                running.ticket = None;
                call.on_turn(seat, &mut ctx);
            }
            News::TurnedAway(why) => {
                running.ticket = None;
                call.on_turned_away(why, &mut ctx);
            }
            News::Gone => {
                running.delivering = None;
                running.took = None;
                call.on_cancel(&mut ctx);
            }
        }
        while let Some(event) = running.call.next_event() {
            self.outcome.event(&event, self.now);
            if let Some(journal) = &mut self.journal {
                journal.add(self.now, Some(running.number), Happened::Told(event));
            }
            match event {
                Event::CallDelivered { took, as_is, .. } => {
                    running.ends += 1;
                    running.took = (!as_is).then_some(took);
                }
                Event::CallFailed { .. } => running.ends += 1,
                _ => {}
            }
        }
        let after = proxy.upstream.budget().level(self.now);
        self.check_budget(number, before, after);
        while let Some(action) = self.calls.get_mut(key).and_then(|it| it.call.next_action()) {
            self.act(key, action);
        }
        self.check_call(key);
        self.settle(key);
        self.hand_over(number);
    }

    fn act(&mut self, key: Key, action: Action) {
        match action {
            Action::Attempt { attempt, endpoint, connection } => {
                self.take_off(Purpose::Attempt(key, attempt), endpoint, connection);
            }
            Action::Line(entry) => self.line_up(key, entry),
            Action::Cancel { attempt } => {
                let Some(running) = self.calls.get_mut(key) else { return };
                let Some(place) = running.live.iter().position(|(live, _)| *live == attempt) else {
                    return;
                };
                let (_, flight) = running.live.swap_remove(place);
                if let Some(what) = self.drop_flight(flight) {
                    self.news.push_back((key, News::Broke(attempt, what)));
                }
            }
            // Every answer is kept until the call is over.
            Action::Keep { .. } => {}
            Action::Deliver { attempt } => self.deliver(key, attempt),
            // The application is answered by us; that it is over, the event has told.
            Action::Fail(_) => {}
            // Bodies are whole or broken here: none is waited for, and none is continued.
            Action::Commit { .. } | Action::Continue { .. } | Action::Cut(_) => {
                let what = format!("{action:?} of a body that isn't simulated");
                self.outcome.violations.add(self.now, what);
            }
        }
    }

    fn deliver(&mut self, key: Key, attempt: AttemptId) {
        let Some(running) = self.calls.get_mut(key) else { return };
        let found = running.heads.iter().find(|(number, _)| *number == attempt);
        let Some((_, head)) = found.copied() else {
            let what = format!("attempt {} is to be delivered, and has no answer", attempt.0);
            return self.outcome.violations.add(self.now, what);
        };
        running.delivering = Some(head);
        let place = self.servers.get(usize::from(head.endpoint.0));
        let usual = place.map_or(Duration::ZERO, |server| server.place.body);
        let takes = match head.body {
            Body::Whole => usual,
            Body::Slow(longer) => usual + longer,
            Body::Broken(_) => usual / 2,
            Body::Stalled => self.policy.body_idle_timeout,
        };
        if takes.is_zero() {
            self.news.push_back((key, News::BodyEnded(broken(head.body))));
        } else {
            self.agenda.put(self.now + takes, Happening::BodyEnds(key));
        }
        if broken(head.body).is_none() {
            self.rest(key, head, takes);
        }
    }

    /// The connection of an answer is free again once its body has ended.
    fn rest(&mut self, key: Key, head: Head, after: Duration) {
        let Some(running) = self.calls.get(key) else { return };
        let since = self.now + after;
        let Some(server) = self.servers.get_mut(usize::from(head.endpoint.0)) else { return };
        let closes = server
            .idle_limit(self.now)
            .map(|(limit, jitter, with)| (since + limit + server.chance.up_to(jitter), with));
        let idle = Idle { made_at: head.made_at, since, closes };
        let proxy = self.proxies.get_mut(usize::from(running.proxy));
        if let Some(pool) = proxy.and_then(|it| it.pools.get_mut(usize::from(head.endpoint.0))) {
            pool.put(idle, self.policy.connect.pool.max_idle);
        }
    }

    pub(super) fn on_body_end(&mut self, key: Key) {
        // The application may have gone meanwhile; then there is nothing to tell.
        if let Some(head) = self.calls.get(key).and_then(|running| running.delivering) {
            self.tell(key, News::BodyEnded(broken(head.body)));
        }
    }

    pub(super) fn on_answer(&mut self, key: Key, attempt: AttemptId, head: Head) {
        let Some(running) = self.calls.get_mut(key) else { return };
        running.live.retain(|(live, _)| *live != attempt);
        // Answers are small, so that one that breaks does so before any of it is delivered.
        let is_good = running.call.broken_answer(head.status, None).is_none();
        let held = running.call.hold().is_some() && is_good;
        if let Some(kind) = broken(head.body).filter(|kind| held && *kind != BreakKind::BodyStalled)
        {
            let what = Break::new(kind, Certainty::Processed);
            return self.tell(key, News::Broke(attempt, what));
        }
        running.heads.push((attempt, head));
        self.tell(key, News::Answered(attempt, head.status, head.hint));
    }

    pub(super) fn on_attempt_broke(&mut self, key: Key, attempt: AttemptId, what: Break) {
        if let Some(running) = self.calls.get_mut(key) {
            running.live.retain(|(live, _)| *live != attempt);
            self.tell(key, News::Broke(attempt, what));
        }
    }

    pub(super) fn on_deadline(&mut self, key: Key, number: u32) {
        let Some(running) = self.calls.get_mut(key).filter(|it| it.plans == number) else { return };
        running.planned = None;
        match running.call.next_deadline() {
            Some(deadline) if deadline.at <= self.now => self.tell(key, News::Time),
            // It was put off since this entry was made.
            _ => self.settle(key),
        }
    }

    /// After all news: plans the next deadline, counts the end, forgets what is over.
    fn settle(&mut self, key: Key) {
        let Some(running) = self.calls.get_mut(key) else { return };
        if !running.call.is_over() {
            let next = running.call.next_deadline().map(|deadline| deadline.at);
            // A later deadline waits for the entry that there is: most deadlines are never reached.
            if let Some(at) = next
                && running.planned.is_none_or(|planned| at < planned)
            {
                running.plans += 1;
                running.planned = Some(at);
                let number = running.plans;
                self.agenda.put(at.max(self.now), Happening::Deadline { call: key, number });
            }
            return;
        }
        if !running.is_counted {
            running.is_counted = true;
            let ticket = running.ticket;
            running.heads.clear();
            self.outcome.call_ended(running.took, self.now);
            let live = std::mem::take(&mut running.live);
            let client = running.client;
            if let Some(ticket) = ticket {
                self.leave_line(key, ticket);
            }
            for (_, flight) in live {
                self.drop_flight(flight);
            }
            self.check_ending(key);
            if let Some(client) = client {
                self.plan_client(client, false);
            }
        }
        self.forget_when_done(key);
    }

    /// A call is remembered as long as a server may still execute it.
    pub(super) fn forget_when_done(&mut self, key: Key) {
        let done = |it: &Running| it.is_counted && it.at_servers == 0;
        if self.calls.get(key).is_some_and(done) {
            self.calls.remove(key);
        }
    }

    /// A server executes a request.
    pub(super) fn execute(&mut self, call: Option<Key>) {
        let Some(running) = call.and_then(|key| self.calls.get_mut(key)) else { return };
        running.executed += 1;
        if let Some(journal) = &mut self.journal {
            journal.add(self.now, Some(running.number), Happened::Executed);
        }
        let again = running.is_write && running.executed > 1;
        self.outcome.executed(again, self.now);
        if running.is_unsafe && running.executed > 1 {
            let what = "a call that mustn't be done twice was executed again".to_owned();
            self.outcome.violations.add(self.now, what);
        }
    }

    /// How long a message takes at least between a proxy and an endpoint.
    pub(super) fn latency(&self, proxy: u16, endpoint: EndpointId) -> Duration {
        let (from, to) = self.zones(proxy, endpoint);
        self.roads.latency(from, to)
    }
}

fn broken(body: Body) -> Option<BreakKind> {
    match body {
        Body::Whole | Body::Slow(_) => None,
        Body::Broken(kind) => Some(kind),
        Body::Stalled => Some(BreakKind::BodyStalled),
    }
}
