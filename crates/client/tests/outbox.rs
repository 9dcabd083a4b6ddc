//! A program's own transactions and the calls that they stand for, on a real SQLite file and before servers that break.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay::outbox::{
    Courier, Delivery, DeliveryId, EnqueueError, SqliteOutbox, State, StoppedReason,
};
use mainstay::{Mainstay, OtherHosts};
use mainstay_lab::{Lab, Rule, Spec};
use rusqlite::Connection;

/// How long anything may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

struct Stage {
    lab: Lab,
    client: Mainstay,
    outbox: SqliteOutbox,
    dir: tempfile::TempDir,
}

impl Stage {
    /// An API, and a program's file with a table of its own and the outbox's.
    async fn new() -> Self {
        let lab = Lab::start(Spec::of(["api"])).await.unwrap();
        let url = lab.server("api").unwrap().url();
        let config = format!(
            "[upstream.api]\nendpoints = [\"{}\"]\nhealth = false\nbreaker.consecutive_failures = 100\nretry.max_attempts = 1\n\
             [[route]]\npath = \"/orders\"\nupstream = \"api\"\noutbox.mode = \"always\"\n\
             outbox.base = \"100ms\"\noutbox.cap = \"100ms\"\noutbox.lane = \"header:x-customer\"\n",
            url.trim_end_matches('/')
        );
        let client =
            Mainstay::builder().config_text(config, "policy").other_hosts(OtherHosts::Refuse);
        let outbox = SqliteOutbox::new("mainstay_outbox").unwrap();
        let stage = Self {
            lab,
            client: client.build().unwrap(),
            outbox,
            dir: tempfile::tempdir().unwrap(),
        };
        let shop = stage.shop();
        shop.pragma_update(None, "journal_mode", "wal").unwrap();
        shop.execute_batch("CREATE TABLE orders (item TEXT NOT NULL)").unwrap();
        stage.outbox.create_table(&shop).unwrap();
        stage
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::join(self.dir.path(), name)
    }

    /// A connection of the program's to its own file.
    fn shop(&self) -> Connection {
        let shop = Connection::open(self.file("shop.db")).unwrap();
        shop.busy_timeout(PATIENCE).unwrap();
        shop
    }

    async fn courier(&self) -> Courier {
        let courier = Courier::of(&self.client).store(self.file("deliveries.db"));
        courier.intake(self.file("shop.db"), &self.outbox).start().await.unwrap()
    }

    /// An order and the call that tells of it, in one transaction.
    fn order(&self, name: &str, commits: bool) -> DeliveryId {
        let mut shop = self.shop();
        let transaction = shop.transaction().unwrap();
        transaction.execute("INSERT INTO orders (item) VALUES (?1)", [name]).unwrap();
        let id = self.outbox.enqueue(&transaction, told(name)).unwrap();
        if commits {
            transaction.commit().unwrap();
        } else {
            transaction.rollback().unwrap();
        }
        id
    }

    /// Waits until nothing is in the outbox's table: a row goes after its delivery is stored.
    async fn emptied(&self) {
        let emptying = async {
            while self.count("mainstay_outbox") > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, emptying).await.unwrap();
    }

    fn count(&self, table: &str) -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        self.shop().query_row(&count, [], |row| row.get(0)).unwrap()
    }

    /// How often the API has carried out what is told of this order.
    fn done(&self, name: &str) -> u64 {
        self.lab.oracle().executions(name)
    }
}

/// What tells the API of an order; the oracle knows it by the order's name.
fn told(name: &str) -> Delivery {
    Delivery::post("/orders").header("x-request-id", name).key(name).body(name.to_owned())
}

async fn delivered(courier: &Courier, id: &DeliveryId) {
    let state = courier.settled(id, PATIENCE).await.unwrap();
    assert_eq!(state, Some(State::Delivered), "{:?}", courier.trouble());
}

#[tokio::test]
async fn what_was_committed_is_delivered_once_and_what_was_rolled_back_never() {
    let stage = Stage::new().await;
    // One before there is anybody who delivers.
    let early = stage.order("early", true);
    let courier = stage.courier().await;
    let never = stage.order("never", false);
    let late = stage.order("late", true);
    courier.wake();
    delivered(&courier, &early).await;
    delivered(&courier, &late).await;
    assert_eq!([stage.done("early"), stage.done("late"), stage.done("never")], [1, 1, 0]);
    assert_eq!(stage.count("orders"), 2);
    stage.emptied().await;
    assert_eq!(courier.settled(&never, Duration::ZERO).await.unwrap(), None);
    assert_eq!(courier.trouble(), None);
    courier.drain().await;
}

#[tokio::test]
async fn a_row_whose_delivery_was_stored_before_the_process_ended_is_not_delivered_again() {
    let stage = Stage::new().await;
    let id = stage.order("a", true);
    let courier = stage.courier().await;
    delivered(&courier, &id).await;
    courier.drain().await;
    // As if the process had ended between the commit of the store and that of the table.
    let put = "INSERT INTO mainstay_outbox (id, path, headers, body) VALUES (?1, '/orders', '{\"x-request-id\":\"a\"}', 'a')";
    stage.shop().execute(put, [id.as_str()]).unwrap();
    let next = stage.order("b", true);
    let courier = stage.courier().await;
    delivered(&courier, &next).await;
    stage.emptied().await;
    assert_eq!([stage.done("a"), stage.done("b")], [1, 1]);
}

#[tokio::test]
async fn an_outage_and_the_end_of_the_program_in_it_change_neither_order_nor_number() {
    let stage = Stage::new().await;
    let down: Rule = "refuse".parse().unwrap();
    stage.lab.set("api", down).await.unwrap();
    let courier = stage.courier().await;
    let names = ["1", "2", "3", "4", "5"];
    let mut ids = Vec::new();
    for name in names {
        let mut shop = stage.shop();
        let transaction = shop.transaction().unwrap();
        let delivery = told(name).lane("ann");
        ids.push(stage.outbox.enqueue(&transaction, delivery).unwrap());
        transaction.commit().unwrap();
    }
    courier.wake();
    // The first has been tried in vain by then, or is about to be.
    assert_eq!(
        courier.settled(&ids[0], Duration::from_millis(300)).await.unwrap(),
        Some(State::Waiting)
    );
    drop(courier);
    // The first request of what comes back is carried out, and its answer never arrives.
    let cut: Rule = "reset-after-execute times=1".parse().unwrap();
    stage.lab.set("api", cut).await.unwrap();
    let courier = stage.courier().await;
    for id in &ids {
        delivered(&courier, id).await;
    }
    // It may be done twice, since it has a key; so it was sent again with that, and the others followed it.
    assert_eq!(stage.done("1"), 2);
    for name in &names[1..] {
        assert_eq!(stage.done(name), 1, "{name}");
    }
    stage.emptied().await;
}

#[tokio::test]
async fn what_no_route_takes_waits_for_a_person_and_what_is_wrong_never_gets_in() {
    let stage = Stage::new().await;
    let courier = stage.courier().await;
    let mut shop = stage.shop();
    let transaction = shop.transaction().unwrap();
    let wrong = stage.outbox.enqueue(&transaction, Delivery::post("no path"));
    assert!(matches!(wrong, Err(EnqueueError::Delivery(_))), "{wrong:?}");
    let request = stage.client.post("http://shop.example/nowhere").body("5").build().unwrap();
    let nowhere = stage.outbox.enqueue(&transaction, request).unwrap();
    // One that somebody else's INSERT has put there, and that is no request.
    let put = "INSERT INTO mainstay_outbox (id, path, headers) VALUES ('x', '/orders', '[1]')";
    transaction.execute(put, []).unwrap();
    transaction.commit().unwrap();
    courier.wake();
    let state = courier.settled(&nowhere, PATIENCE).await.unwrap();
    assert_eq!(state, Some(State::Stopped(StoppedReason::NoRoute)));
    let good = stage.order("good", true);
    courier.wake();
    delivered(&courier, &good).await;
    stage.emptied().await;
}

#[tokio::test]
async fn a_courier_that_could_deliver_nothing_says_so() {
    let client = Mainstay::from_config_text("[upstream.a]\nendpoints = [\"http://a.example\"]");
    let error = Courier::of(&client.unwrap()).start().await.unwrap_err();
    assert_eq!(error.to_string(), "no route of the client has `outbox`");
    let stage = Stage::new().await;
    let courier = Courier::of(&stage.client).store(stage.file("d.db"));
    let error = courier.intake(stage.file("missing.db"), &stage.outbox).start().await.unwrap_err();
    assert_eq!(error.to_string(), "the table can't be read");
}
