//! What is stored, for whoever asks.

use tokio::time::{Instant, timeout_at};
use tokio_postgres::types::ToSql;

use super::Core;
use super::row::{COLUMNS, Row, select, text};
use super::write::READ_FOR;
use crate::seal::Part;
use crate::store::content::{part, wall};
use crate::store::{Filter, Page, StoreError, Totals};
use crate::{DeliveryId, Detail, State, Summary};

impl Core {
    pub(super) async fn summary(&self, id: DeliveryId) -> Result<Summary, StoreError> {
        let rows = self.query(select!("FROM delivery d WHERE d.id = $1"), &[&id]).await?;
        Ok(Row::read(rows.first().ok_or(StoreError::Unknown)?)?.summary())
    }

    pub(super) async fn detail(&self, id: DeliveryId) -> Result<Detail, StoreError> {
        let rows = self
            .query(
                select!(
                    ", c.head, c.body, c.answer_head, c.answer_body FROM delivery d LEFT JOIN content c USING (id) WHERE d.id = $1"
                ),
                &[&id],
            )
            .await?;
        let found = rows.first().ok_or(StoreError::Unknown)?;
        let row = Row::read(found)?;
        let cell = |at: usize| found.try_get::<_, Option<Vec<u8>>>(COLUMNS + at);
        let (keys, history) = (&self.keys, row.history.clone());
        Ok(Detail {
            summary: row.summary(),
            history,
            request: part(keys, id, (Part::Head, cell(0)?), (Part::Body, cell(1)?)),
            answer: part(keys, id, (Part::AnswerHead, cell(2)?), (Part::AnswerBody, cell(3)?)),
        })
    }

    /// Oldest first. With several states each is read by itself, in the order of its index.
    pub(super) async fn list(
        &self,
        filter: Filter,
        page: Page,
    ) -> Result<Vec<Summary>, StoreError> {
        let mut all = Vec::new();
        let states: Vec<Option<&str>> = match filter.states.as_slice() {
            [] => vec![None],
            states => states.iter().map(|state| Some(*state)).collect(),
        };
        for state in states {
            all.append(&mut self.list_of(&filter, state, page).await?);
        }
        all.sort_by_key(|one| one.seq);
        all.dedup_by_key(|one| one.seq);
        all.truncate(page.most as usize);
        Ok(all)
    }

    async fn list_of(
        &self,
        filter: &Filter,
        state: Option<&str>,
        page: Page,
    ) -> Result<Vec<Summary>, StoreError> {
        let number = |name: &str| State::NAMES.iter().position(|known| *known == name);
        let state = state.and_then(number).and_then(|at| i16::try_from(at).ok());
        let lane = filter.lane.clone().map(text);
        let (after, most) = (page.after.unwrap_or(0), i64::from(page.most));
        let mut sql = String::from(select!("FROM delivery d WHERE d.seq > $1"));
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&after];
        let mut is = |what: &str, value| {
            values.push(value);
            sql.push_str(&format!(" AND {} ${}", what, values.len()));
        };
        if let Some(state) = &state {
            is("d.state =", state);
        }
        if let Some(reason) = &filter.reason {
            is("d.reason =", reason);
        }
        if let Some(upstream) = &filter.upstream {
            is("d.upstream =", upstream);
        }
        if let Some(lane) = &lane {
            is("d.lane =", lane);
        }
        if lane.is_some() && state.is_some_and(|state| state < 2) {
            // What the index of open lanes says of itself: a value that comes later proves nothing of it.
            sql.push_str(" AND d.lane IS NOT NULL AND d.state < 2");
        }
        if !filter.ids.is_empty() {
            values.push(&filter.ids);
            sql.push_str(&format!(" AND d.id = ANY(${})", values.len()));
        }
        values.push(&most);
        sql.push_str(&format!(" ORDER BY d.seq LIMIT ${}", values.len()));
        let until = Instant::now() + READ_FOR;
        let link = self.pool.link(until).await?;
        let rows = match timeout_at(until, link.query_once(&sql, &values)).await {
            Ok(rows) => rows?,
            Err(_) => return Err(StoreError::Database("no answer in time".into())),
        };
        link.keep();
        rows.iter().map(|row| Ok(Row::read(row)?.summary())).collect()
    }

    pub(super) async fn totals(&self) -> Result<Vec<Totals>, StoreError> {
        let rows = self
            .query(
                "SELECT t.upstream, t.state, t.items, t.bytes, \
                     (SELECT d.accepted_at FROM delivery d WHERE d.upstream = t.upstream AND d.state = t.state \
                      ORDER BY d.seq LIMIT 1) \
                 FROM (SELECT upstream, state, sum(items)::bigint AS items, sum(bytes)::bigint AS bytes FROM totals \
                       GROUP BY upstream, state HAVING sum(items) > 0) AS t ORDER BY t.upstream, t.state",
                &[],
            )
            .await?;
        let total = |row: &tokio_postgres::Row| {
            let state = usize::try_from(row.try_get::<_, i16>(1)?).unwrap_or(usize::MAX);
            let number =
                |at| row.try_get::<_, i64>(at).map(|number| u64::try_from(number).unwrap_or(0));
            Ok(Totals {
                upstream: row.try_get(0)?,
                state: State::NAMES.get(state).copied().unwrap_or("unknown"),
                items: number(2)?,
                bytes: number(3)?,
                oldest: row.try_get::<_, Option<i64>>(4)?.map(|at| wall(at).0),
            })
        };
        rows.iter().map(total).collect()
    }
}
