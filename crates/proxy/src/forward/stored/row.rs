//! A row of the table in which applications put writes within their own transactions: by the routes it becomes a delivery.

use http::{HeaderValue, header};
use mainstay::stored::{IDEMPOTENCY_KEY, Storable, bounded, request, stopped, without_port};
use mainstay_core::outbox::WallTime;
use mainstay_outbox::NewDelivery;
use mainstay_outbox::store::{Intake, IntakeRow};

use super::callback;
use crate::forward::hop;
use crate::route::Table;

/// What becomes of a row by these routes.
pub(crate) fn of_row(table: &Table, row: &IntakeRow, now: WallTime) -> Intake {
    match routed(table, row, now) {
        Some(new) => Intake::Goes(Box::new(new)),
        None => Intake::Stops(Box::new(stopped(row, now))),
    }
}

/// The delivery; `None` if it is no request, or no route that stores takes it.
fn routed(table: &Table, row: &IntakeRow, now: WallTime) -> Option<NewDelivery> {
    let mut head = request(row)?;
    hop::strip(&mut head.headers);
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = without_port(host.unwrap_or_default()).to_owned();
    let route = table.find(&head, &host).filter(|route| route.outbox.is_some())?;
    let stores = route.outbox.as_ref()?;
    let callback = callback::take_out(&mut head.headers, stores).ok()?;
    if let Some(key) = &row.key {
        let name = route.plan.idempotency_headers.first().cloned().unwrap_or(IDEMPOTENCY_KEY);
        head.headers.insert(name, HeaderValue::try_from(key).ok()?);
    }
    let it = Storable::new(row.id, (&route.plan, stores), head, row.body.clone(), now);
    let lane = row.lane.clone().and_then(bounded).or(it.lane.clone());
    // The application's transaction is what makes it one, and not its key.
    let it = Storable { callback, lane, scope: None, ..it };
    Some(it.delivery(None, now))
}
