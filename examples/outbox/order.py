"""An order and the message about it in one transaction, with psycopg.

python3 order.py "host=db.example dbname=shop user=shop" ann tea
"""

import json
import sys

import psycopg


def place_order(connection: psycopg.Connection, customer: str, item: str) -> str:
    """Places an order. Its delivery's id, by which it can be asked after."""
    # Both are there when the block is left, or neither is.
    with connection.transaction():
        (order,) = connection.execute(
            "INSERT INTO orders (customer, item) VALUES (%s, %s) RETURNING id", (customer, item)
        ).fetchone()
        body = json.dumps({"order": order, "item": item}).encode()
        (delivery,) = connection.execute(
            """INSERT INTO mainstay_outbox (path, lane, key, headers, body)
               VALUES ('/orders', %s, %s, %s, %s) RETURNING id""",
            (customer, f"order-{order}", json.dumps({"content-type": "application/json"}), body),
        ).fetchone()
    return delivery.hex


if __name__ == "__main__":
    dsn, customer, item = sys.argv[1:]
    with psycopg.connect(dsn) as connection:
        print(place_order(connection, customer, item))
