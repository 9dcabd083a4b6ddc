-- The application's own table. `mainstay outbox --config mainstay.toml init --print-sql` prints the other one.
CREATE TABLE IF NOT EXISTS orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer text NOT NULL,
    item text NOT NULL
);
