//! The source's schema changes while Fjord still holds what it read of it before. A statement whose plan no longer fits is planned again, once, as
//! long as no row has gone to the client.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use fjord_sqllogictests::world::{World, code, eventually, number, words};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

/// A world whose schema is not read again by itself while the test runs.
async fn world() -> (World, Client) {
    let world = World::start(", schema_ttl '1h'").unwrap();
    world
        .postgres
        .psql(
            "CREATE TABLE t (id int PRIMARY KEY, a int, b text); INSERT INTO t VALUES (1, 10, 'x'), (2, 20, 'y'); GRANT SELECT ON t TO app",
        )
        .unwrap();
    let client = world.fjord.client().await.unwrap();
    client.simple_query("ALTER CONNECTOR pg REFRESH SCHEMA").await.unwrap();
    (world, client)
}

/// The rows of a simple query, each as its texts, the columns' names first.
async fn simple(client: &Client, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let mut all = vec![];
    for message in client.simple_query(sql).await? {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                all.push(columns.iter().map(|c| c.name().to_string()).collect::<Vec<_>>().join("|"));
            }
            SimpleQueryMessage::Row(row) => {
                all.push((0..row.len()).map(|i| row.get(i).unwrap_or("NULL").to_string()).collect::<Vec<_>>().join("|"));
            }
            _ => {}
        }
    }
    Ok(all)
}

#[tokio::test]
async fn a_retyped_column_is_read_in_its_new_type_by_a_simple_query() {
    let (world, client) = world().await;
    let all = "SELECT * FROM pg.public.t ORDER BY id";
    assert_eq!(simple(&client, all).await.unwrap(), ["id|a|b", "1|10|x", "2|20|y"]);
    world.postgres.psql("ALTER TABLE t ALTER a TYPE text USING 'n' || a").unwrap();
    assert_eq!(simple(&client, all).await.unwrap(), ["id|a|b", "1|n10|x", "2|n20|y"]);

    // Used in a condition only: the source refuses the old literal, or takes it in another sense.
    world.postgres.psql("ALTER TABLE t ALTER a TYPE bigint USING substr(a, 2)::bigint * 10000000000").unwrap();
    assert_eq!(simple(&client, "SELECT id FROM pg.public.t WHERE a > 150000000000").await.unwrap(), ["id", "2"]);

    // Dropped and made again under the same name: another column to the source.
    world.postgres.psql("ALTER TABLE t DROP a; ALTER TABLE t ADD a date DEFAULT '2026-01-02'").unwrap();
    assert_eq!(simple(&client, all).await.unwrap(), ["id|b|a", "1|x|2026-01-02", "2|y|2026-01-02"]);

    // COPY and a cursor tell their columns with their rows.
    world.postgres.psql("ALTER TABLE t ALTER a DROP DEFAULT, ALTER a TYPE int USING 7").unwrap();
    let copied = client.copy_out("COPY (SELECT a FROM pg.public.t) TO STDOUT").await.unwrap();
    let copied: Vec<bytes::Bytes> = futures::TryStreamExt::try_collect(copied).await.unwrap();
    assert_eq!(copied.concat(), b"7\n7\n");
    world.postgres.psql("ALTER TABLE t ALTER a TYPE text USING 'again'").unwrap();
    client.simple_query("BEGIN; DECLARE c CURSOR FOR SELECT a FROM pg.public.t").await.unwrap();
    assert_eq!(simple(&client, "FETCH 1 FROM c").await.unwrap(), ["a", "again"]);
    client.simple_query("COMMIT").await.unwrap();
}

#[tokio::test]
async fn a_prepared_statement_goes_on_where_its_columns_are_the_same_and_is_0a000_where_not() {
    let (world, client) = world().await;
    let total = client.prepare("SELECT sum(id)::bigint FROM pg.public.t WHERE a::text LIKE '%0'").await.unwrap();
    let wide = client.prepare("SELECT a FROM pg.public.t ORDER BY id").await.unwrap();
    client.simple_query("PREPARE named AS SELECT a FROM pg.public.t").await.unwrap();
    assert_eq!(client.query_one(&total, &[]).await.unwrap().get::<_, i64>(0), 3);
    assert_eq!(client.query(&wide, &[]).await.unwrap()[0].get::<_, i32>(0), 10);

    world.postgres.psql("ALTER TABLE t ALTER a TYPE text").unwrap();
    let e = client.query(&wide, &[]).await.unwrap_err();
    assert_eq!(code(&e), "0A000", "{}", words(&e));
    assert!(words(&e).contains("cached plan must not change result type"), "{}", words(&e));
    // Still so the next time, and through EXECUTE; prepared again it works.
    assert_eq!(code(&client.query(&wide, &[]).await.unwrap_err()), "0A000");
    assert_eq!(code(&client.simple_query("EXECUTE named").await.unwrap_err()), "0A000");
    let again = client.prepare("SELECT a FROM pg.public.t ORDER BY id").await.unwrap();
    assert_eq!(again.columns()[0].type_(), &Type::TEXT);
    assert_eq!(client.query(&again, &[]).await.unwrap()[1].get::<_, String>(0), "20");
    assert_eq!(client.query_one(&total, &[]).await.unwrap().get::<_, i64>(0), 3);

    // A parameter keeps the type that the client was told.
    let find = client.prepare("SELECT id FROM pg.public.t WHERE b = $1").await.unwrap();
    assert_eq!(client.query_one(&find, &[&"y"]).await.unwrap().get::<_, i32>(0), 2);
    world.postgres.psql("ALTER TABLE t ALTER b TYPE varchar(5) COLLATE \"C\"").unwrap();
    assert_eq!(client.query_one(&find, &[&"y"]).await.unwrap().get::<_, i32>(0), 2);
}

#[tokio::test]
async fn what_is_gone_is_named_with_its_own_state() {
    let (world, client) = world().await;
    let prepared = client.prepare("SELECT b FROM pg.public.t").await.unwrap();
    assert_eq!(client.query(&prepared, &[]).await.unwrap().len(), 2);
    world.postgres.psql("ALTER TABLE t DROP b").unwrap();
    let e = client.query(&prepared, &[]).await.unwrap_err();
    assert_eq!(code(&e), "42703", "{}", words(&e));
    assert!(words(&e).contains('b') && words(&e).contains("does not exist"), "{}", words(&e));
    let e = client.simple_query("SELECT id FROM pg.public.t WHERE b = 'x'").await.unwrap_err();
    assert_eq!(code(&e), "42703", "{}", words(&e));
    assert_eq!(simple(&client, "SELECT * FROM pg.public.t WHERE id = 1").await.unwrap(), ["id|a", "1|10"]);

    world.postgres.psql("DROP TABLE t").unwrap();
    let e = client.simple_query("SELECT id FROM pg.public.t").await.unwrap_err();
    assert_eq!(code(&e), "42P01", "{}", words(&e));
    assert!(words(&e).contains("pg.public.t"), "the name is the one that the user wrote: {}", words(&e));
    assert_eq!(code(&client.query(&prepared, &[]).await.unwrap_err()), "42P01");
    // Made again, it is there again, with a new table's rows.
    world.postgres.psql("CREATE TABLE t (z int); INSERT INTO t VALUES (5); GRANT SELECT ON t TO app").unwrap();
    client.simple_query("ALTER CONNECTOR pg REFRESH SCHEMA").await.unwrap();
    assert_eq!(simple(&client, "SELECT * FROM pg.public.t").await.unwrap(), ["z", "5"]);
}

#[tokio::test]
async fn many_sessions_that_meet_one_change_all_go_on_and_the_source_is_not_read_by_each() {
    let (world, client) = world().await;
    world.postgres.psql("ALTER TABLE t ALTER a TYPE text").unwrap();
    let introspections = "SELECT introspections::bigint FROM sys.connector_health";
    let before = number(&client, introspections).await;
    let mut clients = vec![];
    for _ in 0..12 {
        clients.push(world.fjord.client().await.unwrap());
    }
    let all = clients.iter().map(|c| simple(c, "SELECT a FROM pg.public.t WHERE id = 2"));
    for rows in futures::future::join_all(all).await {
        assert_eq!(rows.unwrap(), ["a", "20"]);
    }
    if let (Ok(before), Ok(after)) = (before, number(&client, introspections).await) {
        assert!(after - before < 6, "{} introspections for 12 sessions", after - before);
    }
}

#[tokio::test]
async fn an_added_column_is_in_the_next_statements_star() {
    let world = World::start(", schema_ttl '100ms'").unwrap();
    let client = world.fjord.client().await.unwrap();
    assert_eq!(simple(&client, "SELECT * FROM pg.public.numbers WHERE id = 1").await.unwrap()[0], "id|note|filler");
    world.postgres.psql("ALTER TABLE numbers ADD more int DEFAULT 4").unwrap();
    eventually("the added column", || async {
        Ok(simple(&client, "SELECT * FROM pg.public.numbers WHERE id = 1").await?[0] == "id|note|filler|more")
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_was_made_after_the_schema_was_read_is_found_by_name() {
    let (world, client) = world().await;
    world
        .postgres
        .psql(
            "CREATE TABLE young AS SELECT 7 AS id; ALTER TABLE t ADD later int DEFAULT 4; CREATE SCHEMA fresh; CREATE TABLE fresh.inner AS SELECT 8 AS id;
             GRANT USAGE ON SCHEMA fresh TO app; GRANT SELECT ON young, t, fresh.inner TO app",
        )
        .unwrap();
    assert_eq!(simple(&client, "SELECT id FROM pg.public.young").await.unwrap(), ["id", "7"]);
    assert_eq!(simple(&client, "SELECT later FROM pg.public.t WHERE id = 1").await.unwrap(), ["later", "4"]);
    assert_eq!(simple(&client, "SELECT id FROM pg.fresh.inner").await.unwrap(), ["id", "8"]);
    world.postgres.psql("CREATE TABLE younger AS SELECT 9 AS id; GRANT SELECT ON younger TO app").unwrap();
    client.simple_query("CREATE VIEW over AS SELECT * FROM pg.public.younger").await.unwrap();
    assert_eq!(simple(&client, "SELECT id FROM over").await.unwrap(), ["id", "9"]);
    // What is nowhere is an error as before, and a crowd that asks for it is not a crowd at the source.
    let introspections = "SELECT introspections::bigint FROM sys.connector_health";
    let before = number(&client, introspections).await.unwrap();
    let mut clients = vec![];
    for _ in 0..12 {
        clients.push(world.fjord.client().await.unwrap());
    }
    for failed in futures::future::join_all(clients.iter().map(|c| simple(c, "SELECT 1 FROM pg.public.nowhere"))).await {
        assert_eq!(code(&failed.unwrap_err()), "42P01");
    }
    let after = number(&client, introspections).await.unwrap();
    assert!((1..6).contains(&(after - before)), "{} introspections for 12 sessions", after - before);
}

#[tokio::test]
async fn remote_query_is_described_again() {
    let (world, client) = world().await;
    let prepared = client.prepare("SELECT * FROM remote_query('pg', 'SELECT a FROM public.t WHERE id = 1')").await.unwrap();
    assert_eq!(client.query_one(&prepared, &[]).await.unwrap().get::<_, i32>(0), 10);
    world.postgres.psql("ALTER TABLE t ALTER a TYPE text").unwrap();
    assert_eq!(code(&client.query(&prepared, &[]).await.unwrap_err()), "0A000");
    let text = "SELECT * FROM remote_query('pg', 'SELECT a FROM public.t WHERE id = 1')";
    assert_eq!(simple(&client, text).await.unwrap(), ["a", "10"]);
}

/// What is known of a source is not what decides: it may have been paused, or have taken the right away, since.
#[tokio::test]
async fn a_paused_connector_is_55000_and_a_missing_right_42501() {
    let (world, client) = world().await;
    let prepared = client.prepare("SELECT id FROM pg.public.t").await.unwrap();
    assert_eq!(client.query(&prepared, &[]).await.unwrap().len(), 2);

    client.simple_query("ALTER CONNECTOR pg PAUSE").await.unwrap();
    for failed in [client.query(&prepared, &[]).await.unwrap_err(), client.simple_query("SELECT * FROM pg.t").await.unwrap_err()] {
        assert_eq!(code(&failed), "55000", "{}", words(&failed));
        assert!(words(&failed).contains("\"pg\" is paused") && words(&failed).contains("RESUME"), "{}", words(&failed));
    }
    let e = client.simple_query("SELECT * FROM remote_query('pg', 'SELECT 1')").await.unwrap_err();
    assert_eq!(code(&e), "55000", "{}", words(&e));
    client.simple_query("ALTER CONNECTOR pg RESUME").await.unwrap();
    assert_eq!(client.query(&prepared, &[]).await.unwrap().len(), 2);

    world.postgres.psql("REVOKE SELECT ON t FROM app").unwrap();
    let e = client.query(&prepared, &[]).await.unwrap_err();
    assert_eq!(code(&e), "42501", "{}", words(&e));
    assert!(words(&e).contains("\"pg\"") && words(&e).contains("permission denied for table t"), "{}", words(&e));
    // The same once the schema has been read again, now with the remedy.
    client.simple_query("ALTER CONNECTOR pg REFRESH SCHEMA").await.unwrap();
    let e = client.simple_query("SELECT id FROM pg.public.t").await.unwrap_err();
    assert_eq!(code(&e), "42501", "{}", words(&e));
    assert!(words(&e).contains("GRANT") || words(&e).contains("Grant"), "{}", words(&e));
    world.postgres.psql("GRANT SELECT (id) ON t TO app").unwrap();
    client.simple_query("ALTER CONNECTOR pg REFRESH SCHEMA").await.unwrap();
    assert_eq!(client.query(&prepared, &[]).await.unwrap().len(), 2);
}

/// Reading a files connector's schema again makes new tables of it; a query that is still reading keeps those it began with.
#[tokio::test]
async fn files_are_read_to_their_end_while_their_connectors_schema_is_read_again() {
    let (world, client) = world().await;
    let folder = world.fjord.folder().join("many");
    std::fs::create_dir_all(folder.join("numbers")).unwrap();
    // More files than are read at a time, and more rows than are buffered on the way.
    const FILES: usize = 8;
    const ROWS: usize = 40_000;
    for file in 0..FILES {
        let text: String = (0..ROWS).map(|i| format!("{}\n", file * ROWS + i)).collect();
        std::fs::write(folder.join(format!("numbers/{file}.csv")), format!("n\n{text}")).unwrap();
    }
    client.simple_query(&format!("CREATE CONNECTOR many TYPE files OPTIONS (location '{}')", folder.display())).await.unwrap();
    let reader = world.fjord.client().await.unwrap();
    simple(&reader, "BEGIN; DECLARE c CURSOR FOR SELECT n FROM many.files.numbers").await.unwrap();
    let mut rows = simple(&reader, "FETCH 1 FROM c").await.unwrap().len() - 1;
    for _ in 0..2 {
        client.simple_query("ALTER CONNECTOR many REFRESH SCHEMA").await.unwrap();
    }
    rows += simple(&reader, "FETCH ALL FROM c").await.unwrap().len() - 1;
    assert_eq!(rows, FILES * ROWS);
}
