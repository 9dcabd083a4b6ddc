//! What a courier works on, and how it begins.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_config::settings::Outbox as Settings;
use mainstay_outbox::store::{Access, Keep, OpenError};
use mainstay_outbox::{Dispatching, Keys, Store};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::intake::Table;
use super::ways::{Troubles, Ways};
use super::{Courier, CourierError, Inlet, Work};
use crate::Mainstay;
use crate::outbox::SqliteOutbox;
use crate::outbox::table::quoted;
use crate::stored::{self, Unopened};

/// Says what a [`Courier`] works on before it begins.
#[must_use = "a courier that isn't started delivers nothing"]
pub struct CourierBuilder {
    client: Mainstay,
    settings: Settings,
    file: Option<(PathBuf, SqliteOutbox)>,
}

impl CourierBuilder {
    pub(super) fn of(client: &Mainstay) -> Self {
        Self { client: client.clone(), settings: client.outbox_settings().clone(), file: None }
    }

    /// The file of the store, which is made if it isn't there. One courier, or one proxy, has it at a time; [`CourierBuilder::start`] waits some seconds
    /// for one that was just dropped. Default: what the policy
    /// file's `[outbox]` says. `mainstay outbox` works on it, beside the running program too.
    pub fn store(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.path = path.into();
        (self.settings.postgres, self.settings.postgres_file, self.settings.postgres_env) =
            Default::default();
        self
    }

    /// The PostgreSQL database of the store, by a URL like `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, in place of a file. Its tables are made in the
    /// schema `mainstay` if they aren't there. Any number of couriers and proxies may have it; what one of them has on its way when it dies is taken over
    /// after half a minute. A database that can't be reached is waited for ([`Courier::trouble`]). The policy file's `[outbox]` can say all of it as well, with another schema and lease.
    ///
    /// Any server but one on this host is verified, unless the URL says another `sslmode`.
    pub fn postgres(mut self, url: impl Into<String>) -> Self {
        self.settings.postgres = Some(url.into());
        self
    }

    /// The program's own SQLite file, and the table in it from which deliveries are taken in: into a store that is a file.
    pub fn intake(self, file: impl Into<PathBuf>, table: &SqliteOutbox) -> Self {
        Self { file: Some((file.into(), table.clone())), ..self }
    }

    /// The table in the store's own PostgreSQL database from which deliveries are taken in, `NAME` or `SCHEMA.NAME`; without a schema it is in `public`.
    /// `mainstay outbox init --print-sql` prints how it is made. Default: the policy file's `outbox.intake`, if it says one.
    pub fn intake_table(mut self, name: impl Into<String>) -> Self {
        self.settings.intake = Some(name.into());
        self
    }

    /// Opens the store and begins, on the tokio runtime that this is called on.
    ///
    /// # Errors
    ///
    /// [`CourierError`]: no route stores anything, a file can't be opened, a URL isn't one, or table and store aren't of one kind.
    pub async fn start(self) -> Result<Courier, CourierError> {
        let Self { client, settings, file } = self;
        let runtime = Handle::try_current()
            .map_err(|error| CourierError::of("there is no runtime", error))?;
        if !client.stored_ways().any_stores() {
            return Err(CourierError::bare("no route of the client has `outbox`"));
        }
        let opening = settings.clone();
        let opened = runtime.spawn_blocking(move || {
            let inlet = inlet(&opening, file)?;
            Ok::<_, CourierError>((open(&opening)?, inlet))
        });
        let opened = opened.await.map_err(|error| CourierError::of("it was cut", error))?;
        let (store, inlet) = opened?;
        let keep = Keep { delivered: settings.keep_delivered, dead: settings.keep_dead };
        let (orders, wake) = (watch::Sender::new(Dispatching::Goes), Arc::new(Notify::new()));
        let troubles = Arc::new(Troubles::default());
        let ways = Arc::new(Ways {
            client: client.clone(),
            store: store.clone(),
            in_flight: settings.in_flight,
            troubles: Arc::clone(&troubles),
        });
        let work = Work { ways, inlet, wake: Arc::clone(&wake), keep };
        let task = Some(runtime.spawn(work.run(orders.subscribe())));
        Ok(Courier {
            #[cfg(feature = "metrics")]
            client,
            store,
            orders,
            wake,
            troubles,
            task,
        })
    }
}

/// Where deliveries are taken in from.
fn inlet(
    settings: &Settings,
    file: Option<(PathBuf, SqliteOutbox)>,
) -> Result<Inlet, CourierError> {
    match (file, &settings.intake, settings.is_shared()) {
        (Some(_), _, true) => Err(CourierError::bare(
            "the table is in a SQLite file, and the store isn't: a file's rows go into a store that is a file",
        )),
        (None, Some(_), false) => Err(CourierError::bare(
            "the table is in a database, and the store isn't: say it by `postgres`",
        )),
        (Some((file, table)), _, false) => Table::open(&file, &table)
            .map(Inlet::Sqlite)
            .map_err(|error| CourierError::of("the table can't be read", error)),
        (None, Some(name), true) => quoted(name)
            .map(|_| Inlet::Postgres(name.as_str().into()))
            .map_err(|error| CourierError::of("the table can't be read", error)),
        (None, None, _) => Ok(Inlet::Nowhere),
    }
}

/// Opens the store. The courier before it may be about to let go of it: that one's calls are cut when it is dropped, and its task ends a moment
/// later.
fn open(settings: &Settings) -> Result<Store, CourierError> {
    let began = Instant::now();
    loop {
        let keys = Keys::read(settings.keys.iter().map(Path::new))
            .map_err(|error| CourierError::of("a key can't be used", error))?;
        match stored::open(settings, keys, Access::Serve) {
            Err(Unopened::Store(OpenError::InUse(_))) if began.elapsed() < LET_GO_WITHIN => {
                std::thread::sleep(ASK_AGAIN_AFTER);
            }
            opened => {
                let what = "the store can't be opened";
                return opened.map_err(|error| CourierError::of(what, error));
            }
        }
    }
}

impl fmt::Debug for CourierBuilder {
    /// Without the database's URL, in which a password may be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, settings, file } = self;
        let mut shown = f.debug_struct("CourierBuilder");
        shown.field("client", client).field("path", &settings.path);
        shown.field("is_postgres", &settings.is_shared()).field("intake", &settings.intake);
        shown.field("file", &file.as_ref().map(|(file, _)| file)).finish_non_exhaustive()
    }
}

/// A runtime that is busy ends a task within milliseconds; another process that has the store keeps it.
const LET_GO_WITHIN: Duration = Duration::from_secs(3);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_and_store_are_of_one_kind_and_a_password_is_not_shown() {
        let builder = || CourierBuilder::of(&Mainstay::new());
        let table = SqliteOutbox::new("t").unwrap();
        let of = |builder: CourierBuilder| {
            let CourierBuilder { settings, file, .. } = builder;
            inlet(&settings, file).map(|_| ()).map_err(|error| error.full())
        };
        let check = |builder: CourierBuilder, wanted: &str| {
            let why = of(builder).unwrap_err();
            assert!(why.starts_with(wanted), "{why}");
        };
        let url = "postgresql://shop:hush@db.example/shop";
        check(builder().postgres(url).intake("shop.db", &table), "the table is in a SQLite file");
        check(builder().intake_table("t"), "the table is in a database");
        check(
            builder().postgres(url).store("a.db").intake_table("t"),
            "the table is in a database",
        );
        check(builder().postgres(url).intake_table("a.b.c"), "the table can't be read");
        of(builder().postgres(url).intake_table("shop.t")).unwrap();
        assert!(!format!("{:?}", builder().postgres(url)).contains("hush"));
    }
}
