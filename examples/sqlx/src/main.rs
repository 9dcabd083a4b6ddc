//! An order and the call that tells of it, in one transaction of sqlx: `outbox-by-sqlx DATABASE_URL CUSTOMER ITEM`. Prints the delivery's id.
//!
//! The tables are those of `examples/outbox`, and the outbox's own: `mainstay outbox init --print-sql`.

use std::collections::BTreeMap;
use std::error::Error;

use mainstay::outbox::Delivery;
use sqlx::{Connection, PgConnection, Row};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let mut word = |what: &'static str| words.next().ok_or(what);
    let url = word("the database's URL is missing")?;
    let (customer, item) = (word("the customer is missing")?, word("the item is missing")?);
    let mut connection = PgConnection::connect(&url).await?;
    println!("{}", order(&mut connection, &customer, &item).await?);
    connection.close().await?;
    Ok(())
}

/// Puts the order and its message into the database, both or neither.
async fn order(
    connection: &mut PgConnection,
    customer: &str,
    item: &str,
) -> Result<String, Box<dyn Error>> {
    let mut transaction = connection.begin().await?;
    sqlx::query("INSERT INTO orders (customer, item) VALUES ($1, $2)")
        .bind(customer)
        .bind(item)
        .execute(&mut *transaction)
        .await?;
    let order = BTreeMap::from([("item", item)]);

    let row = Delivery::post("/orders").json(&order).lane(customer).row()?;
    let id = sqlx::query(ENQUEUE)
        .bind(row.method)
        .bind(row.host)
        .bind(row.path)
        .bind(row.headers)
        .bind(&row.body[..])
        .bind(row.lane)
        .bind(row.key)
        .fetch_one(&mut *transaction)
        .await?;

    transaction.commit().await?;
    Ok(id.try_get(0)?)
}

/// The text of `headers` becomes JSON there: this way it needs no type of its own here.
const ENQUEUE: &str = "INSERT INTO mainstay_outbox (method, host, path, headers, body, lane, key)
    VALUES ($1, $2, $3, $4::text::jsonb, $5, $6, $7) RETURNING replace(id::text, '-', '')";
