//! Fjord itself is killed, and fed with values of unusual size.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use fjord_harness::FjordServer;
use fjord_sqllogictests::world::{World, number};

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let mut world = World::start("").unwrap();
    for round in 1..=5i64 {
        let client = world.fjord.client().await.unwrap();
        client.simple_query(&world.create_connector(&format!("pg{round}"), "")).await.unwrap();
        client.simple_query(&format!("CREATE VIEW v{round} AS SELECT id FROM pg{round}.public.numbers WHERE id <= {round}")).await.unwrap();
        if round == 3 {
            client.simple_query("DROP VIEW v1").await.unwrap();
            client.simple_query("DROP CONNECTOR pg1").await.unwrap();
        }
        world.fjord.kill9();
        world.fjord.start_again().unwrap();
        let client = world.fjord.client().await.unwrap();
        assert_eq!(number(&client, &format!("SELECT count(*) FROM v{round}")).await.unwrap(), round);
        let gone = i64::from(round >= 3);
        assert_eq!(number(&client, "SELECT count(*) FROM sys.connectors").await.unwrap(), round + 1 - gone);
    }
}

/// Killed at any moment of a stream of DDL: whatever was answered is there, and the catalog is readable.
#[tokio::test]
async fn kill_9_in_the_middle_of_ddl_loses_nothing_that_was_acknowledged() {
    let mut fjord = FjordServer::start().unwrap();
    let mut acknowledged = 0i64;
    for round in 1..=6 {
        let client = fjord.client().await.unwrap();
        let (told, mut acknowledgements) = tokio::sync::mpsc::unbounded_channel();
        let stream = tokio::spawn(async move {
            for i in 0.. {
                if client.simple_query(&format!("CREATE SECRET s_{round}_{i} FROM ENV 'HOME'")).await.is_err() {
                    return;
                }
                told.send(()).unwrap();
            }
        });
        for _ in 0..3 * round {
            acknowledgements.recv().await.unwrap();
            acknowledged += 1;
        }
        fjord.kill9();
        stream.await.unwrap();
        while acknowledgements.recv().await.is_some() {
            acknowledged += 1;
        }
        fjord.start_again().unwrap();
        let client = fjord.client().await.unwrap();
        let there = number(&client, "SELECT count(*) FROM sys.secrets").await.unwrap();
        // The last one of a round may have been committed without an answer.
        assert!(there >= acknowledged && there <= acknowledged + 1, "{acknowledged} were acknowledged, {there} are there");
        acknowledged = there;
    }
}

#[tokio::test]
async fn huge_values_pass_whole() {
    let world = World::start("").unwrap();
    let columns = (0..400).map(|i| format!("{i} AS c{i}")).collect::<Vec<_>>().join(", ");
    world
        .postgres
        .psql(&format!(
            "CREATE TABLE huge AS SELECT 1 AS id, repeat('é', 10000000) AS t, decode(repeat('00ff', 5000000), 'hex') AS b, array_agg(i) AS a FROM generate_series(1, 200000) AS i;
             CREATE TABLE wide AS SELECT {columns};
             CREATE TABLE many AS SELECT i AS id, repeat('y', 300000) AS t FROM generate_series(1, 100) AS i;
             GRANT SELECT ON huge, wide, many TO app"
        ))
        .unwrap();
    let client = world.fjord.client().await.unwrap();
    client.simple_query("ALTER CONNECTOR pg REFRESH SCHEMA").await.unwrap();
    let row = client.query_one("SELECT t, b, a FROM pg.public.huge", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0).len(), 20_000_000);
    assert_eq!(row.get::<_, &[u8]>(1).len(), 10_000_000);
    assert_eq!(row.get::<_, Vec<i32>>(2).len(), 200_000);
    // The same as text.
    assert_eq!(world.fjord.psql("SELECT t FROM pg.public.huge").unwrap().len(), 20_000_001);
    let row = client.query_one("SELECT * FROM pg.public.wide", &[]).await.unwrap();
    assert_eq!((row.len(), row.get::<_, i32>(399)), (400, 399));
    let total: usize = client.query("SELECT t FROM pg.public.many", &[]).await.unwrap().iter().map(|r| r.get::<_, &str>(0).len()).sum();
    assert_eq!(total, 30_000_000);
    // A query text of a megabyte.
    let list = (0..150_000).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(number(&client, &format!("SELECT count(*) FROM (SELECT '{list}' AS t) s WHERE length(t) > 100000")).await.unwrap(), 1);
}
