//! The waiting line against a plain model of it: one list, searched from end to end.

use std::collections::HashMap;
use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_core::line::{
    CLASSES, Entry, Line, LineSettings, Priority, PushedOut, Refused, Ticket, Turn,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Enter {
        priority: Priority,
        needs: Duration,
        patience: Duration,
    },
    /// The index chooses among all tickets there ever were, whatever its number.
    Leave(usize),
    Next,
    Expire,
    Wait(Duration),
    Renew(LineSettings),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fate {
    LetIn,
    Dropped,
    PushedOut,
    Left,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    ticket: Ticket,
    entered_at: Timestamp,
    give_up_at: Timestamp,
    needs: Duration,
}

/// What a line is said to be, told as simply as possible.
struct Model {
    settings: LineSettings,
    now: Timestamp,
    looked_at: Timestamp,
    /// In the order in which they came.
    waiting: Vec<Waiting>,
    /// When the wait of a priority was last good: nobody waited, or the oldest not above the target.
    good_at: [Timestamp; CLASSES],
}

impl Model {
    fn of(&self, priority: usize) -> impl DoubleEndedIterator<Item = &Waiting> {
        let is =
            move |waiting: &&Waiting| usize::from(waiting.ticket.priority().number()) == priority;
        self.waiting.iter().filter(is)
    }

    /// Looks at the waits, before and after each step; nobody comes or goes between a look after and the next one before.
    fn look(&mut self) {
        for priority in 0..CLASSES {
            let oldest = self.of(priority).next();
            let good_until = oldest.map_or(self.now, |oldest| {
                (oldest.entered_at + self.settings.target).min(self.now)
            });
            if good_until >= self.looked_at {
                self.good_at[priority] = good_until;
            }
        }
        self.looked_at = self.now;
    }

    fn is_overloaded(&self, priority: usize) -> bool {
        self.of(priority).next().is_some()
            && self.now.since(self.good_at[priority]) >= self.settings.interval
    }

    fn is_late(&self, waiting: &Waiting) -> bool {
        self.now + waiting.needs > waiting.give_up_at
    }

    /// The one who can't make it any more for the longest time.
    fn late(&self) -> Option<Ticket> {
        let late = self.waiting.iter().filter(|waiting| self.is_late(waiting));
        late.min_by_key(|waiting| waiting.give_up_at - waiting.needs).map(|waiting| waiting.ticket)
    }

    fn next(&self) -> Option<Turn> {
        if let Some(late) = self.late() {
            return Some(Turn::Drop(late));
        }
        let priority = (0..CLASSES).rev().find(|priority| self.of(*priority).next().is_some())?;
        let mut waiting = self.of(priority);
        let next = if self.is_overloaded(priority) { waiting.next_back() } else { waiting.next() };
        next.map(|waiting| Turn::LetIn(waiting.ticket))
    }

    /// Who goes for somebody who enters.
    fn enter(&self, entry: &Entry) -> Result<Option<PushedOut>, Refused> {
        if self.now + entry.needs > entry.give_up_at {
            return Err(Refused::CannotMakeIt);
        }
        let length = self.settings.length as usize;
        if self.waiting.len() < length {
            return Ok(None);
        }
        if self.waiting.len() > length || length == 0 {
            return Err(Refused::Full);
        }
        if let Some(ticket) = self.late() {
            return Ok(Some(PushedOut { ticket, reason: Refused::CannotMakeIt }));
        }
        let lowest = (0..CLASSES).find(|priority| self.of(*priority).next().is_some());
        let lowest = lowest.filter(|lowest| *lowest < usize::from(entry.priority.number()));
        let lowest = lowest.ok_or(Refused::Full)?;
        let mut waiting = self.of(lowest);
        let last = if self.is_overloaded(lowest) { waiting.next() } else { waiting.next_back() };
        let ticket = last.ok_or(Refused::Full)?.ticket;
        Ok(Some(PushedOut { ticket, reason: Refused::PushedOut }))
    }

    fn remove(&mut self, ticket: Ticket) -> bool {
        let place = self.waiting.iter().position(|waiting| waiting.ticket == ticket);
        place.map(|place| self.waiting.remove(place)).is_some()
    }
}

/// A line and its model, with all the tickets and what became of them.
struct Pair {
    line: Line,
    model: Model,
    tickets: Vec<Ticket>,
    fates: HashMap<Ticket, Fate>,
}

impl Pair {
    fn new(settings: LineSettings) -> Self {
        let model = Model {
            settings: settings.clone(),
            now: Timestamp::ZERO,
            looked_at: Timestamp::ZERO,
            waiting: Vec::new(),
            good_at: [Timestamp::ZERO; CLASSES],
        };
        Self { line: Line::new(settings), model, tickets: Vec::new(), fates: HashMap::new() }
    }

    fn end(&mut self, ticket: Ticket, fate: Fate) -> Result<(), TestCaseError> {
        prop_assert!(self.model.remove(ticket), "{ticket:?} doesn't wait, and is {fate:?}");
        prop_assert_eq!(self.fates.insert(ticket, fate), None);
        Ok(())
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        self.model.look();
        let now = self.model.now;
        match step {
            Step::Enter { priority, needs, patience } => {
                self.enter(Entry { priority, needs, give_up_at: now + patience })?;
            }
            Step::Leave(index) => {
                if let Some(ticket) = pick(&self.tickets, index) {
                    let waits = !self.fates.contains_key(&ticket);
                    prop_assert_eq!(self.line.leave(ticket, now), waits);
                    if waits {
                        self.end(ticket, Fate::Left)?;
                    }
                }
            }
            Step::Next => {
                let turn = self.line.next(now);
                prop_assert_eq!(turn, self.model.next());
                match turn {
                    Some(Turn::LetIn(ticket)) => self.end(ticket, Fate::LetIn)?,
                    Some(Turn::Drop(ticket)) => self.end(ticket, Fate::Dropped)?,
                    None => {}
                }
            }
            Step::Expire => {
                let late = self.line.expire(now);
                prop_assert_eq!(late, self.model.late());
                if let Some(ticket) = late {
                    self.end(ticket, Fate::Dropped)?;
                }
            }
            Step::Wait(length) => self.model.now = now + length,
            Step::Renew(settings) => {
                // The times that make up overload are looked at as the settings are now, which only a reload changes.
                let kept = LineSettings { length: settings.length, ..self.model.settings };
                self.line.renew(kept.clone());
                self.model.settings = kept;
            }
        }
        self.model.look();
        self.compare()
    }

    fn enter(&mut self, entry: Entry) -> Result<(), TestCaseError> {
        let now = self.model.now;
        let entered = self.line.enter(entry, now);
        prop_assert_eq!(entered.map(|entered| entered.pushed_out), self.model.enter(&entry));
        let Ok(entered) = entered else { return Ok(()) };
        if let Some(PushedOut { ticket, reason }) = entered.pushed_out {
            prop_assert!(
                reason == Refused::CannotMakeIt || ticket.priority() < entry.priority,
                "nobody is pushed out by an equal"
            );
            self.end(ticket, Fate::PushedOut)?;
        }
        let Entry { give_up_at, needs, .. } = entry;
        let ticket = entered.ticket;
        self.model.waiting.push(Waiting { ticket, entered_at: now, give_up_at, needs });
        self.tickets.push(ticket);
        prop_assert!(self.line.len() <= self.model.settings.length as usize);
        Ok(())
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let (line, model) = (&self.line, &self.model);
        prop_assert_eq!(line.len(), model.waiting.len());
        prop_assert_eq!(self.tickets.len(), line.len() + self.fates.len(), "nobody is lost");
        let view = line.view(model.now);
        for priority in 0..CLASSES {
            prop_assert_eq!(view.waiting[priority] as usize, model.of(priority).count());
            prop_assert_eq!(view.overloaded[priority], model.is_overloaded(priority));
        }
        let oldest = model.waiting.iter().map(|waiting| model.now.since(waiting.entered_at)).max();
        prop_assert_eq!(view.oldest_for, oldest);
        let start_by = model.waiting.iter().map(|waiting| waiting.give_up_at - waiting.needs).min();
        prop_assert_eq!(line.next_deadline(), start_by.map(|at| at + Duration::from_nanos(1)));
        Ok(())
    }
}

fn pick(tickets: &[Ticket], index: usize) -> Option<Ticket> {
    (!tickets.is_empty()).then(|| tickets[index % tickets.len()])
}

fn millis(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn settings() -> impl Strategy<Value = LineSettings> {
    (0_u32..12, millis(0..20), millis(1..150)).prop_map(|(length, target, interval)| LineSettings {
        length,
        target,
        interval,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let enter = (0_u8..6, millis(0..100), prop_oneof![millis(0..300), millis(0..10_000)]);
    let enter = enter.prop_map(|(priority, needs, patience)| Step::Enter {
        priority: Priority::new(priority),
        needs,
        patience,
    });
    prop_oneof![
        20 => enter,
        3 => any::<usize>().prop_map(Step::Leave),
        8 => Just(Step::Next),
        3 => Just(Step::Expire),
        10 => (0_u64..30_000_000).prop_map(|nanos| Step::Wait(Duration::from_nanos(nanos))),
        2 => millis(0..400).prop_map(Step::Wait),
        1 => settings().prop_map(Step::Renew),
    ]
}

proptest! {
    #[test]
    fn the_line_does_what_its_model_does(
        settings in settings(),
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut pair = Pair::new(settings);
        for step in steps {
            pair.take(step)?;
        }
        // Everybody gets an answer in the end.
        while !pair.line.is_empty() {
            pair.take(Step::Next)?;
        }
        prop_assert_eq!(pair.tickets.len(), pair.fates.len());
    }

    /// Threads read the clock before they get at the line, so time may go back a little.
    #[test]
    fn nobody_is_lost_when_time_goes_back(
        length in 0_u32..12,
        steps in prop::collection::vec((0_u8..4, 0_u64..500, 0_u64..300), 1..300),
    ) {
        let mut line = Line::new(LineSettings { length, ..LineSettings::default() });
        let mut waiting = Vec::new();
        let gone = |waiting: &mut Vec<Ticket>, ticket: Ticket| {
            let place = waiting.iter().position(|other| *other == ticket);
            place.map(|place| waiting.swap_remove(place)).is_some()
        };
        for (kind, now, patience) in steps {
            let now = Timestamp::from_millis(now);
            let entry = Entry {
                priority: Priority::new(kind),
                needs: Duration::from_millis(20),
                give_up_at: now + Duration::from_millis(patience),
            };
            if let Ok(entered) = line.enter(entry, now) {
                if let Some(out) = entered.pushed_out {
                    prop_assert!(gone(&mut waiting, out.ticket));
                }
                waiting.push(entered.ticket);
            }
            if kind == 0 && let Some(turn) = line.next(now) {
                let (Turn::LetIn(ticket) | Turn::Drop(ticket)) = turn;
                prop_assert!(gone(&mut waiting, ticket));
            }
            prop_assert_eq!(line.len(), waiting.len());
            prop_assert!(line.len() <= length as usize);
        }
    }
}
