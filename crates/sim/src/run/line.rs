//! The calls that wait at a proxy for room: core's line, as `client::service` keeps it.

use std::collections::BTreeMap;

use mainstay_core::line::{Entered, Entry, Line, LineSettings, Refused, Ticket};

use super::calls::News;
use super::{Happening, Simulation};
use crate::slab::Key;

/// A proxy's line, and whose places they are.
#[derive(Debug)]
pub(super) struct Lineup {
    line: Line,
    waiting: BTreeMap<Ticket, Key>,
}

impl Lineup {
    pub(super) fn new(settings: LineSettings) -> Self {
        Self { line: Line::new(settings), waiting: BTreeMap::new() }
    }
}

impl Simulation {
    /// A call wants to wait for room.
    pub(super) fn line_up(&mut self, key: Key, entry: Entry) {
        let Some(running) = self.calls.get_mut(key) else { return };
        let number = running.proxy;
        let Some(proxy) = self.proxies.get_mut(usize::from(number)) else { return };
        match proxy.lineup.line.enter(entry, self.now) {
            Ok(Entered { ticket, pushed_out }) => {
                running.ticket = Some(ticket);
                proxy.lineup.waiting.insert(ticket, key);
                self.agenda.put(ticket.start_by(), Happening::TooLate { call: key, ticket });
                if let Some(out) = pushed_out {
                    self.turn_away(number, out.ticket, out.reason);
                }
                self.hand_over(number);
            }
            Err(refused) => self.news.push_back((key, News::TurnedAway(refused))),
        }
    }

    /// Lets in whom there is room for.
    pub(super) fn hand_over(&mut self, number: u16) {
        let Some(proxy) = self.proxies.get_mut(usize::from(number)) else { return };
        if proxy.lineup.line.is_empty() {
            proxy.upstream.set_lined(0);
            return;
        }
        let Lineup { line, waiting } = &mut proxy.lineup;
        proxy.upstream.let_in(line, self.now, |ticket, told| {
            if let Some(key) = waiting.remove(&ticket) {
                self.news.push_back((key, told.map_or_else(News::TurnedAway, News::Seated)));
            }
        });
    }

    fn turn_away(&mut self, number: u16, ticket: Ticket, why: Refused) {
        let proxy = self.proxies.get_mut(usize::from(number));
        if let Some(key) = proxy.and_then(|proxy| proxy.lineup.waiting.remove(&ticket)) {
            self.news.push_back((key, News::TurnedAway(why)));
        }
    }

    /// It doesn't help any more to be let in.
    pub(super) fn on_too_late(&mut self, key: Key, ticket: Ticket) {
        if self.leave_line(key, ticket) {
            self.tell(key, News::TurnedAway(Refused::CannotMakeIt));
        }
    }

    /// Takes a call out of the line, if it still has this place there.
    pub(super) fn leave_line(&mut self, key: Key, ticket: Ticket) -> bool {
        let Some(running) = self.calls.get_mut(key) else { return false };
        if running.ticket != Some(ticket) {
            return false;
        }
        running.ticket = None;
        let Some(proxy) = self.proxies.get_mut(usize::from(running.proxy)) else { return false };
        proxy.lineup.waiting.remove(&ticket);
        let left = proxy.lineup.line.leave(ticket, self.now);
        proxy.upstream.set_lined(proxy.lineup.line.len());
        left
    }
}
