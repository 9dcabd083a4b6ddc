//! The items of a view and the cursor among them.
//!
//! Items are places in what is known, so that a thousand of them cost little; only those that are seen are drawn. They come and go
//! and change their order under the cursor, which stays with what it stands on; at the top it stays at the top.

use super::{Model, View, changes};
use crate::top::asked::Delivery;
use crate::top::told::{Call, Change, Endpoint};
use crate::top::words::{Kind, state};

/// A row of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// By its place in the picture, as are endpoints.
    Upstream(usize),
    Endpoint(usize, usize),
    /// By its place in the feed.
    Call(usize),
    /// By its place among all incidents.
    Incident(usize),
    Title(&'static str),
    /// By its place among what is stored.
    Lane(usize),
    Delivery(Section, usize),
    Connection(usize),
    /// By their places among the changes.
    Change(changes::Row),
}

/// Stored writes by their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Stopped,
    Dead,
    Waiting,
}

/// Where the person is in a view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// The item under the cursor.
    pub(crate) index: usize,
    /// The first that is shown.
    pub(crate) top: usize,
    /// Items that can be seen.
    pub(crate) height: usize,
    /// What the cursor stands on; none at the top.
    on: Option<String>,
}

impl List {
    /// Puts the cursor there.
    pub(crate) fn go(&mut self, model: &Model, index: usize) {
        self.index = index.min(model.items.len().saturating_sub(1));
        self.on = (self.index > 0)
            .then(|| model.items.get(self.index).map(|item| identity(model, *item)))
            .flatten();
    }

    /// Finds the cursor's item among the model's items, and what is to be seen.
    pub(crate) fn settle(&mut self, model: &Model, height: usize) {
        let items = &model.items;
        if let Some(on) = &self.on {
            let stays = items.get(self.index).is_some_and(|item| identity(model, *item) == *on);
            if !stays
                && let Some(place) = items.iter().position(|item| identity(model, *item) == *on)
            {
                // What is seen moves with it.
                self.top = (self.top + place).saturating_sub(self.index);
                self.index = place;
            }
        } else {
            self.index = 0;
        }
        self.index = self.index.min(items.len().saturating_sub(1));
        self.height = height;
        let most = items.len().saturating_sub(height);
        self.top = self.top.min(self.index).max((self.index + 1).saturating_sub(height)).min(most);
    }
}

/// What makes an item the same when it stands elsewhere.
fn identity(model: &Model, item: Item) -> String {
    let picture = model.known.picture.as_ref();
    let upstream = |place: usize| picture.and_then(|picture| picture.upstreams.get(place));
    let stored = model.stored.value.as_ref();
    match item {
        Item::Upstream(place) => format!("u{}", upstream(place).map_or("", |one| one.name())),
        Item::Endpoint(place, number) => upstream(place).map_or_else(String::new, |one| {
            let endpoint = one.endpoints.get(number).map_or("", |it| it.says.name.as_str());
            format!("e{}\n{endpoint}", one.name())
        }),
        Item::Call(place) => {
            model.feed().get(place).map_or_else(String::new, |row| row.serial.to_string())
        }
        Item::Incident(place) => {
            model.known.incidents().get(place).map_or_else(String::new, |one| one.id.clone())
        }
        Item::Title(title) => title.to_owned(),
        Item::Lane(place) => stored
            .and_then(|stored| stored.lanes.get(place))
            .map_or_else(String::new, |lane| format!("l{}\n{}", lane.upstream, lane.lane)),
        Item::Delivery(section, place) => {
            delivery(model, section, place).map_or_else(String::new, |one| one.id.clone())
        }
        Item::Connection(place) => connection(model, place),
        Item::Change(row) => {
            let first = model.known.changes.get(row.first);
            first.map_or_else(String::new, |one| format!("c{}", one.seq))
        }
    }
}

fn connection(model: &Model, place: usize) -> String {
    let list = model.connections.value.as_ref();
    list.and_then(|list| list.get(place)).map_or_else(String::new, |one| one.id.to_string())
}

/// A stored write.
pub(crate) fn delivery(model: &Model, section: Section, place: usize) -> Option<&Delivery> {
    let stored = model.stored.value.as_ref()?;
    let those = match section {
        Section::Stopped => &stored.stopped,
        Section::Dead => &stored.dead,
        Section::Waiting => &stored.waiting,
    };
    those.those.get(place)
}

/// The items of the view, in their order.
pub(crate) fn items(model: &Model) -> Vec<Item> {
    let wanted = model.filter();
    match model.view {
        View::Now => endpoints(model, wanted),
        View::Timeline => {
            let mut items = endpoints(model, wanted);
            let fits = |(_, change): &(usize, &Change)| {
                contains(
                    wanted,
                    &[change.upstream.as_deref(), change.endpoint.as_deref(), Some(&*change.event)],
                )
            };
            let changed = changes::folded(model.known.changes.iter().enumerate().filter(fits));
            if !changed.is_empty() {
                items.push(Item::Title("What changed"));
                items.extend(changed.into_iter().rev().map(Item::Change));
            }
            items
        }
        View::Feed => {
            let rows = model.feed().iter().enumerate();
            rows.filter(|(_, row)| call_fits(&row.call, wanted))
                .map(|(place, _)| Item::Call(place))
                .collect()
        }
        View::Incidents => {
            let all = model.known.incidents();
            let fits = |place: &usize| {
                let one = all[*place];
                let endpoint = one.endpoint.as_deref();
                contains(
                    wanted,
                    &[Some(&one.upstream), endpoint, Some(&one.cause), Some(&one.state)],
                )
            };
            (0..all.len()).filter(fits).map(Item::Incident).collect()
        }
        View::Outbox => stored(model, wanted),
        View::Connections => {
            let list = model.connections.value.as_deref().unwrap_or_default();
            let fits = |place: &usize| {
                let one = &list[*place];
                let peer = one.peer.as_deref();
                contains(
                    wanted,
                    &[
                        Some(&one.upstream),
                        Some(&one.endpoint),
                        peer,
                        Some(&one.state),
                        Some(&one.protocol),
                    ],
                )
            };
            (0..list.len()).filter(fits).map(Item::Connection).collect()
        }
    }
}

/// Upstreams with their endpoints: what isn't up first.
fn endpoints(model: &Model, wanted: &str) -> Vec<Item> {
    let Some(picture) = &model.known.picture else { return Vec::new() };
    let mut upstreams: Vec<_> = (0..picture.upstreams.len()).collect();
    upstreams.sort_by_key(|place| picture.upstreams[*place].own.says.state == "up");
    let mut items = Vec::with_capacity(picture.endpoints() + upstreams.len());
    for place in upstreams {
        let upstream = &picture.upstreams[place];
        let says = |number: usize| &upstream.endpoints[number].says;
        let fits = |number: &usize| {
            let one = says(*number);
            let is_wanted = contains(
                wanted,
                &[Some(upstream.name()), Some(&one.name), Some(state(&one.state).1)],
            );
            is_wanted && (!model.only_unwell || state(&one.state).0 != Kind::Good)
        };
        let mut those: Vec<_> = (0..upstream.endpoints.len()).filter(fits).collect();
        those.sort_by_key(|number| urgency(says(*number)));
        if !those.is_empty() || (wanted.is_empty() && !model.only_unwell) {
            items.push(Item::Upstream(place));
            items.extend(those.into_iter().map(|number| Item::Endpoint(place, number)));
        }
    }
    items
}

/// The order in which a person should look. A stable sort keeps the config's order among the like.
fn urgency(one: &Endpoint) -> (u64, Kind) {
    (one.tier, state(&one.state).0)
}

fn call_fits(call: &Call, wanted: &str) -> bool {
    let breaks = call.breaks.iter().flat_map(|one| [Some(&*one.endpoint), Some(&*one.code)]);
    let outcome =
        if call.failed { "failed" } else { call.saved.as_deref().map_or("", |_| "saved") };
    let own = [
        Some(&*call.id),
        Some(&*call.upstream),
        Some(&*call.method),
        Some(&*call.path),
        call.code.as_deref(),
        Some(outcome),
    ];
    wanted.is_empty() || own.into_iter().chain(breaks).any(|text| contains(wanted, &[text]))
}

fn stored(model: &Model, wanted: &str) -> Vec<Item> {
    let Some(stored) = &model.stored.value else { return Vec::new() };
    let mut items = Vec::new();
    let lanes = (0..stored.lanes.len()).filter(|place| {
        let lane = &stored.lanes[*place];
        contains(wanted, &[Some(&lane.upstream), Some(&lane.lane)])
    });
    let lanes: Vec<_> = lanes.map(Item::Lane).collect();
    if !lanes.is_empty() {
        items.push(Item::Title("Lanes that are held"));
        items.extend(lanes);
    }
    for (section, title, those) in [
        (Section::Stopped, "Stopped: a person decides", &stored.stopped),
        (Section::Dead, "Dead: given up", &stored.dead),
        (Section::Waiting, "Waiting", &stored.waiting),
    ] {
        let fits = |place: &usize| {
            let one = &those.those[*place];
            let (lane, reason) = (one.lane.as_deref(), one.reason.as_deref());
            contains(wanted, &[Some(&one.id), Some(&one.upstream), lane, reason, Some(&one.key)])
        };
        let some: Vec<_> = (0..those.those.len()).filter(fits).collect();
        if !some.is_empty() {
            items.push(Item::Title(title));
            items.extend(some.into_iter().map(|place| Item::Delivery(section, place)));
        }
    }
    items
}

/// Whether what is wanted, which is in lower case, is in one of these.
fn contains(wanted: &str, texts: &[Option<&str>]) -> bool {
    wanted.is_empty() || texts.iter().flatten().any(|text| text.to_lowercase().contains(wanted))
}
