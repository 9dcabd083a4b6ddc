//! What `mainstay top` knows and where the person in front of it is: news in, wishes out, and nothing of sockets or terminals.
//!
//! ```text
//!   on_told, on_link, on_key, on_answer, on_time ─▶ Model ─▶ next_wish
//!                                                     │
//!                                             draw::fit, draw::draw
//! ```
//!
//! - `known`: what the live stream told; `picture`, how things are; `headline`, that in a sentence.
//! - `page`: what can be opened on top of a view; `list`: where the person is in it.
//! - `keys`: what keys do; `order`: what can be ordered; `wish`: what is asked.

pub(crate) mod changes;
pub(crate) mod headline;
mod keys;
pub(crate) mod known;
pub(crate) mod list;
pub(crate) mod order;
pub(crate) mod page;
pub(crate) mod picture;
pub(crate) mod wish;

#[cfg(test)]
pub(crate) use keys::typed;

use std::collections::{BTreeMap, VecDeque};

use known::{Known, Link, Row};
use list::{Item, List};
use order::Order;
use page::{Page, What};
use wish::{Answer, Fetched, Stored, Wish};

use super::asked::{Connection, Timeline};
use super::told::Told;
use super::words::Kind;
use crate::paper::Paper;

/// The tabs, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum View {
    Now,
    Feed,
    Timeline,
    Incidents,
    Outbox,
    Connections,
}

impl View {
    pub(crate) const ALL: [Self; 6] =
        [Self::Now, Self::Feed, Self::Timeline, Self::Incidents, Self::Outbox, Self::Connections];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Now => "Now",
            Self::Feed => "Feed",
            Self::Timeline => "Timeline",
            Self::Incidents => "Incidents",
            Self::Outbox => "Outbox",
            Self::Connections => "Connections",
        }
    }
}

/// What stands over everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dialog {
    Help,
    /// Which order?
    Menu(Vec<Order>),
    /// Really?
    Confirm(Order),
    /// It is being carried out.
    Sent(Order),
    /// It was refused, and why.
    Refused(Order, String),
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// For good.
    Quit,
    /// Until the shell brings it back.
    Suspend,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) paper: Paper,
    /// The admin address, to be shown.
    pub(crate) address: String,
    pub(crate) known: Known,
    pub(crate) view: View,
    /// By view.
    pub(crate) lists: BTreeMap<View, List>,
    /// By view, in lower case.
    pub(crate) filters: BTreeMap<View, String>,
    /// Whether the filter is being typed.
    pub(crate) is_typing: bool,
    /// Only what isn't well.
    pub(crate) only_unwell: bool,
    /// The feed as it was when it was paused, and the rows that had come until then.
    pub(crate) paused: Option<(VecDeque<Row>, u64)>,
    /// What is open on top of the view.
    pub(crate) pages: Vec<Page>,
    pub(crate) stored: Fetched<Stored>,
    pub(crate) connections: Fetched<Vec<Connection>>,
    /// By upstream.
    pub(crate) past: BTreeMap<String, Fetched<Timeline>>,
    pub(crate) dialog: Option<Dialog>,
    /// Shown for a while: until when, and what.
    pub(crate) notice: Option<(u64, Kind, String)>,
    pub(crate) leave: Option<Leave>,
    /// Milliseconds since the program began.
    pub(crate) at: u64,
    /// The items of the view, in their order.
    pub(crate) items: Vec<Item>,
    wishes: VecDeque<Wish>,
}

/// Wishes that wait. Each is asked for once only, so that there are never many; with more than this the rest waits for its time to
/// come again.
const MOST_WISHES: usize = 64;

/// Pages on top of each other. Opening one more lets the lowest go.
const MOST_PAGES: usize = 8;

/// How long a notice is shown.
const NOTICE_MS: u64 = 6000;

/// How often what is asked is asked again while it is shown.
const LISTS_EVERY_MS: u64 = 2000;
const PAGES_EVERY_MS: u64 = 5000;
const PAST_EVERY_MS: u64 = 10_000;

impl Model {
    pub(crate) fn new(paper: Paper, address: String) -> Self {
        Self {
            paper,
            address,
            known: Known::default(),
            view: View::Now,
            lists: BTreeMap::new(),
            filters: BTreeMap::new(),
            is_typing: false,
            only_unwell: false,
            paused: None,
            pages: Vec::new(),
            stored: Fetched::default(),
            connections: Fetched::default(),
            past: BTreeMap::new(),
            dialog: None,
            notice: None,
            leave: None,
            at: 0,
            items: Vec::new(),
            wishes: VecDeque::new(),
        }
    }

    /// The stream told something.
    pub(crate) fn on_told(&mut self, told: Told) {
        let is_first = self.known.picture.is_none();
        if let Err(error) = self.known.on_told(told, self.at) {
            self.known.lost += 1;
            self.say(Kind::Warn, format!("something was told that isn't understood: {error}"));
        }
        if is_first && self.known.picture.is_some() {
            // Of this process; what is known of an earlier one isn't its past.
            self.past.clear();
            self.ask_past();
        }
    }

    /// The stream is there, or isn't.
    pub(crate) fn on_link(&mut self, link: Link) {
        // Since when it is gone is when it was there last.
        if let (Link::Lost { since, .. }, Link::Lost { why, .. }) = (&self.known.link, &link) {
            self.known.link = Link::Lost { since: *since, why: why.clone() };
        } else {
            self.known.link = link;
        }
    }

    /// Time has passed: `at` milliseconds since the program began.
    pub(crate) fn on_time(&mut self, at: u64) {
        self.at = at;
        if self.notice.as_ref().is_some_and(|(until, ..)| *until <= at) {
            self.notice = None;
        }
        if self.known.link == Link::Live {
            self.refresh();
        }
    }

    /// What is shown is asked for again when its time has come.
    fn refresh(&mut self) {
        if let Some(page) = self.pages.last_mut() {
            if let Some(wish) = page.due(self.at, PAGES_EVERY_MS) {
                self.wish(wish);
            }
            return;
        }
        match self.view {
            View::Outbox if self.stored.is_due(self.at, LISTS_EVERY_MS) => {
                self.stored.ask(self.at);
                self.wish(Wish::Stored);
            }
            View::Connections if self.connections.is_due(self.at, LISTS_EVERY_MS) => {
                self.connections.ask(self.at);
                self.wish(Wish::Connections);
            }
            View::Timeline => self.ask_past(),
            _ => {}
        }
    }

    /// The last hour of each upstream, as far as it isn't fresh.
    fn ask_past(&mut self) {
        let Some(picture) = &self.known.picture else { return };
        let names: Vec<_> = picture.upstreams.iter().map(|one| one.name().to_owned()).collect();
        self.past.retain(|name, _| names.contains(name));
        for name in names {
            let past = self.past.entry(name.clone()).or_default();
            if past.is_due(self.at, PAST_EVERY_MS) && self.wishes.len() < MOST_WISHES {
                past.ask(self.at);
                self.wishes.push_back(Wish::Past(name));
            }
        }
    }

    /// An answer came, or why there is none.
    pub(crate) fn on_answer(&mut self, wish: &Wish, answer: Result<Answer, String>) {
        match (wish, answer) {
            (Wish::Order(order), answer) => self.on_ordered(order, answer.map(|_| ())),
            (Wish::Past(name), answer) => {
                let timeline = answer.and_then(|answer| match answer {
                    Answer::Timeline(timeline) => Ok(*timeline),
                    _ => Err(MIXED_UP.to_owned()),
                });
                if let Ok(timeline) = &timeline {
                    self.known.on_past(timeline);
                }
                if let Some(past) = self.past.get_mut(name) {
                    past.answered(timeline);
                }
            }
            (Wish::Stored, answer) => {
                self.stored.answered(answer.and_then(|answer| match answer {
                    Answer::Stored(stored) => Ok(*stored),
                    _ => Err(MIXED_UP.to_owned()),
                }))
            }
            (Wish::Connections, answer) => {
                self.connections.answered(answer.and_then(|answer| match answer {
                    Answer::Connections(list) => Ok(list),
                    _ => Err(MIXED_UP.to_owned()),
                }));
            }
            (wish, answer) => {
                if let Some(page) = self.pages.iter_mut().find(|page| page.wish() == *wish) {
                    page.on_answer(answer);
                }
            }
        }
    }

    fn on_ordered(&mut self, order: &Order, result: Result<(), String>) {
        match result {
            Ok(()) => {
                if self.dialog == Some(Dialog::Sent(order.clone())) {
                    self.dialog = None;
                }
                self.say(Kind::Good, format!("done: {}", order.title()));
            }
            Err(why) => self.dialog = Some(Dialog::Refused(order.clone(), why)),
        }
        // It may look different now.
        self.stored.stale();
        self.pages.iter_mut().for_each(Page::stale);
    }

    /// The next thing to ask at the admin address.
    pub(crate) fn next_wish(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    fn wish(&mut self, wish: Wish) {
        if self.wishes.len() < MOST_WISHES && !self.wishes.contains(&wish) {
            self.wishes.push_back(wish);
        }
    }

    /// Opens a page on top.
    pub(crate) fn open(&mut self, what: What) {
        if self.pages.last().is_some_and(|page| page.what == what) {
            return;
        }
        if self.pages.len() == MOST_PAGES {
            self.pages.remove(0);
        }
        self.pages.push(Page::new(what));
        self.refresh();
    }

    pub(crate) fn say(&mut self, kind: Kind, text: String) {
        self.notice = Some((self.at + NOTICE_MS, kind, text));
    }

    /// The time at the admin address.
    pub(crate) fn now(&self) -> u64 {
        self.known.now(self.at)
    }

    pub(crate) fn filter(&self) -> &str {
        self.filters.get(&self.view).map_or("", String::as_str)
    }

    pub(crate) fn list(&self) -> List {
        self.lists.get(&self.view).cloned().unwrap_or_default()
    }

    /// The item under the cursor, if no page is on top.
    pub(crate) fn selected(&self) -> Option<Item> {
        if !self.pages.is_empty() {
            return None;
        }
        self.items.get(self.list().index).copied()
    }

    /// The feed that is shown.
    pub(crate) fn feed(&self) -> &VecDeque<Row> {
        self.paused.as_ref().map_or(&self.known.feed, |(rows, _)| rows)
    }

    /// Rows and calls that came since the feed was paused.
    pub(crate) fn missed_by_pause(&self) -> u64 {
        self.paused.as_ref().map_or(0, |(_, seen)| self.known.rows - seen)
    }

    /// Brings the items up to date, and the cursor to where it stood among them; `height` rows can be seen.
    pub(crate) fn settle(&mut self, height: usize) {
        self.items = list::items(self);
        let mut list = self.list();
        list.settle(self, height);
        self.lists.insert(self.view, list);
    }
}

/// An answer of another kind than what was asked for: a defect of ours.
const MIXED_UP: &str = "the answer is to another question";
