//! An order and the message about it in one transaction, with tokio-postgres and the library's feature `outbox-postgres`.

use std::error::Error;

use mainstay::outbox::{Delivery, DeliveryId, PostgresOutbox};
use tokio_postgres::Client;

/// Places an order. Its delivery's id, by which it can be asked after.
pub(crate) async fn place_order(
    client: &mut Client,
    customer: &str,
    item: &str,
) -> Result<DeliveryId, Box<dyn Error>> {
    let outbox = PostgresOutbox::new("mainstay_outbox")?;
    // Dropped before its end, it is rolled back: both are there, or neither is.
    let transaction = client.transaction().await?;
    let insert = "INSERT INTO orders (customer, item) VALUES ($1, $2) RETURNING id";
    let order: i64 = transaction.query_one(insert, &[&customer, &item]).await?.try_get(0)?;
    let message = Delivery::post("/orders")
        .json(&serde_json::json!({ "order": order, "item": item }))
        .lane(customer)
        .key(format!("order-{order}"));
    let delivery = outbox.enqueue(&transaction, message).await?;
    transaction.commit().await?;
    Ok(delivery)
}
