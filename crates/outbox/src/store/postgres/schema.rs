//! The tables, and how those of older versions become those of this one.
//!
//! As in the file of one machine, `delivery` is what is listed and chosen from, and `content` is read when its turn comes. What is on its way
//! has a row in `lease`, and there alone: so neither a claim nor its renewal touches a delivery, and one that was forgotten
//! meanwhile still holds its lane. `lane` is the row that those who write in one lane take turns at. `totals` is kept by triggers, spread over
//! slots so that writers don't wait for each other there.

use tokio_postgres::error::SqlState;

use super::link::{Link, quoted, said};
use crate::store::{Access, StoreError};

/// One step from each version to the next; the first makes the tables.
const STEPS: [&str; 1] = [VERSION_1];

/// What the schema is before anything is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Current,
    None,
}

/// Brings a schema to this version; a visitor only looks. Many may do so at once.
///
/// # Errors
///
/// It is of a later version, may not be made by this role, or the database failed.
pub(super) async fn upgrade(
    link: &Link,
    schema: &str,
    access: Access,
) -> Result<Found, StoreError> {
    let found = version(link, schema).await?;
    if found == Some(STEPS.len()) {
        return Ok(Found::Current);
    }
    if let Some(found) = found {
        is_known(found)?;
    }
    if access == Access::Visit {
        return Ok(if found.is_none() { Found::None } else { Found::Current });
    }
    let done = steps(link, schema).await;
    if done.is_err() {
        // The error that matters is the first one.
        let _ = link.batch("ROLLBACK").await;
    }
    done.map(|()| Found::Current)
}

async fn steps(link: &Link, schema: &str) -> Result<(), StoreError> {
    link.batch("BEGIN").await?;
    // Whoever comes second finds it done.
    link.query_once("SELECT pg_advisory_xact_lock(hashtext('mainstay'), hashtext($1))", &[&schema])
        .await?;
    let found = version(link, schema).await?;
    is_known(found.unwrap_or(0))?;
    let is_there = !link
        .query_once("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&schema])
        .await?
        .is_empty();
    let may_not = |error: tokio_postgres::Error| match error.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => StoreError::Database(format!(
            "{}. Let an owner of the database run: CREATE SCHEMA {} AUTHORIZATION the_role_of_mainstay",
            said(&error),
            quoted(schema)
        )),
        _ => error.into(),
    };
    if !is_there {
        link.batch(&format!("CREATE SCHEMA {}", quoted(schema))).await.map_err(may_not)?;
    }
    for step in &STEPS[found.unwrap_or(0)..] {
        link.batch(step).await.map_err(may_not)?;
    }
    let version = STEPS.len();
    link.batch(&format!("UPDATE meta SET version = {version}; COMMIT")).await?;
    Ok(())
}

/// A schema's version; `None`: there is no store in it.
async fn version(link: &Link, schema: &str) -> Result<Option<usize>, StoreError> {
    // From the catalog's tables: a name's own look-up may remember from before somebody else made it.
    let sql = "SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'meta'";
    if link.query_once(sql, &[&schema]).await?.is_empty() {
        return Ok(None);
    }
    let found = link.query_once("SELECT version FROM meta", &[]).await?;
    let found = found.first().map(|row| row.try_get::<_, i32>(0)).transpose()?;
    Ok(found.and_then(|found| usize::try_from(found).ok()))
}

fn is_known(found: usize) -> Result<(), StoreError> {
    if found <= STEPS.len() {
        return Ok(());
    }
    Err(StoreError::Database(format!(
        "it is of version {found}, made by a newer Mainstay; this one knows versions up to {}",
        STEPS.len()
    )))
}

const VERSION_1: &str = "
CREATE TABLE meta (version integer NOT NULL);
INSERT INTO meta VALUES (0);

CREATE SEQUENCE place;
CREATE SEQUENCE lease_number;

CREATE TABLE delivery (
    seq bigint PRIMARY KEY,           -- the order in which they were accepted
    id uuid NOT NULL CONSTRAINT delivery_id UNIQUE,
    upstream text NOT NULL,
    route text NOT NULL,
    lane text,
    key text NOT NULL,
    scope bytea CONSTRAINT delivery_scope UNIQUE,
    print bytea NOT NULL,
    repeatable boolean NOT NULL,      -- it may be done twice
    state smallint NOT NULL,          -- 0 waiting, 1 stopped, 2 delivered, 3 dead
    reason text,
    ready boolean NOT NULL,           -- the first open one of its lane
    accepted_at bigint NOT NULL,      -- milliseconds since 1970, as all times that aren't timestamps
    due_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    finished_at bigint,
    calls integer NOT NULL,
    maybe_done boolean NOT NULL,
    size bigint NOT NULL,
    history text NOT NULL,
    lease bigint NOT NULL DEFAULT 0,  -- the last lease of it that is over
    told bigint NOT NULL DEFAULT 0,   -- the last lease whose worker has told what came of it
    callback text,                    -- the upstream that is told what becomes of it
    about uuid                        -- what it tells of, if it is a callback
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX delivery_due ON delivery (upstream, due_at, seq) WHERE ready AND state = 0;
CREATE INDEX delivery_lane ON delivery (upstream, lane, seq) WHERE lane IS NOT NULL AND state < 2;
CREATE INDEX delivery_state ON delivery (state, seq);
CREATE INDEX delivery_upstream ON delivery (upstream, state, seq);
CREATE INDEX delivery_finished ON delivery (state, finished_at) WHERE state >= 2;

CREATE TABLE content (
    id uuid PRIMARY KEY,
    head bytea,
    body bytea,
    answer_head bytea,
    answer_body bytea,
    callback bytea                    -- where it is told
);
-- What is encrypted can't be made smaller.
ALTER TABLE content ALTER head SET STORAGE EXTERNAL, ALTER body SET STORAGE EXTERNAL,
    ALTER answer_head SET STORAGE EXTERNAL, ALTER answer_body SET STORAGE EXTERNAL;

CREATE TABLE lease (
    number bigint PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    upstream text NOT NULL,
    lane text,
    worker uuid NOT NULL,
    once boolean NOT NULL,            -- a call may be under way that must not be made twice
    until timestamptz NOT NULL
);
CREATE UNIQUE INDEX lease_lane ON lease (upstream, lane) WHERE lane IS NOT NULL;
CREATE INDEX lease_until ON lease (until);

CREATE TABLE hold (
    upstream text PRIMARY KEY,
    until bigint NOT NULL
);

CREATE TABLE lane (
    upstream text NOT NULL,
    lane text NOT NULL,
    items bigint NOT NULL,            -- those that wait or are stopped
    PRIMARY KEY (upstream, lane)
) WITH (fillfactor = 50);

CREATE TABLE totals (
    upstream text NOT NULL,
    state smallint NOT NULL,
    slot smallint NOT NULL,
    items bigint NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (upstream, state, slot)
) WITH (fillfactor = 50);
CREATE FUNCTION count_new() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
    INSERT INTO totals AS t SELECT upstream, state, pg_backend_pid() % 32, count(*), sum(size) FROM fresh
    GROUP BY upstream, state ORDER BY upstream, state
    ON CONFLICT (upstream, state, slot) DO UPDATE SET items = t.items + excluded.items, bytes = t.bytes + excluded.bytes;
    RETURN NULL;
END $$;
CREATE FUNCTION count_gone() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
    INSERT INTO totals AS t SELECT upstream, state, pg_backend_pid() % 32, -count(*), -sum(size) FROM gone
    GROUP BY upstream, state ORDER BY upstream, state
    ON CONFLICT (upstream, state, slot) DO UPDATE SET items = t.items + excluded.items, bytes = t.bytes + excluded.bytes;
    RETURN NULL;
END $$;
CREATE FUNCTION count_moved() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
    INSERT INTO totals AS t SELECT upstream, state, pg_backend_pid() % 32, sum(one), sum(one * size) FROM (
        SELECT upstream, state, size, 1 AS one FROM fresh UNION ALL SELECT upstream, state, size, -1 FROM gone
    ) AS moved GROUP BY upstream, state HAVING sum(one) <> 0 OR sum(one * size) <> 0 ORDER BY upstream, state
    ON CONFLICT (upstream, state, slot) DO UPDATE SET items = t.items + excluded.items, bytes = t.bytes + excluded.bytes;
    RETURN NULL;
END $$;
CREATE TRIGGER delivery_new AFTER INSERT ON delivery REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION count_new();
CREATE TRIGGER delivery_gone AFTER DELETE ON delivery REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION count_gone();
CREATE TRIGGER delivery_moved AFTER UPDATE ON delivery REFERENCING OLD TABLE AS gone NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION count_moved();
";
