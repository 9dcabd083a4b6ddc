//! Takes in what applications have put into a table of the outbox's database, by the current generation's routes.

use std::sync::Arc;
use std::time::Duration;

use mainstay_outbox::store::{StoreError, TakenIn};
use mainstay_outbox::{Dispatching, Store};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::courier::Courier;
use crate::forward::of_row;

/// Works until nothing more is to be offered.
pub(super) async fn take_in(
    store: Store,
    courier: Arc<Courier>,
    table: String,
    mut orders: watch::Receiver<Dispatching>,
) {
    let mut changes = store.changes();
    let mut trouble = None;
    while *orders.borrow() == Dispatching::Goes {
        changes.mark_unchanged();
        let taken = some(&store, &courier, &table).await;
        tell(&taken, &mut trouble);
        if matches!(taken, Ok(TakenIn { more: true, .. })) {
            continue;
        }
        sleep(PAUSE).await;
        tokio::select! {
            // The store itself looks every second.
            _ = timeout(LOOK_AT_LEAST, changes.changed()) => {}
            changed = orders.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

async fn some(store: &Store, courier: &Courier, table: &str) -> Result<TakenIn, StoreError> {
    let Some(compiled) = courier.compiled() else { return Err(StoreError::Closed) };
    let now = store.now();
    store.take_in(table, move |row| of_row(&compiled.table, row, now)).await
}

/// Says what is in the way, once for each time that it changes.
fn tell(taken: &Result<TakenIn, StoreError>, before: &mut Option<String>) {
    let now = match taken {
        Ok(TakenIn { full: None, .. }) => None,
        Ok(TakenIn { full: Some(full), .. }) => Some(StoreError::Full(*full).to_string()),
        Err(error) => Some(error.to_string()),
    };
    if now != *before {
        match &now {
            Some(error) => tracing::error!(error, "writes of outbox.intake aren't taken in"),
            None => tracing::info!("writes of outbox.intake are taken in again"),
        }
        *before = now;
    }
}

/// Each commit of this store is a change: whoever looks after each of them would only look.
const PAUSE: Duration = Duration::from_millis(20);

const LOOK_AT_LEAST: Duration = Duration::from_secs(2);
