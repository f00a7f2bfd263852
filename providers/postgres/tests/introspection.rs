//! What one pass over the source's catalog brings back.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Instant;

use fjord_engine::pushdown::{Equality, Family, Order};
use fjord_engine::source::TableKind;
use fjord_harness::Postgres;
use support::*;

const SHOP: &str = r#"
COMMENT ON SCHEMA public IS 'the shop';
CREATE TABLE customers (id int PRIMARY KEY, email text NOT NULL UNIQUE DEFERRABLE, name varchar(40) COLLATE "C" DEFAULT 'n/a', gone int);
ALTER TABLE customers DROP COLUMN gone, ADD COLUMN added date, ADD COLUMN twice int GENERATED ALWAYS AS (id * 2) STORED;
COMMENT ON TABLE customers IS 'who buys'; COMMENT ON COLUMN customers.name IS 'full name';
CREATE INDEX by_name ON customers (name text_pattern_ops, lower(email)) INCLUDE (added) WHERE added IS NOT NULL;
CREATE TABLE orders (region text, id int, customer int REFERENCES customers ON DELETE CASCADE, amount numeric(10,2), PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE orders_eu PARTITION OF orders FOR VALUES IN ('eu');
CREATE TABLE orders_us PARTITION OF orders FOR VALUES IN ('us');
INSERT INTO customers (id, email, name) SELECT i, i || '@x', CASE WHEN i % 4 > 0 THEN 'n' || i % 10 END FROM generate_series(1, 1000) i;
INSERT INTO orders SELECT CASE WHEN i % 5 = 0 THEN 'us' ELSE 'eu' END, i, 1 + i % 1000, i FROM generate_series(1, 5000) i;
CREATE VIEW big AS SELECT id, amount FROM orders WHERE amount > 100;
CREATE MATERIALIZED VIEW totals AS SELECT region, sum(amount) AS total FROM orders GROUP BY region;
CREATE TABLE secret (id int); ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE TABLE never_analyzed (id int);
CREATE SCHEMA "Odd schema"; CREATE TABLE "Odd schema"."a ""b"" c" ("Sélect" int, "x.y" text);
ANALYZE customers; ANALYZE orders_eu; ANALYZE orders_us;
CREATE ROLE reader LOGIN; GRANT SELECT ON customers, secret TO reader; GRANT SELECT (id) ON orders TO reader;
"#;

#[tokio::test(flavor = "multi_thread")]
async fn tables_keys_indexes_comments_statistics() {
    let pg = Postgres::start().unwrap();
    pg.psql(SHOP).unwrap();
    let catalog = over(&pg, &[]).introspect().await.unwrap();
    assert!(catalog.server_version.starts_with("PostgreSQL 1"));
    assert_eq!(catalog.default_schema, "public");
    let names: Vec<&str> = catalog.schemas.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["Odd schema", "public"]);
    assert_eq!(catalog.schemas[1].comment.as_deref(), Some("the shop"));
    let names: Vec<String> = catalog.schemas[1].tables.iter().map(|t| format!("{} {}", t.name, t.kind.as_str())).collect();
    assert_eq!(
        names,
        [
            "big view",
            "customers table",
            "never_analyzed table",
            "orders partitioned table",
            "orders_eu table",
            "orders_us table",
            "secret table",
            "totals materialized view"
        ]
    );

    let customers = table(&catalog, "customers");
    let columns: Vec<&str> = customers.columns.iter().map(|c| c.field.name().as_str()).collect();
    assert_eq!(columns, ["id", "email", "name", "added", "twice"]);
    assert_eq!(customers.comment.as_deref(), Some("who buys"));
    assert_eq!(customers.columns[2].comment.as_deref(), Some("full name"));
    assert_eq!(customers.columns[2].default.as_deref(), Some("'n/a'::character varying"));
    // A generated column's expression is no default.
    assert_eq!(customers.columns[4].default, None);
    assert!(!customers.columns[0].field.is_nullable() && customers.columns[2].field.is_nullable());
    assert_eq!(customers.rows, Some(1000));
    assert!(customers.bytes.unwrap() > 8192);
    let stats = customers.columns[2].stats.unwrap();
    assert_eq!((stats.distinct, stats.null_fraction), (Some(10), 0.25));
    // n_distinct is -1 there: as many as there are rows.
    assert_eq!(customers.columns[0].stats.unwrap().distinct, Some(1000));
    let keys: Vec<_> = customers.keys.iter().map(|k| (k.name.as_str(), k.primary, k.columns.clone(), k.deferrable)).collect();
    assert_eq!(keys, [("customers_pkey", true, vec![0], false), ("customers_email_key", false, vec![1], true)]);
    let by_name = customers.indexes.iter().find(|i| i.name == "by_name").unwrap();
    assert_eq!(by_name.columns, [Some(2), None]);
    assert_eq!(by_name.operator_classes, ["text_pattern_ops", "text_ops"]);
    assert_eq!(by_name.collations, [Some("C".to_string()), Some("default".to_string())]);
    assert!(by_name.partial && !by_name.unique && by_name.method == "btree");
    assert!(by_name.definition.contains("INCLUDE (added)"), "{}", by_name.definition);
    assert!(customers.indexes[0].primary);

    let orders = table(&catalog, "orders");
    // Its root was never analyzed: the sum of its partitions.
    assert_eq!((orders.kind, orders.rows), (TableKind::Partitioned, Some(5000)));
    assert!(orders.bytes.unwrap() > 100_000);
    assert_eq!(orders.primary_key().unwrap().columns, [1, 0]);
    let fk = &orders.foreign_keys[0];
    assert_eq!(
        (fk.columns.clone(), fk.to_schema.as_str(), fk.to_table.as_str(), fk.to_columns.clone()),
        (vec![2], "public", "customers", vec!["id".to_string()])
    );
    assert_eq!(fk.definition, "FOREIGN KEY (customer) REFERENCES public.customers(id) ON DELETE CASCADE");
    assert_eq!(table(&catalog, "big").rows, None);
    assert_eq!(table(&catalog, "never_analyzed").rows, None);
    let odd = catalog.table("Odd schema", "a \"b\" c").unwrap();
    assert_eq!(odd.columns[0].field.name(), "Sélect");
    assert_eq!(read(&over(&pg, &[]), odd).await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_role_may_not_read_is_listed_with_the_reason() {
    let pg = Postgres::start().unwrap();
    pg.psql(SHOP).unwrap();
    let source = over(&pg, &[("user", "reader")]);
    let catalog = source.introspect().await.unwrap();
    assert_eq!(table(&catalog, "customers").unreadable, None);
    assert!(table(&catalog, "totals").unreadable.as_ref().unwrap().contains("SELECT right on \"public\".\"totals\""));
    assert!(
        catalog.table("Odd schema", "a \"b\" c").unwrap().unreadable.as_ref().unwrap().contains("USAGE right on schema \"Odd schema\"")
    );
    // Row security does not bind the owner, but this role.
    assert!(table(&catalog, "secret").row_security);
    assert!(!over(&pg, &[]).introspect().await.unwrap().table("public", "secret").unwrap().row_security);
    // A right on one column: the table is there with this column.
    let orders = table(&catalog, "orders");
    assert_eq!((orders.unreadable.clone(), orders.columns.len()), (None, 1));
    assert_eq!(exact(&read(&source, &orders).await.unwrap(), 0).len(), 5000);
    assert!(catalog.notices.iter().any(|n| n.contains("3 columns are left out")), "{:?}", catalog.notices);
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_and_tables_are_chosen_by_options() {
    let pg = Postgres::start().unwrap();
    pg.psql(SHOP).unwrap();
    let catalog = over(&pg, &[("include_schemas", "public"), ("exclude_tables", "orders_*, public.secret")]).introspect().await.unwrap();
    let names: Vec<&str> = catalog.schemas.iter().flat_map(|s| &s.tables).map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["big", "customers", "never_analyzed", "orders", "totals"]);
    let catalog = over(&pg, &[("system_schemas", "true")]).introspect().await.unwrap();
    let source = over(&pg, &[]);
    for name in ["pg_class", "pg_type", "pg_attribute", "pg_stat_activity"] {
        let table = catalog.table("pg_catalog", name).unwrap();
        assert!(!read(&source, table).await.unwrap().is_empty(), "{name}");
    }
    assert!(catalog.table("information_schema", "tables").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn collations_of_text() {
    let pg = Postgres::start().unwrap();
    pg.psql(
        r#"CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); CREATE EXTENSION citext;
           CREATE TABLE t (a text COLLATE "C", b text, c text COLLATE ci, d citext, e text COLLATE "POSIX", f text COLLATE "und-x-icu", g char(3), h name,
                           i int, j text[]);"#,
    )
    .unwrap();
    let t = table(&over(&pg, &[]).introspect().await.unwrap(), "t");
    let facts: Vec<String> = t
        .columns
        .iter()
        .map(|c| match &c.remote.text {
            Some(f) => format!("{} {:?} {:?} {}{}", c.field.name(), f.equality, f.order, f.collation, if f.pads { " pads" } else { "" }),
            None => format!("{} -", c.field.name()),
        })
        .collect();
    assert_eq!(
        facts,
        [
            "a Bytewise Bytes C",
            "b Bytewise Other default (C.UTF-8)",
            "c Coarser Other public.ci",
            "d Coarser Other citext",
            "e Bytewise Bytes POSIX",
            "f Bytewise Other und-x-icu",
            "g Bytewise Other default (C.UTF-8) pads",
            "h Bytewise Bytes C",
            "i -",
            "j -"
        ]
    );
    let Family::Array(e) = &t.columns[9].remote.family else { panic!() };
    assert_eq!(e.text.as_ref().unwrap().order, Order::Other);

    // In a database of another encoding the server compares other bytes than we see; text still arrives right.
    pg.psql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0").unwrap();
    pg.psql_in("latin", "SET client_encoding = 'UTF8'; CREATE TABLE t (a text); INSERT INTO t VALUES ('hé')").unwrap();
    let source = over(&pg, &[("database", "latin")]);
    let t = table(&source.introspect().await.unwrap(), "t");
    assert_eq!(t.columns[0].remote.text.as_ref().unwrap().equality, Equality::Unknown);
    assert_eq!(exact(&read(&source, &t).await.unwrap(), 0), ["hé"]);
    pg.psql("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0").unwrap();
    pg.psql_in("ascii", "CREATE TABLE t (a text); INSERT INTO t VALUES (convert_from('\\xe9', 'SQL_ASCII'))").unwrap();
    let source = over(&pg, &[("database", "ascii")]);
    let e = read(&source, &table(&source.introspect().await.unwrap(), "t")).await.unwrap_err();
    assert_eq!(e.state, fjord_engine::SqlState::CHARACTER_NOT_IN_REPERTOIRE, "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tables_in_one_pass() {
    let pg = Postgres::with_settings("max_locks_per_transaction = 20000").unwrap();
    pg.psql(
        "DO $$ BEGIN FOR i IN 1..10000 LOOP EXECUTE format('CREATE TABLE t%s (id int, name text, amount numeric(10,2))', i); \
         IF i % 1000 = 0 THEN COMMIT; END IF; END LOOP; END $$",
    )
    .unwrap();
    let source = over(&pg, &[]);
    let start = Instant::now();
    let catalog = source.introspect().await.unwrap();
    let took = start.elapsed();
    assert_eq!(catalog.schemas[0].tables.len(), 10_000);
    assert!(catalog.schemas[0].tables.iter().all(|t| t.columns.len() == 3));
    // Generous, for a debug build on a busy machine; one query per table would take far longer.
    assert!(took.as_secs() < 60, "{took:?}");
}
