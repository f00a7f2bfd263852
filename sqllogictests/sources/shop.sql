-- A small shop, in the shape of the demo's.
CREATE TYPE order_status AS ENUM ('new', 'paid', 'shipped', 'returned');

CREATE TABLE customers (
    id          integer PRIMARY KEY,
    name        text NOT NULL,
    country     text NOT NULL,
    vip         boolean,
    created_at  timestamptz NOT NULL
);
COMMENT ON TABLE customers IS 'Who buys';
COMMENT ON COLUMN customers.vip IS 'NULL: nobody asked yet';

CREATE TABLE orders (
    id           bigint PRIMARY KEY,
    customer_id  integer NOT NULL REFERENCES customers,
    status       order_status NOT NULL,
    amount       numeric(12,2) NOT NULL,
    note         text,
    placed_at    timestamp NOT NULL
);
CREATE INDEX orders_by_customer ON orders (customer_id);

INSERT INTO customers VALUES
    (1, 'Ada', 'NO', true, '2024-01-01 10:00:00+00'),
    (2, 'Björn', 'SE', false, '2024-02-01 11:30:00+00'),
    (3, 'chloé', 'FR', NULL, '2024-03-01 12:00:00.5+00'),
    (4, 'Ådne', 'NO', true, '2024-04-01 00:00:00+00'),
    (5, 'dag ', 'NO', false, '2024-05-01 23:59:59.999999+00');

INSERT INTO orders
SELECT i, 1 + (i % 4)::integer, (ARRAY['new','paid','shipped','returned'])[1 + i % 4]::order_status, i * 1.25,
       CASE WHEN i % 3 = 0 THEN NULL ELSE 'note ' || i END, timestamp '2025-01-01' + i * interval '1 hour'
FROM generate_series(1::bigint, 1000) AS i;

CREATE VIEW paid_orders AS SELECT * FROM orders WHERE status = 'paid';

CREATE SCHEMA billing;
CREATE TABLE billing.invoices (id integer PRIMARY KEY, order_id bigint NOT NULL, "Total Due" numeric NOT NULL);
INSERT INTO billing.invoices VALUES (1, 10, 12.50), (2, 20, 25.00);

CREATE TABLE "MixedCase" ("Id" integer PRIMARY KEY, "a.b" text, "c$d" text, "quo""te" text);
INSERT INTO "MixedCase" VALUES (1, 'dot', 'dollar', 'quote');

CREATE TABLE hidden (secret text);

ANALYZE;
GRANT USAGE ON SCHEMA public, billing TO app;
GRANT SELECT ON ALL TABLES IN SCHEMA public, billing TO app;
REVOKE ALL ON hidden FROM app;
