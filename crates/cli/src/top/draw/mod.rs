//! Draws the model. [`fit`] brings the model's cursors to what can be seen on a screen of this size; [`draw`] changes nothing.
//!
//! ```text
//!   tabs      1 Now  2 Feed  ...                               127.0.0.1:9900  03:02:11
//!   banner    only while the stream is gone
//!   head      the headline, and what else a view says before its table
//!   titles    of the table's columns
//!   rows      only those that can be seen are made
//!   foot      the keys; the filter; what was just done
//! ```
//!
//! `now` and `rows` make the views, `pages` and `endpoint` what is opened on top of them, `dialog` what stands over everything.
//! `ink`, `table` and `chart` are the means.

mod chart;
mod dialog;
mod endpoint;
pub(crate) mod ink;
mod now;
pub(crate) mod once;
mod pages;
mod rows;
mod table;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;

use super::model::headline::headline;
use super::model::known::Link;
use super::model::list::Item;
use super::model::page::{Page, What};
use super::model::{Model, View};
use super::words::{count, of, seconds, span};
use ink::{Slot, Text, Tone, fold, plain, put, text};
use table::Column;

/// A line of a page, and what it leads to.
#[derive(Clone, Debug, Default)]
pub(crate) struct DocLine {
    pub(crate) text: Text,
    pub(crate) link: Option<What>,
}

/// A list has at least so many rows, whatever stands above it.
const LEAST_ROWS: u16 = 3;

/// Where everything goes.
struct Areas {
    banner: Option<Rect>,
    head: Rect,
    titles: Rect,
    rows: Rect,
    foot: Rect,
}

/// Brings the model's cursors to what can be seen.
pub(crate) fn fit(model: &mut Model, area: Rect) {
    let height = areas(model, area, &head(model, area.width)).rows.height;
    model.settle(usize::from(height));
    let height = page_area(model, area).height;
    if let Some(page) = model.pages.last() {
        let doc = doc(model, page, usize::from(area.width));
        let links = doc.iter().enumerate();
        let links = links.filter_map(|(place, line)| Some((place, line.link.clone()?))).collect();
        if let Some(page) = model.pages.last_mut() {
            page.settle(doc.len(), links, usize::from(height));
        }
    }
}

/// Draws everything.
pub(crate) fn draw(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    if area.is_empty() {
        return;
    }
    tabs(model, buffer, area);
    let head = head(model, area.width);
    let areas = areas(model, area, &head);
    if let Some(banner) = areas.banner {
        draw_banner(model, buffer, banner);
    }
    foot(model, buffer, areas.foot);
    if let Some(page) = model.pages.last() {
        draw_page(model, page, buffer, page_area(model, area));
    } else {
        lines(model, buffer, areas.head, &head);
        draw_list(model, buffer, &areas);
    }
    if let Some(dialog) = &model.dialog {
        dialog::draw(model, dialog, buffer, area);
    }
}

fn areas(model: &Model, area: Rect, head: &[Text]) -> Areas {
    let mut y = area.y + 1;
    let bottom = area.bottom();
    let mut take = |height: u16| {
        let height = height.min(bottom.saturating_sub(y));
        let taken = Rect { y, height, ..area };
        y += height;
        taken
    };
    let banner = matches!(model.known.link, Link::Lost { .. }).then(|| take(1));
    let above = 3 + LEAST_ROWS + u16::from(banner.is_some());
    let head = u16::try_from(head.len()).unwrap_or(u16::MAX);
    let head = take(head.min(area.height.saturating_sub(above)));
    let titles = take(u16::from(!columns(model).is_empty()));
    let rows = take(bottom.saturating_sub(titles.bottom() + 1));
    let foot = Rect { y: bottom.saturating_sub(1).max(area.y), height: 1, ..area };
    Areas { banner, head, titles, rows, foot }
}

/// All between the tabs (and the banner) and the foot.
fn page_area(model: &Model, area: Rect) -> Rect {
    let above = 1 + u16::from(matches!(model.known.link, Link::Lost { .. }));
    let y = (area.y + above).min(area.bottom());
    Rect { y, height: area.bottom().saturating_sub(y + 1), ..area }
}

fn tabs(model: &Model, buffer: &mut Buffer, area: Rect) {
    let mut x = area.x;
    // Where there is little room, the other views are their numbers.
    let named: usize = View::ALL.iter().map(|view| view.name().len() + 4).sum();
    let is_narrow = usize::from(area.width) < named;
    for (place, view) in View::ALL.into_iter().enumerate() {
        let is_here = view == model.view;
        let name = if is_narrow && !is_here { "" } else { view.name() };
        let label = format!(" {} {name}", place + 1);
        let label = format!("{} ", label.trim_end());
        let width = u16::try_from(label.len()).unwrap_or(u16::MAX);
        if x + width > area.right() {
            break;
        }
        let tone = if is_here { Tone::Strong } else { Tone::Dim };
        put(
            buffer,
            Slot { x, y: area.y, width, is_right: false },
            &text(tone, label),
            &model.paper,
        );
        if is_here {
            buffer.set_style(Rect { x, y: area.y, width, height: 1 }, Modifier::REVERSED);
        }
        x += width;
    }
    let time = if model.known.hello.is_some() { seconds(model.now()) } else { String::new() };
    let whole = format!("{}  {time} UTC", model.address);
    let room = area.right().saturating_sub(x + 1);
    let shown = [whole, format!("{time} UTC")];
    if let Some(shown) = shown.iter().find(|shown| shown.len() <= usize::from(room)) {
        let slot = Slot { x: x + 1, y: area.y, width: room, is_right: true };
        put(buffer, slot, &text(Tone::Dim, shown), &model.paper);
    }
}

/// The stream is gone: what is shown is old.
fn draw_banner(model: &Model, buffer: &mut Buffer, area: Rect) {
    let Link::Lost { since, why } = &model.known.link else { return };
    let gone = span(model.at.saturating_sub(*since));
    let shown = match model.known.picture {
        Some(_) => "; what is shown is the last that was told",
        None => "",
    };
    let words = format!(" disconnected since {gone}{shown}: {why} ");
    lines(model, buffer, area, &[text(Tone::Bad, words)]);
    buffer.set_style(area, Modifier::REVERSED);
}

fn lines(model: &Model, buffer: &mut Buffer, area: Rect, lines: &[Text]) {
    for (y, line) in (area.y..area.bottom()).zip(lines) {
        let slot = Slot { x: area.x, y, width: area.width, is_right: false };
        put(buffer, slot, line, &model.paper);
    }
}

/// What a view says before its table.
fn head(model: &Model, width: u16) -> Vec<Text> {
    let columns = usize::from(width);
    if model.view == View::Now {
        return now::head(model, columns);
    }
    let headline = headline(&model.known, model.now());
    let sign = ink::sign(headline.kind, &model.paper);
    let told = text(headline.kind.into(), format!("{sign} {}", headline.text));
    let mut lines = vec![told];
    lines.extend(about(model).into_iter().flat_map(|line| fold(&line, columns, 0)));
    lines.push(Text::new());
    lines
}

/// A line about the view.
fn about(model: &Model) -> Option<Text> {
    let line = match model.view {
        View::Now => return None,
        View::Feed => return Some(rows::about_feed(model)),
        View::Timeline => "The last hour: calls a second, and how each endpoint was.".to_owned(),
        View::Incidents => {
            "Consecutive breaks of one cause at one endpoint; the counts are exact.".to_owned()
        }
        View::Outbox => return Some(rows::about_outbox(model)),
        View::Connections => {
            let top = model.known.picture.as_ref().map(|picture| &picture.top.says);
            let own = top.and_then(|top| top.connections.as_ref());
            let own = own.map_or_else(String::new, |own| {
                let (open, parked) = (count(own.open), count(own.parked));
                format!(
                    "{open} of applications are open, {parked} of them quiet, of at most {}. ",
                    count(own.limit)
                )
            });
            format!("{own}Below are those to the upstreams.")
        }
    };
    Some(text(Tone::Dim, line))
}

fn columns(model: &Model) -> &'static [Column] {
    match model.view {
        View::Now => now::COLUMNS,
        View::Timeline => &[],
        View::Feed => rows::FEED,
        View::Incidents => rows::INCIDENTS,
        View::Outbox => rows::OUTBOX,
        View::Connections => rows::CONNECTIONS,
    }
}

fn draw_list(model: &Model, buffer: &mut Buffer, areas: &Areas) {
    let (paper, columns) = (&model.paper, columns(model));
    if areas.titles.height > 0 {
        table::head(buffer, areas.titles, columns, paper);
    }
    if model.items.is_empty() {
        let words = fold(&text(Tone::Dim, empty(model)), usize::from(areas.rows.width), 0);
        return lines(model, buffer, areas.rows, &words);
    }
    let list = model.list();
    let shown = model.items.iter().enumerate().skip(list.top);
    for (y, (place, item)) in (areas.rows.y..areas.rows.bottom()).zip(shown) {
        let area = Rect { y, height: 1, ..areas.rows };
        draw_item(model, *item, buffer, area, columns);
        if place == list.index {
            table::mark(buffer, area);
        }
    }
}

fn draw_item(model: &Model, item: Item, buffer: &mut Buffer, area: Rect, columns: &[Column]) {
    let cells = match item {
        Item::Title(title) => {
            return lines(model, buffer, area, &[text(Tone::Strong, title)]);
        }
        Item::Change(row) => {
            let line = rows::change(row, |place| model.known.changes.get(place), model);
            return lines(model, buffer, area, &[line]);
        }
        Item::Upstream(place) | Item::Endpoint(place, _) if model.view == View::Timeline => {
            let number = if let Item::Endpoint(_, number) = item { Some(number) } else { None };
            let line = rows::timeline(model, place, number, usize::from(area.width));
            return lines(model, buffer, area, &[line]);
        }
        Item::Upstream(place) => {
            let line = now::upstream(model, place);
            return lines(model, buffer, area, &[line]);
        }
        Item::Endpoint(place, number) => now::endpoint(model, place, number),
        Item::Call(place) => rows::call(model, place),
        Item::Incident(place) => rows::incident(model, place),
        Item::Lane(place) => rows::lane(model, place),
        Item::Delivery(section, place) => rows::delivery(model, section, place),
        Item::Connection(place) => rows::connection(model, place),
    };
    table::row(buffer, area, columns, &cells, &model.paper);
}

/// What is said where there is nothing to list.
fn empty(model: &Model) -> String {
    if !model.filter().is_empty() {
        return "Nothing fits the filter.".to_owned();
    }
    let failed = |why: &Option<String>| why.clone().unwrap_or_else(|| "Loading.".to_owned());
    match model.view {
        View::Now | View::Timeline if model.known.picture.is_none() => {
            "Waiting for the first news."
        }
        View::Now | View::Timeline if model.only_unwell => "Every endpoint is well.",
        View::Now | View::Timeline => "There is no upstream.",
        View::Feed => "Nothing broke since this was opened.",
        View::Incidents => "No incident is kept.",
        View::Outbox if !has_outbox(model) => "There is no outbox: writes aren't stored.",
        View::Outbox if model.stored.value.is_none() => return failed(&model.stored.failed),
        View::Outbox => "No stored write waits, is stopped or dead.",
        View::Connections if model.connections.value.is_none() => {
            return failed(&model.connections.failed);
        }
        View::Connections => "No connection is open.",
    }
    .to_owned()
}

pub(crate) fn has_outbox(model: &Model) -> bool {
    let top = model.known.picture.as_ref().map(|picture| &picture.top.says);
    top.is_none_or(|top| top.outbox.is_some())
}

fn foot(model: &Model, buffer: &mut Buffer, area: Rect) {
    let line = if model.is_typing {
        vec![(Tone::Strong, "filter: ".to_owned()), (Tone::Plain, format!("{}_", model.filter()))]
    } else if let Some((_, kind, words)) = &model.notice {
        text((*kind).into(), words)
    } else {
        keys(model)
    };
    lines(model, buffer, area, &[line]);
}

/// The keys that matter here.
fn keys(model: &Model) -> Text {
    let mut keys: Vec<(&str, String)> = Vec::new();
    let mut key = |key, does: &str| keys.push((key, does.to_owned()));
    if let Some(page) = model.pages.last() {
        key("Esc", "back");
        if page.target().is_some() {
            key("Enter", "open");
        }
        if matches!(page.what, What::Endpoint { .. } | What::Delivery(_)) {
            key("a", "act");
        }
    } else {
        key("1-6", "views");
        key("Enter", "open");
        match model.view {
            View::Now => {
                key("a", "act");
                key("w", if model.only_unwell { "all" } else { "only what isn't well" });
            }
            View::Feed => key("p", if model.paused.is_some() { "go on" } else { "pause" }),
            View::Outbox => key("a", "act"),
            View::Timeline | View::Incidents | View::Connections => {}
        }
        match model.filter() {
            "" => key("/", "filter"),
            filter => key("Esc", &format!("all, not only \"{filter}\"")),
        }
    }
    key("?", "help");
    key("q", "quit");
    let piece = |(key, does): (&str, String)| {
        [(Tone::Strong, key.to_owned()), (Tone::Dim, format!(" {does}  "))]
    };
    keys.into_iter().flat_map(piece).collect()
}

fn doc(model: &Model, page: &Page, columns: usize) -> Vec<DocLine> {
    match &page.what {
        What::Endpoint { upstream, endpoint } => {
            endpoint::doc(model, page, (upstream, endpoint), columns)
        }
        What::Call(_) | What::Incident(_) | What::Delivery(_) => pages::doc(model, page, columns),
    }
}

fn draw_page(model: &Model, page: &Page, buffer: &mut Buffer, area: Rect) {
    let doc = doc(model, page, usize::from(area.width));
    let shown = doc.iter().enumerate().skip(page.top);
    for (y, (place, line)) in (area.y..area.bottom()).zip(shown) {
        let area = Rect { y, height: 1, ..area };
        lines(model, buffer, area, std::slice::from_ref(&line.text));
        if page.link == Some(place) {
            table::mark(buffer, area);
        }
    }
    if doc.len() > page.top + usize::from(area.height) && area.height > 0 {
        let more = doc.len() - page.top - usize::from(area.height);
        let words = format!(" {} below ", of(more as u64, "more line", "more lines"));
        let width = u16::try_from(words.len()).unwrap_or(u16::MAX).min(area.width);
        let (x, y) = (area.right() - width, area.bottom() - 1);
        put(buffer, Slot { x, y, width, is_right: true }, &text(Tone::Dim, words), &model.paper);
    }
}

/// The title of a section of stored writes or of a page.
fn section(title: &str) -> DocLine {
    DocLine { text: text(Tone::Strong, title), link: None }
}
