//! Which API a stored write goes to, and with what, before scripted upstreams.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Method};
use mainstay::outbox::{Courier, Delivery, DeliveryError, SqliteOutbox, State, StoppedReason};
use mainstay::testing::{Act, Script};
use mainstay::{Mainstay, OtherHosts};
use rusqlite::Connection;

/// How long anything may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

struct Stage {
    client: Mainstay,
    script: Script,
    outbox: SqliteOutbox,
    dir: tempfile::TempDir,
}

impl Stage {
    fn new(config: &str) -> Self {
        let script = Script::new();
        let client = Mainstay::builder().config_text(config, "policy").scripted(&script);
        let client = client.other_hosts(OtherHosts::Refuse);
        let client = client.default_header(AUTHORIZATION, HeaderValue::from_static("Bearer hush"));
        let stage = Self {
            client: client.build().unwrap(),
            script,
            outbox: SqliteOutbox::new("mainstay_outbox").unwrap(),
            dir: tempfile::tempdir().unwrap(),
        };
        stage.outbox.create_table(&stage.shop()).unwrap();
        stage
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::join(self.dir.path(), name)
    }

    fn shop(&self) -> Connection {
        let shop = Connection::open(self.file("shop.db")).unwrap();
        shop.busy_timeout(PATIENCE).unwrap();
        shop
    }

    async fn courier(&self) -> Courier {
        let courier = Courier::of(&self.client).store(self.file("deliveries.db"));
        courier.intake(self.file("shop.db"), &self.outbox).start().await.unwrap()
    }

    /// What becomes of it.
    async fn settled<D>(&self, courier: &Courier, delivery: D) -> State
    where
        D: TryInto<Delivery>,
        DeliveryError: From<D::Error>,
    {
        let mut shop = self.shop();
        let transaction = shop.transaction().unwrap();
        let id = self.outbox.enqueue(&transaction, delivery).unwrap();
        transaction.commit().unwrap();
        courier.wake();
        courier.settled(&id, PATIENCE).await.unwrap().unwrap()
    }
}

const TWO: &str = "
[upstream.a]
endpoints = [\"https://a.example\", \"http://a.example:8080\"]
health = false
[upstream.b]
endpoints = [\"https://b.example/v1\"]
health = false
[[route]]
upstream = \"b\"
path = \"/orders\"
outbox.mode = \"always\"
[[route]]
upstream = \"a\"
outbox.mode = \"always\"
";

#[tokio::test]
async fn a_stored_request_goes_where_the_client_would_send_it_or_nowhere() {
    let stage = Stage::new(TWO);
    let courier = stage.courier().await;
    let nowhere = State::Stopped(StoppedReason::NoRoute);
    for (url, wanted) in [
        ("https://b.example/v1/orders?x=1", Some("b.example:443 /v1/orders?x=1")),
        ("https://B.example:443/v1/orders", Some("b.example:443 /v1/orders")),
        ("https://a.example/orders", Some("a.example")),
        // Not below its own path, by no route of its own, by another scheme or port, and somewhere else.
        ("https://b.example/orders", None),
        ("https://b.example/v1/other", None),
        ("http://b.example/v1/orders", None),
        ("https://b.example:8443/v1/orders", None),
        ("https://c.example/orders", None),
    ] {
        let before = stage.script.seen().len();
        let request = stage.client.post(url).idempotency_key("k").body("5").build().unwrap();
        let state = stage.settled(&courier, request).await;
        let seen: Vec<String> = stage.script.seen()[before..]
            .iter()
            .map(|seen| format!("{} {}", seen.endpoint, seen.target))
            .collect();
        match wanted {
            Some(wanted) => {
                assert_eq!(state, State::Delivered, "{url}");
                assert!(seen.len() == 1 && seen[0].starts_with(wanted), "{url}: {seen:?}");
            }
            None => assert_eq!((state, seen), (nowhere, vec![]), "{url}"),
        }
    }
    // One that names no host goes by the first route that takes it, as in the proxy.
    let state = stage.settled(&courier, Delivery::new(Method::PUT, "/orders/7")).await;
    assert_eq!(state, State::Delivered);
    let seen = stage.script.seen().pop().unwrap();
    assert_eq!((&seen.endpoint[..], &seen.target[..]), ("b.example:443", "/v1/orders/7"));
}

#[tokio::test]
async fn fields_of_the_client_are_in_the_call_and_not_in_the_store() {
    let stage = Stage::new(TWO);
    let courier = stage.courier().await;
    assert_eq!(stage.settled(&courier, Delivery::post("/orders")).await, State::Delivered);
    let own = Delivery::post("/orders").header(AUTHORIZATION, "Bearer mine");
    assert_eq!(stage.settled(&courier, own).await, State::Delivered);
    let said: Vec<HeaderValue> =
        stage.script.seen().iter().map(|seen| seen.headers[AUTHORIZATION].clone()).collect();
    assert_eq!(said, ["Bearer hush", "Bearer mine"]);
    courier.drain().await;
    let holds = |what: &[u8]| {
        let files = std::fs::read_dir(stage.dir.path()).unwrap();
        files
            .filter(|file| {
                let bytes = std::fs::read(file.as_ref().unwrap().path()).unwrap();
                bytes.windows(what.len()).any(|window| window == what)
            })
            .count()
    };
    assert_eq!(holds(b"Bearer hush"), 0);
    assert!(holds(b"Bearer mine") > 0);
}

#[tokio::test]
async fn a_row_that_can_not_be_read_is_stopped_and_in_nobodys_way() {
    let stage = Stage::new(TWO);
    let shop = stage.shop();
    shop.execute("INSERT INTO mainstay_outbox (id, path) VALUES (x'ff', '/')", [])
        .expect_err("the table is a strict one");
    // One that the program has made itself, where any type may be in any column.
    let own = "DROP TABLE mainstay_outbox;
        CREATE TABLE mainstay_outbox (place INTEGER PRIMARY KEY AUTOINCREMENT, id, method DEFAULT 'POST', host, path,
            headers DEFAULT '{}', body, lane, key, created_at);
        INSERT INTO mainstay_outbox (id, path) VALUES ('wrong', x'2fff');
        INSERT INTO mainstay_outbox (id, path) VALUES ('nothing', NULL);
        INSERT INTO mainstay_outbox (id, path, body, lane, key, created_at)
            VALUES (x'0192f3a47b6c4d5e8f90a1b2c3d4e5f6', CAST('/orders' AS BLOB), 5, 7, 8, 'today');
        INSERT INTO mainstay_outbox (id, path) VALUES ('good', '/orders');";
    shop.execute_batch(own).unwrap();
    let courier = stage.courier().await;
    shop.execute("INSERT INTO mainstay_outbox (path) VALUES ('/orders')", []).unwrap();
    courier.wake();
    let emptied = async {
        let count = "SELECT count(*) FROM mainstay_outbox";
        while shop.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap() > 0
            || stage.script.seen().len() < 3
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, emptied).await.unwrap();
    let seen = stage.script.seen();
    let by_number: Vec<&[u8]> = seen
        .iter()
        .filter(|seen| seen.headers["idempotency-key"] == "8")
        .map(|seen| &seen.body[..])
        .collect();
    assert_eq!((seen.len(), by_number), (3, vec![&b"5"[..]]));
    assert_eq!(courier.trouble(), None);
}

#[tokio::test]
async fn a_lane_that_is_full_keeps_its_own_rows_and_nobody_elses() {
    let config = format!("[outbox]\nlane_items = 1\n{TWO}");
    let stage = Stage::new(&config);
    stage.script.now_at("b.example:443", [Act::hang()]);
    let courier = stage.courier().await;
    let mut shop = stage.shop();
    let transaction = shop.transaction().unwrap();
    let mut enqueue = |delivery| stage.outbox.enqueue(&transaction, delivery).unwrap();
    let full: Vec<_> = (0..300)
        .map(|number| Delivery::post("/orders").lane("ann").key(number.to_string()))
        .map(&mut enqueue)
        .collect();
    let other = Delivery::post("/orders").host("a.example").lane("bob").key("other");
    let other = enqueue(other);
    transaction.commit().unwrap();
    courier.wake();
    assert_eq!(courier.settled(&other, PATIENCE).await.unwrap(), Some(State::Delivered));
    assert_eq!(courier.settled(&other, Duration::MAX).await.unwrap(), Some(State::Delivered));
    assert_eq!(courier.settled(&full[1], Duration::ZERO).await.unwrap(), None);
    let told = async {
        while !courier.trouble().is_some_and(|trouble| trouble.contains("\"ann\"")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    // The next one may begin at once, though the first is only about to let go of the store; what had hung has a key, and is sent again.
    stage.script.now_at("b.example:443", [Act::status(200)]);
    drop(courier);
    let courier = stage.courier().await;
    for id in &full[..3] {
        assert_eq!(courier.settled(id, PATIENCE).await.unwrap(), Some(State::Delivered));
    }
    let keys = stage.script.seen().into_iter().map(|seen| seen.headers["idempotency-key"].clone());
    let of_ann: Vec<HeaderValue> = keys.filter(|key| key != "other").take(4).collect();
    assert_eq!(of_ann, ["0", "0", "1", "2"]);
}

#[test]
fn a_courier_whose_runtime_is_gone_says_that_it_delivers_nothing() {
    let stage = Stage::new(TWO);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let courier = runtime.block_on(stage.courier());
    assert_eq!(courier.trouble(), None);
    drop(runtime);
    assert!(courier.trouble().unwrap().contains("its task has ended"));
}
