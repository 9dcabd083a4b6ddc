//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::list::{self, Item};
use super::order::{DeliveryOrder, EndpointOrder, Order};
use super::page::What;
use super::wish::Wish;
use super::{Dialog, Leave, Model, View};
use crate::top::words::Kind;

/// The longest filter.
const MOST_LETTERS: usize = 60;

impl Model {
    /// A key was pressed.
    pub(crate) fn on_key(&mut self, key: KeyEvent) {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => self.leave = Some(Leave::Quit),
                KeyCode::Char('z') => self.leave = Some(Leave::Suspend),
                _ => {}
            }
            return;
        }
        if let Some(dialog) = self.dialog.clone() {
            self.on_dialog_key(dialog, key.code);
        } else if self.is_typing {
            self.on_typed(key.code);
        } else {
            self.on_view_key(key.code);
        }
    }

    fn on_dialog_key(&mut self, dialog: Dialog, key: KeyCode) {
        match (dialog, key) {
            (Dialog::Menu(orders), KeyCode::Char(letter)) => {
                if let Some(order) = orders.into_iter().find(|order| order.key() == letter) {
                    self.dialog = Some(Dialog::Confirm(order));
                } else if letter == 'q' {
                    self.dialog = None;
                }
            }
            (Dialog::Confirm(order), KeyCode::Char('y')) => {
                self.dialog = Some(Dialog::Sent(order.clone()));
                self.wish(Wish::Order(order));
            }
            (Dialog::Confirm(_), KeyCode::Char('n' | 'q') | KeyCode::Esc) => self.dialog = None,
            // Only what was asked for is an answer: nothing is ordered by a key that was meant for something else.
            (Dialog::Confirm(_), _) => {}
            (Dialog::Help | Dialog::Refused(..), _)
            | (Dialog::Menu(_) | Dialog::Sent(_), KeyCode::Esc) => self.dialog = None,
            (Dialog::Menu(_) | Dialog::Sent(_), _) => {}
        }
    }

    /// A letter of the filter.
    fn on_typed(&mut self, key: KeyCode) {
        let filter = self.filters.entry(self.view).or_default();
        match key {
            KeyCode::Char(letter) if filter.chars().count() < MOST_LETTERS => {
                filter.extend(letter.to_lowercase());
            }
            KeyCode::Backspace => {
                filter.pop();
            }
            KeyCode::Esc => {
                filter.clear();
                self.is_typing = false;
            }
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Up | KeyCode::Down => {
                self.is_typing = false;
                self.on_view_key(key);
            }
            _ => {}
        }
    }

    fn on_view_key(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char('q') => self.leave = Some(Leave::Quit),
            KeyCode::Char('?') => self.dialog = Some(Dialog::Help),
            KeyCode::Char('j') | KeyCode::Down => self.step(1, true),
            KeyCode::Char('k') | KeyCode::Up => self.step(1, false),
            KeyCode::PageDown | KeyCode::Char(' ') => self.leaf(true),
            KeyCode::PageUp => self.leaf(false),
            KeyCode::Char('g') | KeyCode::Home => self.step(usize::MAX / 2, false),
            KeyCode::Char('G') | KeyCode::End => self.step(usize::MAX / 2, true),
            KeyCode::Char('l') | KeyCode::Right | KeyCode::Enter => self.enter(),
            KeyCode::Char('h') | KeyCode::Left | KeyCode::Backspace | KeyCode::Esc => self.back(),
            KeyCode::Tab => self.turn(1),
            KeyCode::BackTab => self.turn(View::ALL.len() - 1),
            KeyCode::Char(digit @ '1'..='6') => {
                let place = digit as usize - '1' as usize;
                self.show(View::ALL[place]);
            }
            KeyCode::Char('/') if self.pages.is_empty() => self.is_typing = true,
            KeyCode::Char('p') if self.view == View::Feed && self.pages.is_empty() => self.pause(),
            KeyCode::Char('w') if matches!(self.view, View::Now | View::Timeline) => {
                self.only_unwell = !self.only_unwell;
            }
            KeyCode::Char('a') => self.act(),
            KeyCode::Char('R') => self.dialog = Some(Dialog::Confirm(Order::Reload)),
            _ => {}
        }
    }

    fn step(&mut self, items: usize, down: bool) {
        if let Some(page) = self.pages.last_mut() {
            return if items == 1 { page.step(down) } else { page.scroll(items, down) };
        }
        let mut list = self.list();
        let index =
            if down { list.index.saturating_add(items) } else { list.index.saturating_sub(items) };
        list.go(self, index);
        self.lists.insert(self.view, list);
    }

    /// As much as is seen, less a line that stays.
    fn leaf(&mut self, down: bool) {
        let height = self.pages.last().map_or_else(|| self.list().height, |page| page.height);
        // More than a step, so that a page scrolls.
        self.step(height.saturating_sub(1).max(2), down);
    }

    fn turn(&mut self, by: usize) {
        let place = View::ALL.iter().position(|view| *view == self.view).unwrap_or_default();
        self.show(View::ALL[(place + by) % View::ALL.len()]);
    }

    fn show(&mut self, view: View) {
        self.pages.clear();
        self.view = view;
        self.items.clear();
        self.refresh();
    }

    fn back(&mut self) {
        if self.pages.pop().is_none() {
            self.filters.remove(&self.view);
        }
    }

    /// Opens what is under the cursor.
    fn enter(&mut self) {
        let what = match self.pages.last() {
            Some(page) => page.target().cloned(),
            None => self.selected().and_then(|item| self.behind(item)),
        };
        if let Some(what) = what {
            self.open(what);
        }
    }

    /// What an item leads to.
    fn behind(&self, item: Item) -> Option<What> {
        match item {
            Item::Endpoint(place, number) => {
                let upstream = self.known.picture.as_ref()?.upstreams.get(place)?;
                let endpoint = upstream.endpoints.get(number)?.says.name.clone();
                Some(What::Endpoint { upstream: upstream.name().to_owned(), endpoint })
            }
            Item::Call(place) => Some(What::Call(self.feed().get(place)?.call.id.clone())),
            Item::Incident(place) => {
                Some(What::Incident(self.known.incidents().get(place)?.id.clone()))
            }
            Item::Lane(place) => {
                let lane = self.stored.value.as_ref()?.lanes.get(place)?;
                Some(What::Delivery(lane.held_by.id.clone()))
            }
            Item::Delivery(section, place) => {
                Some(What::Delivery(list::delivery(self, section, place)?.id.clone()))
            }
            Item::Connection(place) => {
                let one = self.connections.value.as_ref()?.get(place)?;
                let (upstream, endpoint) = (one.upstream.clone(), one.endpoint.clone());
                Some(What::Endpoint { upstream, endpoint })
            }
            Item::Change(row) => {
                let one = self.known.changes.get(row.last)?;
                let (upstream, endpoint) = (one.upstream.clone()?, one.endpoint.clone()?);
                Some(What::Endpoint { upstream, endpoint })
            }
            Item::Upstream(_) | Item::Title(_) => None,
        }
    }

    fn pause(&mut self) {
        self.paused = match self.paused.take() {
            Some(_) => None,
            None => Some((self.known.feed.clone(), self.known.rows)),
        };
    }

    /// The menu of what can be ordered here.
    fn act(&mut self) {
        let orders = self.orders();
        if orders.is_empty() {
            let words = "nothing to order here: choose an endpoint, a lane or a stored write";
            self.say(Kind::Warn, words.to_owned());
        } else {
            self.dialog = Some(Dialog::Menu(orders));
        }
    }

    fn orders(&self) -> Vec<Order> {
        let lane = match self.selected() {
            Some(Item::Lane(place)) => {
                self.stored.value.as_ref().and_then(|stored| stored.lanes.get(place))
            }
            _ => None,
        };
        if let Some(lane) = lane {
            let of = |what| Order::Lane {
                upstream: lane.upstream.clone(),
                lane: lane.lane.clone(),
                what,
            };
            return DeliveryOrder::ALL.map(of).to_vec();
        }
        let what = match self.pages.last() {
            Some(page) => Some(page.what.clone()),
            None => self.selected().and_then(|item| self.behind(item)),
        };
        match what {
            Some(What::Endpoint { upstream, endpoint }) => {
                let of = |what| {
                    let (upstream, endpoint) = (upstream.clone(), endpoint.clone());
                    Order::Endpoint { upstream, endpoint, what }
                };
                EndpointOrder::ALL.map(of).to_vec()
            }
            Some(What::Delivery(id)) => {
                DeliveryOrder::ALL.map(|what| Order::Delivery { id: id.clone(), what }).to_vec()
            }
            Some(What::Call(_) | What::Incident(_)) | None => Vec::new(),
        }
    }
}

/// Presses keys: letters, and `\n`, `\t` and `\x1b` for Enter, Tab and Esc.
#[cfg(test)]
pub(crate) fn typed(model: &mut Model, keys: &str) {
    for letter in keys.chars() {
        let code = match letter {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\x1b' => KeyCode::Esc,
            letter => KeyCode::Char(letter),
        };
        model.on_key(KeyEvent::new(code, KeyModifiers::NONE));
    }
}
