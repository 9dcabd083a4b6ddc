//! A transactional outbox: the examples, run against a real database, and what becomes of rows that nothing can be done with.

use std::process::Command;
use std::time::Duration;

use mainstay::outbox::{Delivery, EnqueueError, PostgresOutbox};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::api::Api;
use crate::postgres::Cluster;
use crate::support::program::Program;
use crate::support::{Binary, PATIENCE, text};
use crate::{config_with, delivered};

#[path = "../../examples/outbox/order.rs"]
mod order;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/outbox");

struct Stage {
    cluster: Cluster,
    api: Api,
    config: String,
    dir: tempfile::TempDir,
}

impl Stage {
    /// A database with the examples' tables and the one that is taken in.
    async fn new(name: &str) -> Result<Self, String> {
        let cluster = Cluster::own(name);
        let api = Api::serve(1).await.map_err(text)?;
        api.heal();
        let store =
            format!("postgres = \"{}\"\nintake = \"public.mainstay_outbox\"", cluster.url());
        let config = config_with(&api, &store);
        let config = format!("{config}\n[[route]]\nupstream = \"api\"\npath = \"/orders\"\n");
        let dir = tempfile::tempdir().map_err(text)?;
        let stage = Self { cluster, api, config, dir };
        let sql = stage.command(&["init", "--print-sql"])?;
        stage.cluster.sql(&sql);
        stage.cluster.sql(&example("tables.sql")?);
        Ok(stage)
    }

    /// What `mainstay outbox` prints with this config.
    fn command(&self, words: &[&str]) -> Result<String, String> {
        let file = self.dir.path().join("mainstay.toml");
        std::fs::write(&file, &self.config).map_err(text)?;
        let output = Command::new(env!("CARGO_BIN_EXE_mainstay"))
            .args(["outbox", "--config"])
            .arg(&file)
            .args(words)
            .output()
            .map_err(text)?;
        if !output.status.success() {
            return Err(format!("{words:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        String::from_utf8(output.stdout).map_err(text)
    }

    async fn client(&self) -> Result<tokio_postgres::Client, String> {
        let connected = tokio_postgres::connect(&self.cluster.url(), tokio_postgres::NoTls).await;
        let (client, driver) = connected.map_err(text)?;
        tokio::spawn(driver);
        Ok(client)
    }

    fn rows(&self) -> String {
        self.cluster.sql("SELECT count(*) FROM mainstay_outbox")
    }

    /// Waits until the table is empty and nothing waits any more.
    async fn done(&self, binary: &Binary) -> Result<(), String> {
        timeout(PATIENCE, async {
            while self.rows() != "0" {
                sleep(Duration::from_millis(50)).await;
            }
            delivered(binary).await
        })
        .await
        .map_err(|_| "rows are left")?
    }
}

fn example(name: &str) -> Result<String, String> {
    std::fs::read_to_string(format!("{EXAMPLES}/{name}")).map_err(text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_orders_arrive_when_their_transactions_are_committed() -> Result<(), String> {
    let stage = Stage::new("examples").await?;
    let binary = Binary::run(&stage.config).await?;
    let by_sql = stage.cluster.sql(&example("order.sql")?).replace('-', "");
    let python = Program::python()?;
    let (script, dsn) = (format!("{EXAMPLES}/order.py"), stage.cluster.dsn());
    let by_python = python.output(&[&script, &dsn, "ann", "coffee"]).await?;
    let mut client = stage.client().await?;
    let by_rust = order::place_order(&mut client, "bob", "cake").await.map_err(text)?.to_string();
    // One that is rolled back is none.
    let transaction = client.transaction().await.map_err(text)?;
    let put = "INSERT INTO mainstay_outbox (path, body) VALUES ('/orders', 'never')";
    transaction.execute(put, &[]).await.map_err(text)?;
    transaction.rollback().await.map_err(text)?;
    stage.done(&binary).await?;
    let mut book = stage.api.book();
    // Ann's are in their order; Bob's are beside them.
    let anns: Vec<&String> = book.iter().filter(|body| !body.contains("cake")).collect();
    assert!(anns.len() == 2 && anns[0].contains("tea") && anns[1].contains("coffee"), "{book:?}");
    book.retain(|body| body.contains("cake"));
    assert_eq!(book, [r#"{"item":"cake","order":3}"#]);
    for id in [by_sql.trim(), by_python.trim(), by_rust.trim()] {
        let shown: Value =
            serde_json::from_str(&stage.command(&["show", id, "--json"])?).map_err(text)?;
        assert_eq!(shown["state"], "delivered", "{shown}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_route_takes_and_what_is_no_request_is_stopped_and_blocks_nobody()
-> Result<(), String> {
    let stage = Stage::new("strange").await?;
    // Before a proxy is there, and one of them by somebody who still has it locked.
    stage.cluster.sql(
        "INSERT INTO mainstay_outbox (method, path, lane, headers, body) VALUES
             ('POST', '/nowhere', 'a', '{}', 'no route'),
             ('PO ST', '/orders', 'a', '{}', 'no method'),
             ('POST', 'https://elsewhere.example/orders', 'a', '{}', 'no path'),
             ('POST', '/orders', 'a', '[1]', 'no headers'),
             ('POST', '/orders', 'a', '{\"x y\": \"z\"}', 'no name'),
             ('POST', '/orders?a=b', 'a', '{\"x-mode\": [\"1\", 2, true]}', 'locked'),
             ('PUT', '/orders', 'a', '{}', 'behind it'),
             ('POST', '/orders', 'b', '{}', 'beside it')",
    );
    let mut client = stage.client().await?;
    let locking = client.transaction().await.map_err(text)?;
    let lock = "SELECT FROM mainstay_outbox WHERE body = 'locked' FOR UPDATE";
    locking.query(lock, &[]).await.map_err(text)?;
    let binary = Binary::run(&stage.config).await?;
    timeout(PATIENCE, async {
        while stage.rows() != "2" || stage.api.book().is_empty() {
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .map_err(|_| format!("{} rows are left", stage.rows()))?;
    assert_eq!(stage.api.book(), ["beside it"]);
    locking.commit().await.map_err(text)?;
    stage.done(&binary).await?;
    assert_eq!(stage.api.book(), ["beside it", "locked", "behind it"]);
    let stopped =
        stage.command(&["list", "--state", "stopped", "--reason", "no-route", "--json"])?;
    assert_eq!(stopped.lines().count(), 5, "{stopped}");
    // The same id again is the same write.
    stage.cluster.sql(
        "INSERT INTO mainstay_outbox (id, path, body) SELECT id, '/orders', 'again' FROM mainstay.delivery LIMIT 1",
    );
    stage.done(&binary).await?;
    assert_eq!(stage.api.book().len(), 3);
    assert_eq!(stage.command(&["check"])?, "everything is what was written\n");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_program_enqueues_arrives_once_after_its_commit_and_never_after_a_rollback()
-> Result<(), String> {
    let stage = Stage::new("enqueue").await?;
    let binary = Binary::run(&stage.config).await?;
    let outbox = PostgresOutbox::new("public.mainstay_outbox").map_err(text)?;
    let mut client = stage.client().await?;
    let mut ids = Vec::new();
    for number in 0..20 {
        let transaction = client.transaction().await.map_err(text)?;
        let write = Delivery::post("/orders").header("x-a", "1").header("x-a", "ü");
        let write = write.body(format!("write {number}")).lane("ann").key(format!("k{number}"));
        let id = outbox.enqueue(&transaction, write).await.map_err(text)?;
        // Every other one is given up: by a rollback, by an error of the database, or as the program forgets it.
        match number % 6 {
            1 => transaction.rollback().await.map_err(text)?,
            3 => {
                let again =
                    "INSERT INTO mainstay_outbox (id, path) SELECT id, path FROM mainstay_outbox";
                transaction.execute(again, &[]).await.expect_err("the id is there already");
                transaction.commit().await.map_err(text)?;
            }
            5 => drop(transaction),
            _ => {
                transaction.commit().await.map_err(text)?;
                ids.push((number, id));
            }
        }
    }
    // What is no request isn't put there, and the transaction goes on.
    let transaction = client.transaction().await.map_err(text)?;
    let wrong = outbox.enqueue(&transaction, Delivery::post("no path")).await;
    assert!(matches!(wrong, Err(EnqueueError::Delivery(_))), "{wrong:?}");
    let request =
        http::Request::put("http://shop.example/orders?a=b").body("the last").map_err(text)?;
    outbox.enqueue(&transaction, request).await.map_err(text)?;
    transaction.commit().await.map_err(text)?;
    stage.done(&binary).await?;
    let mut book = stage.api.book();
    let last = book.iter().position(|body| body == "the last").ok_or("the last isn't there")?;
    book.remove(last);
    let wanted: Vec<String> = ids.iter().map(|(number, _)| format!("write {number}")).collect();
    assert_eq!(book, wanted);
    for (number, id) in ids {
        let shown = stage.command(&["show", id.as_str(), "--json", "--with-secrets"])?;
        let shown: Value = serde_json::from_str(&shown).map_err(text)?;
        assert_eq!(
            (&shown["state"], &shown["key"]),
            (&"delivered".into(), &format!("k{number}").into())
        );
    }
    Ok(())
}
