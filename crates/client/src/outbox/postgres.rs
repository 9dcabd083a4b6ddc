//! Into a table of a PostgreSQL database, by tokio-postgres.

use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::table::quoted;
use super::{Delivery, DeliveryError, DeliveryId, EnqueueError, NoTable};

/// The table in a PostgreSQL database from which `mainstay run` (`outbox.intake`) or a `Courier` takes deliveries in.
///
/// `mainstay outbox init --print-sql` prints how the table is made. Cheap to clone, and bound to no connection.
///
/// ```no_run
/// # async fn example(client: &mut tokio_postgres::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use mainstay::outbox::{Delivery, PostgresOutbox};
///
/// let outbox = PostgresOutbox::new("mainstay_outbox")?;
/// let transaction = client.transaction().await?;
/// transaction.execute("INSERT INTO orders (customer, item) VALUES ('ann', 'tea')", &[]).await?;
/// let order = Delivery::post("/orders").body("tea").lane("ann").key("order-7");
/// let id = outbox.enqueue(&transaction, order).await?;
/// transaction.commit().await?;
/// println!("GET /.well-known/mainstay/deliveries/{id} says what became of it");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct PostgresOutbox {
    insert: String,
}

impl PostgresOutbox {
    /// The outbox in this table, `NAME` or `SCHEMA.NAME`. Without a schema it is in `public`, as with `outbox.intake`, whatever `search_path`
    /// says.
    ///
    /// # Errors
    ///
    /// That can't be a table's name.
    pub fn new(table: &str) -> Result<Self, NoTable> {
        let (said, table) = (table, quoted(table)?);
        let table = if said.contains('.') { table } else { format!("\"public\".{table}") };
        // The text becomes JSON there: this way it needs no type of its own here.
        let insert = format!(
            "INSERT INTO {table} (method, host, path, headers, body, lane, key)
             VALUES ($1, $2, $3, $4::text::jsonb, $5, $6, $7) RETURNING replace(id::text, '-', '')"
        );
        Ok(Self { insert })
    }

    /// Puts a delivery into the outbox: it is made after the transaction's commit, and never if that is rolled back.
    ///
    /// Rows are taken in by the order of their inserts. Two transactions that put something into one lane at the same time may commit
    /// the other way round; where that matters, lock something of the lane's own first, the customer's row say.
    ///
    /// # Errors
    ///
    /// [`EnqueueError`]. After the database's own error the transaction can only be rolled back, as PostgreSQL has it.
    pub async fn enqueue<D>(
        &self,
        transaction: &Transaction<'_>,
        delivery: D,
    ) -> Result<DeliveryId, EnqueueError<tokio_postgres::Error>>
    where
        D: TryInto<Delivery>,
        DeliveryError: From<D::Error>,
    {
        let delivery = delivery.try_into().map_err(|error| EnqueueError::Delivery(error.into()))?;
        let row = delivery.row().map_err(EnqueueError::Delivery)?;
        let body = &row.body[..];
        let insert = transaction.prepare(&self.insert).await.map_err(EnqueueError::Database)?;
        let values: [&(dyn ToSql + Sync); 7] =
            [&row.method, &row.host, &row.path, &row.headers, &body, &row.lane, &row.key];
        let put = transaction.query_one(&insert, &values).await;
        let id = put.and_then(|row| row.try_get(0)).map_err(EnqueueError::Database)?;
        Ok(DeliveryId::of(id))
    }
}
