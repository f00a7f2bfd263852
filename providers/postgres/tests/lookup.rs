//! Short results: prepared statements on the source's connections give what COPY gives, follow the schema, and are bounded.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;

use arrow::datatypes::DataType;
use fjord_engine::SqlState;
use fjord_engine::pushdown::{Family, JoinKind, Op, Rel, RemoteType, Scalar, Value};
use fjord_engine::source::{RemoteInput, Source, TableInfo};
use fjord_harness::Postgres;
use support::*;

const TYPES: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE TABLE t (a bigint PRIMARY KEY, b text, c numeric(12,2), d numeric, e date, f timestamptz, g float8, h uuid, i jsonb, j int[], k bytea, l mood,
        m char(5), n interval, o inet, p boolean, q smallint, r real, s time, u timestamp);
    INSERT INTO t VALUES
        (1, 'it''s \\ \"x\"', -12.50, 1e-20, '0044-03-15 BC', 'infinity', '-0', '0b6f2b6e-7bcb-4a7c-8f68-7a3f2f1f6d3a', '{\"b\": 1}', '{1,NULL}', '\\x00ff', 'ok',
            'x', '1 mon -2 days 03:04:05.6', '10.0.0.1/8', true, -1, 'NaN', '23:59:59.999999', '1969-12-31 23:59:59.999999'),
        (2, '', 0, 99999999999999999999, 'infinity', '-infinity', 'NaN', '00000000-0000-0000-0000-000000000000', '[]', '{}', '', 'sad',
            '', '0', '::1', false, 32767, '-Infinity', '00:00', 'infinity');
    INSERT INTO t (a) VALUES (3);";

/// What the one connection of the source ran last.
async fn last(client: &tokio_postgres::Client) -> String {
    // A connection that was given up may still be on its way out.
    let sql = "SELECT query FROM pg_stat_activity WHERE application_name = 'fjord' ORDER BY backend_start DESC LIMIT 1";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn prepared(source: &Arc<dyn Source>) -> i64 {
    // remote_query takes the idle connection, and sees the statements of its session: two of them its own.
    let rows =
        run_text(source, "SELECT count(*) FROM pg_prepared_statements WHERE statement NOT LIKE '%pg_prepared_statements%'").await.unwrap();
    exact(&rows, 0)[0].parse().unwrap()
}

fn key(t: &TableInfo, id: i64) -> RemoteInput {
    let int = RemoteType { name: "bigint".into(), family: Family::Int(64), arrow: DataType::Int64, nullable: false, text: None };
    let predicate = Scalar::call(Op::Eq, vec![Scalar::Column(0), Scalar::Literal(Value::Int(id), int)], RemoteType::boolean(false));
    RemoteInput::Query(Rel::Filter { input: Box::new(scan(t).0), predicate })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_gives_what_copy_gives() {
    let pg = Postgres::start().unwrap();
    pg.psql(TYPES).unwrap();
    let client = pg.client().await.unwrap();
    let source = over(&pg, &[]);
    let t = table(&source.introspect().await.unwrap(), "t");
    // Never analyzed: how many rows there are is not known.
    let copied = read(&source, &t).await.unwrap();
    assert!(last(&client).await.contains("; COPY ("));
    pg.psql("ANALYZE t").unwrap();
    let t = table(&source.introspect().await.unwrap(), "t");
    let selected = read(&source, &t).await.unwrap();
    assert!(last(&client).await.starts_with("SELECT"));
    for column in 0..t.columns.len() {
        assert_eq!(exact(&copied, column), exact(&selected, column), "{}", t.columns[column].field.name());
    }
    assert_eq!(exact(&selected, 0), ["1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lookups_by_key_share_one_statement_and_statements_are_bounded() {
    let pg = Postgres::start().unwrap();
    pg.psql("CREATE TABLE t (a bigint PRIMARY KEY, b text); INSERT INTO t SELECT i, 'x' || i FROM generate_series(1, 5000) i; ANALYZE t")
        .unwrap();
    let client = pg.client().await.unwrap();
    let source = over(&pg, &[("pool_size", "1")]);
    let t = table(&source.introspect().await.unwrap(), "t");
    for id in [7, 5000, -1, i64::MIN] {
        let asked = request(key(&t, id), t.arrow_schema());
        let rows: Vec<_> = futures::TryStreamExt::try_collect(source.execute(asked.request).unwrap()).await.unwrap();
        let expected: Vec<String> = if (1..=5000).contains(&id) { vec![format!("x{id}")] } else { vec![] };
        assert_eq!(exact(&rows, 1), expected);
        assert!(last(&client).await.ends_with("WHERE \"a\" = $1::bigint"));
        // What people read has the value.
        assert!(asked.stats.text().unwrap().contains(&id.unsigned_abs().to_string()), "{:?}", asked.stats.text());
    }
    assert_eq!(prepared(&source).await, 1);
    for n in 1..=100 {
        let limited = Rel::Limit { input: Box::new(scan(&t).0), skip: 0, fetch: Some(n) };
        let rows = collect(&source, RemoteInput::Query(limited), t.arrow_schema()).await.unwrap();
        assert_eq!(exact(&rows, 0).len() as u64, n);
    }
    assert_eq!(prepared(&source).await, 64);
    // A large result does not go this way.
    assert_eq!(exact(&read(&source, &t).await.unwrap(), 0).len(), 5000);
    assert!(last(&client).await.contains("; COPY ("));
}

#[tokio::test(flavor = "multi_thread")]
async fn lookups_through_a_join_share_one_statement() {
    let pg = Postgres::start().unwrap();
    pg.psql(
        "CREATE TABLE t (a bigint PRIMARY KEY, b text); INSERT INTO t SELECT i, 'x' || i FROM generate_series(1, 5000) i;
         CREATE TABLE u (a bigint, n bigint); INSERT INTO u SELECT i / 2, i FROM generate_series(1, 9000) i; ANALYZE",
    )
    .unwrap();
    let client = pg.client().await.unwrap();
    let source = over(&pg, &[("pool_size", "1")]);
    let catalog = source.introspect().await.unwrap();
    let (t, u) = (table(&catalog, "t"), table(&catalog, "u"));
    let schema = Arc::new(arrow::datatypes::Schema::new([t.arrow_schema().fields().to_vec(), u.arrow_schema().fields().to_vec()].concat()));
    let joined = |id: i64| {
        let RemoteInput::Query(left) = key(&t, id) else { unreachable!() };
        let on = Scalar::call(Op::Eq, vec![Scalar::Column(0), Scalar::Column(2)], RemoteType::boolean(true));
        RemoteInput::Query(Rel::Join { left: Box::new(left), right: Box::new(scan(&u).0), kind: JoinKind::Inner, on: Some(on) })
    };
    for id in [7, 11, 4000] {
        let rows = collect(&source, joined(id), schema.clone()).await.unwrap();
        assert_eq!(exact(&rows, 3), [(id * 2).to_string(), (id * 2 + 1).to_string()]);
        assert!(last(&client).await.contains("= $1::bigint"), "{}", last(&client).await);
    }
    assert_eq!(prepared(&source).await, 1);
    // Neither side is known to be short.
    let RemoteInput::Query(Rel::Join { right, kind, on, .. }) = joined(7) else { unreachable!() };
    let all = Rel::Join { left: Box::new(scan(&t).0), right, kind, on };
    collect(&source, RemoteInput::Query(all), schema).await.unwrap();
    assert!(last(&client).await.contains("; COPY ("));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_made_before_a_change_of_the_schema_is_not_used() {
    let pg = Postgres::start().unwrap();
    pg.psql("CREATE TABLE t (a bigint NOT NULL, b text); INSERT INTO t VALUES (1, 'x'); ANALYZE t").unwrap();
    let client = pg.client().await.unwrap();
    let source = over(&pg, &[]);
    let t = table(&source.introspect().await.unwrap(), "t");
    assert_eq!(exact(&read(&source, &t).await.unwrap(), 0), ["1"]);
    assert!(last(&client).await.starts_with("SELECT"));
    for (change, state, name) in [
        // Eight bytes are eight bytes.
        ("ALTER TABLE t ALTER a TYPE float8", SqlState::FDW_INCONSISTENT_DESCRIPTOR, "\"a\""),
        ("ALTER TABLE t ALTER a TYPE bigint, ALTER a DROP NOT NULL; UPDATE t SET a = NULL", SqlState::FDW_INCONSISTENT_DESCRIPTOR, "'a'"),
        ("UPDATE t SET a = 1; ALTER TABLE t RENAME b TO c", SqlState::UNDEFINED_COLUMN, "b"),
        ("DROP TABLE t", SqlState::UNDEFINED_TABLE, "t"),
    ] {
        pg.psql(change).unwrap();
        for _ in 0..2 {
            let e = read(&source, &t).await.unwrap_err();
            assert_eq!(e.state, state, "{change}: {e}");
            assert!(e.message.contains(name) && e.hint.as_ref().unwrap().contains("REFRESH SCHEMA"), "{change}: {e}");
        }
    }
    // And a table that is there again is read again, by the connections of before.
    pg.psql("CREATE TABLE t (a bigint NOT NULL, b text); INSERT INTO t VALUES (2, 'y'); ANALYZE t").unwrap();
    let t = table(&source.introspect().await.unwrap(), "t");
    assert_eq!(exact(&read(&source, &t).await.unwrap(), 0), ["2"]);
}
