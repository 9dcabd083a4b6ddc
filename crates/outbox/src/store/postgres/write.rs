//! A transaction, and what is done when nobody knows whether it was committed.
//!
//! ```text
//!   BEGIN, its number ─▶ the change ─▶ COMMIT ─┬─▶ committed
//!        ▲                  │ broke            └─▶ cut ─▶ another connection: is that transaction still at it? ─▶ no: is it there?
//!        └──────────────────┘ nothing was done            (`pg_xact_status`)                                      ─▶ by then unknown
//! ```
//!
//! The look for what was written is decisive only once the server has ended the transaction: before that, it may still be committed. Its
//! number alone is not: a server that has crashed gives a number again that it hadn't yet written down.

use std::future::Future;
use std::time::Duration;

use mainstay_core::Chance;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Core;
use super::link::{Link, passes, said};
use crate::store::StoreError;

/// What comes of a statement inside a transaction: an inner error is an answer, and the transaction is rolled back.
pub(super) type Said<T> = Result<Result<T, StoreError>, tokio_postgres::Error>;

/// Something to be written.
pub(super) trait Change: Sync {
    /// What comes of it.
    type Out: Send;

    /// Writes it. It may be run again after it was rolled back.
    fn run(&self, link: &Link) -> impl Future<Output = Said<Self::Out>> + Send;

    /// Whether it has been written, asked after the transaction is over. `None`: it can't be told from the tables.
    fn is_there(
        &self,
        _: &Link,
        _: &Self::Out,
    ) -> impl Future<Output = Result<Option<bool>, tokio_postgres::Error>> + Send {
        std::future::ready(Ok(None))
    }

    /// What an application is told whose write may or may not have been written.
    fn unsure(&self) -> StoreError {
        StoreError::Database(
            "the connection broke while it was committed, and nobody knows whether it was".into(),
        )
    }
}

/// A transaction that hasn't been committed yet.
enum Open<T> {
    Ready {
        out: T,
        number: String,
    },
    /// It was answered, and nothing was written.
    Answered(StoreError),
}

/// What the commit came to.
enum Verdict {
    Committed,
    RolledBack,
    Unknown,
}

impl Core {
    /// Writes something, and is sure of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. Nothing was written, unless it is [`Change::unsure`].
    pub(super) async fn write<C: Change>(&self, change: &C) -> Result<C::Out, StoreError> {
        let until = Instant::now() + WRITE_FOR;
        let mut chance = Chance::from_seed(self.seed());
        loop {
            let link = self.pool.link(until).await?;
            let failed = match timeout_at(until, open(&link, change)).await {
                Ok(Ok(Open::Ready { out, number })) => {
                    match timeout(COMMIT_FOR, link.batch("COMMIT")).await {
                        Ok(Ok(())) => {
                            link.keep();
                            return Ok(out);
                        }
                        // The server has answered that it was rolled back. What it says while it goes down isn't that.
                        Ok(Err(error)) if error.code().is_some() && !passes(&error) => error,
                        Ok(Err(_)) | Err(_) => {
                            let server = link.server.clone();
                            drop(link);
                            match self.verdict(change, &out, &number, &server).await {
                                Verdict::Committed => return Ok(out),
                                Verdict::RolledBack if Instant::now() < until => continue,
                                Verdict::RolledBack => return Err(broke()),
                                Verdict::Unknown => return Err(change.unsure()),
                            }
                        }
                    }
                }
                Ok(Ok(Open::Answered(error))) => {
                    // Without that the connection isn't what the next one expects.
                    if link.batch("ROLLBACK").await.is_ok() {
                        link.keep();
                    }
                    return Err(error);
                }
                Ok(Err(error)) => error,
                // Nothing is committed that nobody has said to commit.
                Err(_) => return Err(StoreError::Database("no answer in time".into())),
            };
            drop(link);
            if !passes(&failed) || Instant::now() >= until {
                return Err(failed.into());
            }
            sleep(chance.up_to(AGAIN_AFTER)).await;
        }
    }

    /// What became of a transaction whose commit wasn't answered.
    async fn verdict<C: Change>(
        &self,
        change: &C,
        out: &C::Out,
        number: &str,
        server: &str,
    ) -> Verdict {
        let until = Instant::now() + VERDICT_FOR;
        while Instant::now() < until {
            let Ok(link) = self.pool.link(until).await else { return Verdict::Unknown };
            let asked = async {
                let status = link
                    .first("SELECT pg_xact_status($1::text::xid8)", &[&number])
                    .await
                    // A server that has never come to that number: it was forgotten in a crash.
                    .or_else(|error| if error.code().is_some() { Ok(None) } else { Err(error) })?;
                let status: Option<String> = match status {
                    Some(row) => row.try_get(0)?,
                    None => None,
                };
                if status.as_deref() == Some("in progress") {
                    return Ok(None);
                }
                let there = change.is_there(&link, out).await?;
                // Only the server that gave the number can say what became of it.
                let told = status.filter(|_| link.server == server);
                Ok::<_, tokio_postgres::Error>(Some((there, told)))
            };
            match timeout_at(until, asked).await {
                Ok(Ok(Some((there, told)))) => {
                    link.keep();
                    return match (there, told.as_deref()) {
                        (Some(true), _) | (None, Some("committed")) => Verdict::Committed,
                        (Some(false), _) | (None, Some("aborted")) => Verdict::RolledBack,
                        (None, _) => Verdict::Unknown,
                    };
                }
                Ok(Ok(None)) => link.keep(),
                Ok(Err(_)) | Err(_) => drop(link),
            }
            sleep(LOOK_AGAIN_AFTER).await;
        }
        Verdict::Unknown
    }
}

async fn open<C: Change>(link: &Link, change: &C) -> Result<Open<C::Out>, tokio_postgres::Error> {
    let number = link.begin().await?;
    // Where it fails the connection is closed, and with it the transaction.
    Ok(match change.run(link).await? {
        Ok(out) => Open::Ready { out, number },
        Err(answer) => Open::Answered(answer),
    })
}

fn broke() -> StoreError {
    StoreError::Database("the connection broke".into())
}

impl Core {
    /// Reads something with one statement.
    pub(super) async fn query(
        &self,
        sql: &'static str,
        values: super::link::Values<'_>,
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let until = Instant::now() + READ_FOR;
        loop {
            let link = self.pool.link(until).await?;
            match timeout_at(until, link.query(sql, values)).await {
                Ok(Ok(rows)) => {
                    link.keep();
                    return Ok(rows);
                }
                Ok(Err(error)) if passes(&error) && Instant::now() < until => {}
                Ok(Err(error)) => return Err(StoreError::Database(said(&error))),
                Err(_) => return Err(StoreError::Database("no answer in time".into())),
            }
            drop(link);
            sleep(AGAIN_AFTER).await;
        }
    }
}

/// An application waits for it: a database that is started again is there by then, and one that isn't is one for longer.
const WRITE_FOR: Duration = Duration::from_secs(6);
pub(super) const READ_FOR: Duration = Duration::from_secs(6);

/// A commit that isn't answered by then is looked for elsewhere. Less than the time for all of it.
const COMMIT_FOR: Duration = Duration::from_secs(4);

/// A server that has crashed is there again after some seconds, mostly.
const VERDICT_FOR: Duration = Duration::from_secs(12);

const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// After a deadlock, a lock that wasn't free, a connection that broke.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
