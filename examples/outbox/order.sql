-- An order and the message about it are one: either both are there or neither is.
BEGIN;
WITH placed AS (
    INSERT INTO orders (customer, item) VALUES ('ann', 'tea') RETURNING id, customer, item
)
INSERT INTO mainstay_outbox (path, lane, key, headers, body)
SELECT '/orders', customer, 'order-' || id, '{"content-type": "application/json"}',
    convert_to(json_build_object('order', id, 'item', item)::text, 'UTF8')
FROM placed
RETURNING id;  -- GET /.well-known/mainstay/deliveries/ID says what became of it (ID without its hyphens)
COMMIT;
