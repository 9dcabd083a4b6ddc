//! What workers tell each other, and what each looks after by itself.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::Chance;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::AsyncMessage;

use super::Core;
use super::link::{CONNECT_FOR, connect, drive, quoted};
use crate::DeliveryId;
use crate::store::{Access, StoreError};

/// What is to be told to the other workers.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    waiting: Mutex<Waiting>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    is_news: bool,
    ids: Vec<DeliveryId>,
}

impl Core {
    /// Something was written; these deliveries stand differently since.
    pub(super) fn news(&self, ids: &[DeliveryId]) {
        if !ids.is_empty() {
            self.shared.tell(Some(ids));
        }
        self.shared.changes.send_modify(|count| *count += 1);
        let mut waiting = self.outgoing.waiting.lock();
        waiting.is_news = true;
        waiting.ids.extend_from_slice(ids);
        self.outgoing.bell.notify_one();
    }

    /// All that a proxy's store does by itself.
    pub(super) async fn serve(self: &Arc<Self>) {
        // The tables, where the database couldn't be reached at the start.
        while !self.is_ready() {
            match self.make_ready(Access::Serve).await {
                Ok(_) => *self.shared.damage.lock() = None,
                Err(error) => {
                    // Nothing is stored as long as it stays so, and what is wrong is told: somebody may have to change something.
                    if self.pool.trouble().is_none() {
                        *self.shared.damage.lock() = Some(error.to_string());
                    }
                    sleep(LOOK_EVERY).await;
                }
            }
        }
        tokio::join!(self.speak(), self.hear(), self.keep(), self.tick());
    }

    /// What a visitor's does.
    pub(super) async fn visit(self: &Arc<Self>) {
        self.speak().await;
    }

    /// Tells others what has gathered.
    async fn speak(&self) {
        loop {
            self.outgoing.bell.notified().await;
            sleep(GATHER_FOR).await;
            self.tell_others().await;
        }
    }

    /// What was written last is told too, if that doesn't take long.
    pub(super) async fn last_words(&self) {
        // Who doesn't hear it looks within a second.
        let _ = timeout(LAST_WORDS_FOR, self.tell_others()).await;
    }

    async fn tell_others(&self) {
        let waiting = std::mem::take(&mut *self.outgoing.waiting.lock());
        if !waiting.is_news {
            return;
        }
        let mut said = Vec::new();
        for ids in waiting.ids.chunks(IDS_MOST) {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            said.push(format!("{} {}", self.worker, ids.join(" ")));
        }
        if said.is_empty() {
            said.push(self.worker.to_string());
        }
        let Ok(link) = self.pool.link(Instant::now() + CONNECT_FOR).await else { return };
        // Nobody waits for that to be on the disk.
        let told = link
            .query(
                "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, word) FROM unnest($2::text[]) AS word",
                &[&self.pool.schema, &said],
            )
            .await;
        if told.is_ok() {
            link.keep();
        }
    }

    /// Hears what others have written, on a connection of its own.
    async fn hear(self: &Arc<Self>) {
        loop {
            // As long as it takes: without it there is still the look.
            if self.pool.turn(Instant::now() + CONNECT_FOR).await.is_err() {
                sleep(LOOK_EVERY).await;
                continue;
            }
            let asked = Instant::now();
            match connect(&self.pool.address, &self.pool.tls, asked + CONNECT_FOR).await {
                Ok((client, driver)) => {
                    let core = Arc::clone(self);
                    let mut driving = tokio::spawn(drive(driver, move |message| {
                        if let AsyncMessage::Notification(heard) = message {
                            core.heard(heard.payload());
                        }
                    }));
                    let listen = format!("LISTEN {}", quoted(&self.pool.schema));
                    if let Ok(Ok(())) = timeout(CONNECT_FOR, client.batch_execute(&listen)).await {
                        self.pool.reached();
                        // What was said before isn't heard any more.
                        self.look();
                        let _ = (&mut driving).await;
                    }
                    driving.abort();
                }
                Err(error) => self.pool.failed(asked, error),
            }
            let seed = self.seed();
            sleep(Chance::from_seed(seed).up_to(LOOK_EVERY)).await;
        }
    }

    fn heard(&self, said: &str) {
        let mut words = said.split(' ');
        if words.next() == Some(self.worker.to_string().as_str()) {
            return;
        }
        let ids: Vec<DeliveryId> = words.filter_map(|word| word.parse().ok()).collect();
        if !ids.is_empty() {
            self.shared.tell(Some(&ids));
        }
        self.look();
    }

    /// Whoever waits for any change has a look.
    fn look(&self) {
        self.shared.changes.send_modify(|count| *count += 1);
    }

    /// Renews leases: by itself, so that nothing else that takes long costs them.
    async fn keep(&self) {
        loop {
            sleep(LOOK_EVERY.min(self.lease / 4)).await;
            // Where it fails a lease ends, and whoever has it sees that by its own clock.
            let _ = self.renew().await;
        }
    }

    /// Ends others' leases that are over, learns the time, and has everybody look: a notification may have been lost.
    async fn tick(&self) {
        loop {
            sleep(LOOK_EVERY).await;
            // Each says what is wrong where somebody waits for it; here it is tried again soon.
            let _ = self.look_at_the_clock().await;
            let _ = self.expire().await;
            let _ = self.look_for_ends().await;
            self.look();
        }
    }

    /// Tells those who wait for a delivery that has come to its end.
    async fn look_for_ends(&self) -> Result<(), StoreError> {
        let waiting: Vec<DeliveryId> = self.shared.waiting.lock().keys().copied().collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let sql = "SELECT w.id FROM unnest($1::uuid[]) AS w (id) LEFT JOIN delivery d USING (id) WHERE d.state IS DISTINCT FROM 0";
        let rows = self.query(sql, &[&waiting]).await?;
        let ids: Vec<DeliveryId> =
            rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        self.shared.tell(Some(&ids));
        Ok(())
    }
}

/// What is written within so long is told together.
const GATHER_FOR: Duration = Duration::from_millis(5);

/// A notification has less than 8,000 bytes, an id 33 with its space.
const IDS_MOST: usize = 200;

/// So long it takes at most until what another has written is noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const LAST_WORDS_FOR: Duration = Duration::from_millis(500);
