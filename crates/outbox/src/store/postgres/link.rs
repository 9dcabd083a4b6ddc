//! One connection, and what is said to it first.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{
    AsyncMessage, Client, Connection, Row, SimpleQueryMessage, Socket, Statement,
};

use super::address::PostgresAddress;
use super::tls::{Stream, Tls};
use crate::store::{Full, StoreError};

/// A connection. Its statements are prepared once.
pub(super) struct Link {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
    /// When its server was started, in the server's words: another one may have begun to count transactions anew.
    pub(super) server: String,
}

/// Values of a statement.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Why a connection can't be had.
#[derive(Clone, Debug)]
pub(super) struct NoLink {
    pub(super) why: String,
    /// Whether the same will be answered as long as nobody changes something: a wrong password, no such database.
    pub(super) is_lasting: bool,
}

/// What drives a connection, and hears what nobody asked for.
pub(super) type Driver = Connection<Socket, Stream<Socket>>;

/// Connects, without telling a server anything yet. The driver has to be run.
pub(super) async fn connect(
    address: &PostgresAddress,
    tls: &Tls,
    until: Instant,
) -> Result<(Client, Driver), NoLink> {
    match timeout_at(until, address.config().connect(tls.clone())).await {
        Ok(Ok(connected)) => Ok(connected),
        Ok(Err(error)) => Err(NoLink::of(&error)),
        Err(_) => Err(NoLink { why: "no answer in time".into(), is_lasting: false }),
    }
}

impl Link {
    /// Makes a connection that works in `schema`.
    pub(super) async fn open(
        address: &PostgresAddress,
        tls: &Tls,
        schema: &str,
        until: Instant,
    ) -> Result<Self, NoLink> {
        let (client, driver) = connect(address, tls, until).await?;
        // It ends with the client, or with the connection: then the client knows.
        tokio::spawn(drive(driver, |_| {}));
        let set = async {
            client.batch_execute(&setting(schema)).await?;
            let told = client
                .query_one(
                    "SELECT pg_postmaster_start_time()::text, current_setting('server_version_num')::int",
                    &[],
                )
                .await?;
            Ok((told.try_get(0)?, told.try_get::<_, i32>(1)?))
        };
        let (server, version): (String, i32) = match timeout_at(until, set).await {
            Ok(set) => set.map_err(|error| NoLink::of(&error))?,
            Err(_) => return Err(NoLink { why: "no answer in time".into(), is_lasting: false }),
        };
        if version < SERVER_LEAST {
            let why =
                format!("the server is PostgreSQL {}; 13 or later is needed", version / 10_000);
            return Err(NoLink { why, is_lasting: true });
        }
        Ok(Self { client, statements: Mutex::default(), server })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn statement(&self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(known) = self.statements.lock().get(sql) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.lock().insert(sql, statement.clone());
        Ok(statement)
    }

    pub(super) async fn query(
        &self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let statement = self.statement(sql).await?;
        self.client.query(&statement, values).await
    }

    /// The first row, if there is one.
    pub(super) async fn first(
        &self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<Option<Row>, tokio_postgres::Error> {
        Ok(self.query(sql, values).await?.into_iter().next())
    }

    /// How many rows it concerned.
    pub(super) async fn execute(
        &self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<u64, tokio_postgres::Error> {
        let statement = self.statement(sql).await?;
        self.client.execute(&statement, values).await
    }

    /// A statement that is made for this once.
    pub(super) async fn query_once(
        &self,
        sql: &str,
        values: Values<'_>,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.client.query(sql, values).await
    }

    /// Several statements, in one go.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(sql).await
    }

    /// Begins a transaction. Its number.
    pub(super) async fn begin(&self) -> Result<String, tokio_postgres::Error> {
        let told = self.client.simple_query("BEGIN; SELECT pg_current_xact_id()::text").await?;
        let number = told.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok(number.unwrap_or_default())
    }
}

/// Runs a connection until it ends, and hands over what nobody asked for.
pub(super) async fn drive(mut driver: Driver, mut heard: impl FnMut(AsyncMessage)) {
    while let Some(Ok(message)) = std::future::poll_fn(|cx| driver.poll_message(cx)).await {
        heard(message);
    }
}

/// What a session is told first.
///
/// A worker that is frozen in the middle of a transaction must not hold others' lanes: the server ends it. Plans go by the
/// indexes, since a new table has no statistics. Who has switched off that commits are synced gets it back: 202 says that they are.
fn setting(schema: &str) -> String {
    let schema = quoted(schema);
    format!(
        "SET search_path = {schema}; SET default_transaction_isolation = 'read committed'; \
         SET lock_timeout = '4s'; SET statement_timeout = '15s'; SET idle_in_transaction_session_timeout = '5s'; \
         SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
         SET jit = off; SET enable_seqscan = off; SET plan_cache_mode = 'force_generic_plan'; \
         SET client_min_messages = 'warning'; \
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';"
    )
}

/// An identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl NoLink {
    fn of(error: &tokio_postgres::Error) -> Self {
        let lasting = |code: &SqlState| {
            // Wrong password, no such role, database or schema, no permission.
            ["28", "3D", "3F", "42"].iter().any(|class| code.code().starts_with(class))
        };
        Self { why: said(error), is_lasting: error.code().is_some_and(lasting) }
    }
}

/// What a server or the network said.
pub(super) fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(told) => format!("{} ({})", told.message(), told.code().code()),
        None => {
            let mut said = error.to_string();
            let mut cause = std::error::Error::source(error);
            while let Some(deeper) = cause {
                said = format!("{said}: {deeper}");
                cause = deeper.source();
            }
            said
        }
    }
}

/// Whether the same may well succeed in a moment: nothing of it was done, then.
pub(super) fn passes(error: &tokio_postgres::Error) -> bool {
    let Some(code) = error.code() else {
        return error.is_closed() || is_io(error);
    };
    let classes = ["08", "40", "57"];
    let codes = [SqlState::TOO_MANY_CONNECTIONS, SqlState::LOCK_NOT_AVAILABLE];
    classes.iter().any(|class| code.code().starts_with(class))
        || codes.contains(code)
        // The server ended a session whose worker was frozen.
        || code.code() == "25P03"
        // The same request was stored by another worker at this moment: it will be found.
        || error.as_db_error().and_then(|told| told.constraint()) == Some("delivery_scope")
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<std::io::Error>())
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(code) if *code == SqlState::DISK_FULL => Self::Full(Full::Disk),
            _ => Self::Database(said(&error)),
        }
    }
}

/// A connection may take so long.
pub(super) const CONNECT_FOR: Duration = Duration::from_secs(4);

/// `xid8` and `gen_random_uuid` came with 13.
const SERVER_LEAST: i32 = 130_000;
