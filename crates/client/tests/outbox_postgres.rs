//! A courier whose store is a PostgreSQL database, on a server of the tests' own.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

#[path = "../../../tests/support/postgres.rs"]
mod server;

use std::time::Duration;

use mainstay::Mainstay;
use mainstay::outbox::{Courier, Delivery, DeliveryId, PostgresOutbox, State};
use mainstay_lab::{Lab, Rule, Spec};
use tokio_postgres::{Client, NoTls};

/// How long anything may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

struct Stage {
    lab: Lab,
    url: String,
    table: String,
    client: Mainstay,
    database: Client,
}

impl Stage {
    /// An API, and tables of this test's own in the database.
    async fn new(name: &str) -> Self {
        let lab = Lab::start(Spec::of(["api"])).await.unwrap();
        let name = format!("courier_{}_{name}", std::process::id());
        let table = format!("public.{name}_rows");
        let url = server::Cluster::shared().url();
        let (database, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let make = mainstay_outbox::store::intake_sql(&table, &name);
        database.batch_execute(&make).await.unwrap();
        let config = format!(
            "[outbox]\npostgres = \"postgresql://nobody@localhost/none\"\nschema = \"{name}\"\nlease = \"2s\"\n\
             [upstream.api]\nendpoints = [\"{}\"]\nhealth = false\nretry.max_attempts = 1\nbreaker.mode = \"off\"\n\
             [[route]]\nupstream = \"api\"\noutbox.mode = \"always\"\noutbox.base = \"100ms\"\noutbox.cap = \"100ms\"\n",
            lab.server("api").unwrap().url().trim_end_matches('/')
        );
        let client = Mainstay::from_config_text(&config).unwrap();
        Self { lab, url, table, client, database }
    }

    async fn courier(&self) -> Courier {
        let courier = Courier::of(&self.client).postgres(&self.url).intake_table(&self.table);
        courier.start().await.unwrap()
    }

    /// A call in a transaction of its own.
    async fn order(&mut self, name: &str, commits: bool) -> DeliveryId {
        let outbox = PostgresOutbox::new(&self.table).unwrap();
        let transaction = self.database.transaction().await.unwrap();
        let told = Delivery::post("/orders").header("x-request-id", name).key(name);
        let id = outbox.enqueue(&transaction, told.body(name.to_owned())).await.unwrap();
        if commits {
            transaction.commit().await.unwrap();
        } else {
            transaction.rollback().await.unwrap();
        }
        id
    }

    async fn set(&self, rule: &str) {
        self.lab.set("api", rule.parse::<Rule>().unwrap()).await.unwrap();
    }

    fn done(&self, name: &str) -> u64 {
        self.lab.oracle().executions(name)
    }
}

async fn delivered(courier: &Courier, id: &DeliveryId) {
    let state = courier.settled(id, PATIENCE).await.unwrap();
    assert_eq!(state, Some(State::Delivered), "{:?}", courier.trouble());
}

#[tokio::test]
async fn what_was_committed_is_delivered_once_and_what_was_rolled_back_never() {
    let mut stage = Stage::new("once").await;
    let early = stage.order("early", true).await;
    let courier = stage.courier().await;
    let never = stage.order("never", false).await;
    let late = stage.order("late", true).await;
    courier.wake();
    delivered(&courier, &early).await;
    delivered(&courier, &late).await;
    assert_eq!([stage.done("early"), stage.done("late"), stage.done("never")], [1, 1, 0]);
    assert_eq!(courier.settled(&never, Duration::ZERO).await.unwrap(), None);
    assert_eq!(courier.trouble(), None);
    let metrics = courier.metrics_text().await;
    for wanted in [
        "mainstay_outbox_items{upstream=\"api\",state=\"delivered\"} 2",
        "mainstay_outbox_items{upstream=\"api\",state=\"waiting\"} 0",
        "mainstay_outbox_reachable 1",
    ] {
        assert!(metrics.lines().any(|line| line == wanted), "{wanted}: {metrics}");
    }
    courier.drain().await;
}

#[tokio::test]
async fn what_one_courier_leaves_behind_another_one_delivers() {
    let mut stage = Stage::new("shared").await;
    stage.set("refuse").await;
    let first = stage.courier().await;
    let second = stage.courier().await;
    let mut ids = Vec::new();
    for name in ["1", "2", "3"] {
        ids.push(stage.order(name, true).await);
    }
    first.wake();
    second.wake();
    let state = first.settled(&ids[0], Duration::from_millis(300)).await.unwrap();
    assert!(matches!(state, None | Some(State::Waiting)), "{state:?}");
    drop(first);
    stage.set("healthy").await;
    for (id, name) in ids.iter().zip(["1", "2", "3"]) {
        delivered(&second, id).await;
        assert_eq!(stage.done(name), 1, "{name}");
    }
}
