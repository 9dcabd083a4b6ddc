//! What is stored, for whoever asks.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use super::row::{COLUMNS, Row};
use crate::seal::Part;
use crate::store::content::part;
use crate::store::{Filter, Page, StoreError, Totals};
use crate::{DeliveryId, Detail, Keys, State, Summary};

pub(super) fn summary(db: &Connection, id: DeliveryId) -> Result<Summary, StoreError> {
    Row::by_id(db, id)?.map(Row::summary).ok_or(StoreError::Unknown)
}

pub(super) fn list(
    db: &Connection,
    filter: &Filter,
    page: Page,
) -> Result<Vec<Summary>, StoreError> {
    Ok(rows(db, filter, page)?.into_iter().map(Row::summary).collect())
}

/// The rows, oldest first.
pub(super) fn rows(db: &Connection, filter: &Filter, page: Page) -> rusqlite::Result<Vec<Row>> {
    if filter.states.len() < 2 {
        return rows_of(db, filter, page);
    }
    // Each state for itself, in the order of its index: for several at once all of them would be sorted for each page.
    let mut all = Vec::new();
    for state in &filter.states {
        let filter = Filter { states: vec![state], ..filter.clone() };
        all.append(&mut rows_of(db, &filter, page)?);
    }
    all.sort_by_key(|row| row.seq);
    all.dedup_by_key(|row| row.seq);
    all.truncate(page.most as usize);
    Ok(all)
}

fn rows_of(db: &Connection, filter: &Filter, page: Page) -> rusqlite::Result<Vec<Row>> {
    let mut wheres = vec!["seq > ?".to_owned()];
    let mut values = vec![Value::Integer(page.after.unwrap_or(0))];
    let mut one_of = |column: &str, list: Vec<Value>| {
        if !list.is_empty() {
            wheres.push(format!("{column} IN ({})", vec!["?"; list.len()].join(", ")));
            values.extend(list);
        }
    };
    one_of("id", filter.ids.iter().map(|id| Value::Blob(id.as_bytes().to_vec())).collect());
    let number = |name: &&str| State::NAMES.iter().position(|known| known == name);
    let numbers = filter.states.iter().filter_map(number);
    one_of("state", numbers.map(|state| Value::Integer(state as i64)).collect());
    let text = |text: &Option<String>| text.iter().cloned().map(Value::Text).collect();
    one_of("reason", text(&filter.reason));
    one_of("upstream", text(&filter.upstream));
    one_of("lane", text(&filter.lane));
    let is_open = |state: &&str| matches!(*state, "waiting" | "stopped");
    let of_open_lane = filter.lane.is_some()
        && filter.upstream.is_some()
        && !filter.states.is_empty()
        && filter.states.iter().all(is_open);
    let index = match of_open_lane {
        // Else all that wait for the upstream are looked through.
        true => "INDEXED BY delivery_lane",
        false => "",
    };
    if of_open_lane {
        wheres.push("lane IS NOT NULL AND state < 2".to_owned());
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM delivery {index} WHERE {} ORDER BY seq LIMIT {}",
        wheres.join(" AND "),
        page.most
    );
    db.prepare_cached(&sql)?.query_map(params_from_iter(values), Row::read)?.collect()
}

pub(super) fn detail(db: &Connection, keys: &Keys, id: DeliveryId) -> Result<Detail, StoreError> {
    let row = Row::by_id(db, id)?.ok_or(StoreError::Unknown)?;
    let content = db
        .prepare_cached("SELECT head, body, answer_head, answer_body FROM content WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, Option<Vec<u8>>>(3)?])
        })
        .optional()?;
    let [head, body, answer_head, answer_body] = content.unwrap_or_default();
    let history = row.history.clone();
    Ok(Detail {
        summary: row.summary(),
        history,
        request: part(keys, id, (Part::Head, head), (Part::Body, body)),
        answer: part(keys, id, (Part::AnswerHead, answer_head), (Part::AnswerBody, answer_body)),
    })
}

pub(super) fn totals(db: &Connection) -> Result<Vec<Totals>, StoreError> {
    let mut totals = db
        .prepare_cached("SELECT upstream, state, items, bytes FROM totals WHERE items > 0")?
        .query_map([], |row| {
            let state: usize = row.get(1)?;
            Ok(Totals {
                upstream: row.get(0)?,
                state: State::NAMES.get(state).copied().unwrap_or("unknown"),
                items: row.get(2)?,
                bytes: row.get(3)?,
                oldest: None,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut first = db.prepare_cached(
        "SELECT accepted_at FROM delivery INDEXED BY delivery_upstream WHERE upstream = ?1 AND state = ?2 ORDER BY seq LIMIT 1",
    )?;
    for total in &mut totals {
        let state = State::NAMES.iter().position(|name| *name == total.state);
        total.oldest =
            first.query_row(params![total.upstream, state], |row| row.get(0)).optional()?;
    }
    Ok(totals)
}

/// The upstreams to which something waits to be delivered: those of the index that offers are read from, one step down the tree for
/// each.
pub(super) fn destinations(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut next = db.prepare_cached(
        "SELECT upstream FROM delivery INDEXED BY delivery_due WHERE ready = 1 AND state = 0 AND upstream > ?1 \
         ORDER BY upstream LIMIT 1",
    )?;
    // What no route took has none, and is offered all the same once a person has it tried again.
    let nowhere = db
        .prepare_cached("SELECT 1 FROM delivery INDEXED BY delivery_due WHERE ready = 1 AND state = 0 AND upstream = '' LIMIT 1")?
        .exists([])?;
    let mut all = if nowhere { vec![String::new()] } else { Vec::new() };
    while let Some(upstream) =
        next.query_row([all.last().map_or("", String::as_str)], |row| row.get(0)).optional()?
    {
        all.push(upstream);
    }
    Ok(all)
}

/// How many open deliveries a lane has.
pub(super) fn lane_items(db: &Connection, upstream: &str, lane: &str) -> Result<u64, StoreError> {
    let items = db
        .prepare_cached("SELECT items FROM lane WHERE upstream = ?1 AND lane = ?2")?
        .query_row([upstream, lane], |row| row.get(0))
        .optional()?;
    Ok(items.unwrap_or(0))
}
