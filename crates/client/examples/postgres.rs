//! A query of PostgreSQL by a policy: the first server can't be reached, the second answers.
//!
//! `cargo run -p mainstay --example postgres -- postgresql://postgres@localhost/postgres`

#[path = "shared/stage.rs"]
mod stage;

use std::fmt::Write;

use mainstay::{BreakKind, Failure as Read, Mainstay, UpstreamBuilder};
use stage::{Failure, attempts};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, NoTls};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let url = std::env::args().nth(1).ok_or("say which server, as postgresql://...")?;
    print!("{}", run(&url).await?);
    Ok(())
}

/// What the example prints.
pub async fn run(url: &str) -> Result<String, Failure> {
    // At port 1 nobody listens. The second server's own URL says where it is; its endpoint is its name and its state here.
    let db = UpstreamBuilder::new("db")
        .endpoint_in_tier("127.0.0.1:1", 0)
        .endpoint_in_tier("127.0.0.1:2", 1)
        .set("health", false);
    let client = Mainstay::builder().upstream(db).build()?;
    let db = client.upstream("db").ok_or("it was just given")?;
    let urls = ["postgresql://postgres@127.0.0.1:1/postgres".to_owned(), url.to_owned()];
    let mut out = String::new();

    let ask = |sql: &'static str| {
        let urls = urls.clone();
        db.call(move |endpoint, _| query(urls[endpoint.index()].clone(), sql)).classify(read)
    };
    // Whether it may be done twice isn't even asked: where nothing was sent, nothing was done.
    let answer = ask("SELECT 6 * 7").label("answer").send().await?;
    writeln!(out, "answer: {answer}")?;

    // An error of the statement is an answer: the server is well, and nothing is tried again.
    let error =
        ask("SELECT 1 / 0").idempotent().send().await.err().ok_or("there is no such number")?;
    writeln!(out, "division: is an answer: {}", error.is_answer())?;
    write!(out, "{}", attempts(error.attempts()))?;
    Ok(out)
}

/// One attempt: a connection of its own, and a query.
async fn query(url: String, sql: &str) -> Result<i32, Error> {
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    let running = tokio::spawn(connection);
    let row = client.query_one(sql, &[]).await;
    drop(client);
    // What the connection ends with, the query has told.
    let _ = running.await;
    row?.try_get(0)
}

/// What an error says of how far the query got.
fn read(error: &Error) -> Read {
    match error.code() {
        // It is shutting down, or starting, and says that it does nothing.
        Some(code)
            if *code == SqlState::ADMIN_SHUTDOWN || *code == SqlState::CANNOT_CONNECT_NOW =>
        {
            Read::refused()
        }
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => Read::throttled(None),
        // The transaction was rolled back, and may be made again if the program says so.
        Some(code) if *code == SqlState::T_R_SERIALIZATION_FAILURE => Read::server_error(),
        Some(_) => Read::answer(),
        None if error.to_string().starts_with("error connecting to server") => {
            Read::not_sent(BreakKind::ConnectRefused)
        }
        None => Read::unknown(),
    }
}
