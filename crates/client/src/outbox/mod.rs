//! A transactional outbox: a call to an API is put into a table *in the transaction of the program's own changes*, and made after the
//! commit. Both happen, or neither does.
//!
//! ```text
//!   program:   BEGIN · its own changes · enqueue · COMMIT
//!   after it:  the row ─▶ the outbox's store ─▶ calls by the policy, until the API has it
//! ```
//!
//! | database | enqueue | who delivers |
//! |---|---|---|
//! | PostgreSQL | `PostgresOutbox` (feature `outbox-postgres`), or SQL | `mainstay run` with `outbox.intake`, or `Courier` |
//! | SQLite | `SqliteOutbox` (feature `outbox-sqlite`), or SQL | `Courier`, in the program itself (feature `courier`) |
//!
//! The manual's page of the outbox says what is promised of a write once it is stored: order in its lane, an idempotency key that stays
//! the same, dead letters and what a person does about them. What is promised before: a row that was committed is taken in once, and one that was rolled back never was.
//!
//! With any other database library the same is an INSERT of one's own: [`Delivery::row`] has the values of its columns.

#[cfg(feature = "courier")]
mod courier;
mod delivery;
#[cfg(feature = "outbox-postgres")]
mod postgres;
#[cfg(feature = "outbox-sqlite")]
mod sqlite;
#[cfg(any(feature = "outbox-postgres", feature = "outbox-sqlite"))]
mod table;

#[cfg(feature = "courier")]
pub use courier::{Courier, CourierBuilder, CourierError, DeadReason, State, StoppedReason};
pub use delivery::{Delivery, DeliveryError, Row};
#[cfg(feature = "outbox-postgres")]
pub use postgres::PostgresOutbox;
#[cfg(feature = "outbox-sqlite")]
pub use sqlite::SqliteOutbox;
#[cfg(any(feature = "outbox-postgres", feature = "outbox-sqlite"))]
pub use table::{DeliveryId, EnqueueError, NoTable};
