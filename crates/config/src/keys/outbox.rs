//! `[outbox]`, and what a route says of it.

use mainstay_core::outbox::ScheduleSettings;

use super::{
    GIB, KIB, Key, Kind, MIB, Rule, hours, key, length, millis, number, secs, size,
    switched_section, within,
};
use crate::settings::{Callback, MaybeDone, Outbox, OutboxMode, RouteOutbox};

pub(super) fn store() -> Vec<Key<Outbox>> {
    vec![
        key("path", Kind::Text(Rule::Any), |o: &mut Outbox| &mut o.path)
            .says("The store's file, made if it isn't there; relative to where the proxy is started. Beside it are a lock and SQLite's own files. One proxy has it at a time."),
        key("postgres", Kind::Text(Rule::Database), |o: &mut Outbox| &mut o.postgres)
            .default_is("none: a file")
            .says("A PostgreSQL database that several proxies share, in place of a file: `postgresql://USER@HOST:PORT/DATABASE`, with `sslmode`, `sslrootcert` and libpq's other parameters behind `?`. Its server is verified (`verify-full`) unless that says otherwise or it is on this machine. A password doesn't belong here: see `postgres_file`."),
        key("postgres_file", Kind::File, |o: &mut Outbox| &mut o.postgres_file)
            .default_is("none")
            .says("A file with such a URL, with a password if need be."),
        key("postgres_env", Kind::Text(Rule::Any), |o: &mut Outbox| &mut o.postgres_env)
            .default_is("none")
            .says("The environment variable with such a URL, in place of a file."),
        key("schema", Kind::Text(Rule::Name), |o: &mut Outbox| &mut o.schema)
            .says("The schema of the tables in that database. The first proxy makes it, and each newer version brings it up to date."),
        key("lease", length(secs(2), secs(600)), |o: &mut Outbox| &mut o.lease)
            .says("With PostgreSQL: how long a delivery is left to a proxy that says nothing any more. It renews that while it works.")
            .low("A proxy that stands still for a moment loses what it has on its way: it is sent twice, or waits for a person.")
            .high("What a dead proxy had on its way waits for so long."),
        key("intake", Kind::Text(Rule::Name), |o: &mut Outbox| &mut o.intake)
            .default_is("none")
            .says("With PostgreSQL: a table in the same database of which writes are taken in, `TABLE` or `SCHEMA.TABLE`. Applications put them there in transactions of their own; `mainstay outbox init --print-sql` prints how it is made."),
        key("keys", Kind::Texts(Rule::Any), |o: &mut Outbox| &mut o.keys)
            .default_is("none: what is stored isn't encrypted")
            .says("Files with a key each: 32 bytes in base64, as `openssl rand -base64 32` prints. The first encrypts heads, bodies and answers (AES-256-GCM), all of them decrypt: to change keys put the new one first."),
        key("items", number(1, MOST_ITEMS), |o: &mut Outbox| &mut o.items)
            .says("Writes that are stored and not delivered; 507 beyond.")
            .low("A long outage fills it.")
            .high("Disk."),
        key("size", size(MIB, 64 * 1024 * GIB), |o: &mut Outbox| &mut o.bytes)
            .says("Bytes of their requests; 507 beyond.")
            .low("A long outage fills it.")
            .high("Disk."),
        key("lane_items", number(1, MOST_ITEMS), |o: &mut Outbox| &mut o.lane_items)
            .says("Writes of one lane that wait; 507 beyond.")
            .low("A lane that is held refuses writes soon.")
            .high("One lane may take the whole store."),
        key("reserve", size(0, 1024 * GIB), |o: &mut Outbox| &mut o.reserve_bytes)
            .says("Bytes of the disk that are left free: below it nothing is accepted (507), so that what was accepted can be finished.")
            .low("On a full disk results can't be written, and writes are sent again.")
            .high("Disk stays unused."),
        key("keep_delivered", length(millis(0), hours(24 * 365)), |o: &mut Outbox| &mut o.keep_delivered)
            .says("How long delivered ones are kept: so long the answer can be fetched, and a repetition of the request is known as one.")
            .low("A late repetition is a new write.")
            .high("Disk."),
        key("keep_dead", length(hours(1), hours(24 * 3650)), |o: &mut Outbox| &mut o.keep_dead)
            .says("How long dead letters are kept.")
            .low("They are gone before anybody has looked.")
            .high("Disk, of which they take their part until then."),
        key("in_flight", number(1, 1000), |o: &mut Outbox| &mut o.in_flight)
            .says("Deliveries to one upstream that may be on their way at a time. It begins at 1 and grows with each success.")
            .low("A backlog takes long.")
            .high("An API that has just come back gets all of it."),
        key("status_path", Kind::Text(Rule::PlainPath), |o: &mut Outbox| &mut o.status_path)
            .says("Where on the proxy's own addresses deliveries can be asked after. Nothing below it is sent on."),
        key("callback_secrets_file", Kind::File, |o: &mut Outbox| &mut o.callback_secrets_file)
            .default_is("none")
            .says("A file with the secrets that callbacks are signed with, by the Standard Webhooks scheme: `whsec_` and 24 to 64 bytes in base64 each, with space between them. Every one signs: to change them put the new one beside the old one, and reload."),
        key("callback_secrets_env", Kind::Text(Rule::Any), |o: &mut Outbox| &mut o.callback_secrets_env)
            .default_is("none")
            .says("The environment variable with these secrets, in place of a file."),
    ]
}

pub(super) fn route() -> Vec<Key<RouteOutbox>> {
    let mut keys = vec![
        key("mode", Kind::choice::<OutboxMode>(), |o: &mut RouteOutbox| &mut o.mode)
            .says("When a write is stored: \"fallback\", when it can't be delivered now; \"always\", before it is tried; \"on-request\", when it says `Prefer: respond-async`, which the others heed too."),
        key("lane", Kind::Text(Rule::Lane), |o: &mut RouteOutbox| &mut o.lane)
            .or_off()
            .says("What the order of writes is kept by: writes with the same value go one after the other, as they came, and others beside them. A header field, a segment of the path, or a member of a JSON body (RFC 6901)."),
        key("maybe_done", Kind::choice::<MaybeDone>(), |o: &mut RouteOutbox| &mut o.maybe_done)
            .says("What becomes of a write that may have been done, where neither its method, its caller's idempotency key nor `idempotent` makes it right to do it twice: \"stop\", it waits for a person, and its lane with it; \"again\", it is sent again with the key that it was given, since the API carries out a key once only, or a second time does no harm."),
        key("body_size", size(KIB, 64 * MIB), |o: &mut RouteOutbox| &mut o.body_bytes)
            .says("Most of a body that is stored. A larger one gets 413 where it would be stored first, and is sent directly where it wouldn't.")
            .low("Large writes aren't stored.")
            .high("Memory, for each such call, and disk."),
    ];
    keys.extend(within("", schedule(), |o: &mut RouteOutbox| &mut o.schedule));
    let text = "Who is told when a stored write is delivered, given up or stopped: a POST, signed, and itself delivered as stored writes are. Needs `callback_secrets_file` or `callback_secrets_env` in `[outbox]`. Off unless it is written.";
    keys.extend(switched_section("callback", text, callback(), |o: &mut RouteOutbox| {
        &mut o.callback
    }));
    keys
}

fn callback() -> Vec<Key<Callback>> {
    vec![
        key("upstream", Kind::Text(Rule::Upstream), |c: &mut Callback| &mut c.upstream)
            .default_is("must be given")
            .says("The upstream that it is sent to, by what that says of its calls."),
        key("path", Kind::Text(Rule::ProbePath), |c: &mut Callback| &mut c.path)
            .default_is("none: only writes that say it in `Mainstay-Callback` have one")
            .says("Its path there. A write may say another one of the same upstream: `Mainstay-Callback: /hooks/orders?id=7`."),
    ]
}

fn schedule() -> Vec<Key<ScheduleSettings>> {
    vec![
        key("base", length(millis(100), hours(1)), |s: &mut ScheduleSettings| &mut s.base)
            .says("Wait after the first call that failed; it doubles with each, half of it at random.")
            .low("An API in trouble gets more of it.")
            .high("Short outages cost more than they must."),
        key("cap", length(millis(100), hours(24)), |s: &mut ScheduleSettings| &mut s.cap)
            .says("Longest wait. At least `base`. A `Retry-After` is obeyed in full.")
            .low("Load for an API that is down for long.")
            .high("A write arrives long after the API is back."),
        key("max_calls", number(1, 1000), |s: &mut ScheduleSettings| &mut s.max_calls)
            .says("Calls, the first included; then it is a dead letter. Each call has attempts of its own.")
            .low("Long outages make dead letters.")
            .high("`max_age` ends it."),
        key("max_age", length(secs(1), hours(24 * 30)), |s: &mut ScheduleSettings| &mut s.max_age)
            .says("How old a write may become before it is a dead letter.")
            .low("An outage over a weekend makes dead letters.")
            .high("What nobody wants any more is still delivered."),
    ]
}

const MOST_ITEMS: u64 = 100_000_000;
