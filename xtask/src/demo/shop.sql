-- The sample shop: everything is computed from row numbers, so that each run has the same rows and answers can be checked.
CREATE TYPE order_status AS ENUM ('new', 'paid', 'shipped', 'returned');

CREATE TABLE customers (
    id          integer PRIMARY KEY,
    name        text NOT NULL,
    email       text NOT NULL UNIQUE,
    country     text NOT NULL,
    created_at  timestamptz NOT NULL
);
COMMENT ON TABLE customers IS 'Who buys';

CREATE TABLE products (
    id        integer PRIMARY KEY,
    name      text NOT NULL,
    category  text NOT NULL,
    price     numeric(10,2) NOT NULL
);

CREATE TABLE orders (
    id           bigint PRIMARY KEY,
    customer_id  integer NOT NULL,
    product_id   integer NOT NULL,
    status       order_status NOT NULL,
    quantity     integer NOT NULL,
    amount       numeric(12,2) NOT NULL,
    placed_at    timestamptz NOT NULL
);
COMMENT ON COLUMN orders.amount IS 'In euros, after discount';

INSERT INTO customers
SELECT i,
       (ARRAY['Ada','Björn','Chloé','Dag','Eva','Finn','Greta','Håkon','Ida','Jonas'])[1 + i % 10] || ' ' ||
       (ARRAY['Berg','Dahl','Eriksen','Fjeld','Hansen','Lie','Moen','Olsen','Strand','Vik','Ødegård'])[1 + i / 10 % 11] || ' ' || i,
       'customer' || i || '@example.com',
       (ARRAY['NO','SE','DK','FI','DE','NL','FR','GB'])[1 + (i * 7 + i / 100) % 8],
       timestamptz '2023-01-01 00:00:00+00' + i * interval '20 minutes'
FROM generate_series(1, 50000) AS i;

INSERT INTO products
SELECT i,
       (ARRAY['tent','lamp','boots','rope','stove','map','knife','jacket'])[1 + i % 8] || ' ' || i,
       (ARRAY['shelter','light','footwear','climbing','kitchen','navigation','tools','clothing'])[1 + i % 8],
       (5 + i * 37 % 300)::numeric + 0.95
FROM generate_series(1, 500) AS i;

INSERT INTO orders
SELECT i,
       1 + ((i * 7919 + i / 50000) % 50000)::integer,
       p.id,
       (ARRAY['new','paid','paid','shipped','shipped','shipped','shipped','shipped','shipped','returned'])[1 + i % 10]::order_status,
       1 + (i % 4)::integer,
       round(p.price * (1 + i % 4) * (1 - (i % 5) * 0.05), 2),
       timestamptz '2025-01-01 00:00:00+00' + i * interval '31 seconds'
FROM generate_series(1::bigint, 1000000) AS i
JOIN products AS p ON p.id = 1 + (i * 104729 % 500);

ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers, ADD FOREIGN KEY (product_id) REFERENCES products;
CREATE INDEX orders_by_customer ON orders (customer_id);
CREATE INDEX orders_by_time ON orders (placed_at);

-- The events that the demo writes as Parquet files. They stay here too, out of the connector's sight, so that Postgres can answer the same questions.
CREATE SCHEMA outside;
CREATE TABLE outside.events AS
SELECT i AS event_id,
       1 + (i * 6151 % 50000)::integer AS customer_id,
       (ARRAY['view','view','view','search','cart'])[1 + i % 5] AS kind,
       '/product/' || 1 + i * 31 % 500 AS page,
       (i * 13 % 900)::integer AS milliseconds,
       timestamp '2025-12-01 00:00:00' + i * interval '5 seconds' AS at
FROM generate_series(1::bigint, 400000) AS i;

ANALYZE;

-- What Fjord logs in as: it may read the shop, and nothing else.
CREATE ROLE fjord_reader LOGIN PASSWORD 'demo-password';
GRANT USAGE ON SCHEMA public TO fjord_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO fjord_reader;
