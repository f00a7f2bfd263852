//! The source misbehaves: it restarts, refuses, is cut off or goes silent. A query then fails with the right code or succeeds with the whole answer, and the next one works.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use fjord_harness::{Direction, FjordOptions, FjordServer};
use fjord_sqllogictests::runner::APP_PASSWORD;
use fjord_sqllogictests::world::{SOON, World, code, eventually, number, words};

/// Codes that say: the connection to the source is gone (class 08), or the source said why it hung up (57P01, 57P02, 57P03).
fn is_lost(code: &str) -> bool {
    code.starts_with("08") || code.starts_with("57P0")
}

#[tokio::test]
async fn a_restart_in_mid_query_fails_it_and_the_next_one_works() {
    let mut world = World::start("").unwrap();
    let client = world.fjord.client().await.unwrap();
    for _ in 0..2 {
        let slow = client.query("SELECT id, slept FROM pg.public.slow", &[]);
        let restart = async {
            world.wait_until_active(1).await.unwrap();
            world.postgres.restart().unwrap();
        };
        let (failed, ()) = tokio::join!(slow, restart);
        let e = failed.unwrap_err();
        assert!(is_lost(&code(&e)), "{}", words(&e));
        assert!(words(&e).contains("\"pg\""), "the connector is named: {}", words(&e));
        assert_eq!(number(&client, "SELECT count(*) FROM pg.public.numbers").await.unwrap(), 5000);
    }
}

#[tokio::test]
async fn a_restart_between_queries_is_not_seen() {
    let mut world = World::start("").unwrap();
    let client = world.fjord.client().await.unwrap();
    for _ in 0..3 {
        assert_eq!(number(&client, "SELECT count(*) FROM pg.public.numbers").await.unwrap(), 5000);
        world.postgres.restart().unwrap();
    }
    world.postgres.kill9();
    world.postgres.start_again().unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg.public.numbers").await.unwrap(), 5000);
    world.terminate_sessions().unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg.public.numbers").await.unwrap(), 5000);
}

#[tokio::test]
async fn a_source_that_is_down_is_named_and_disturbs_nothing_else() {
    let mut world = World::start(", connect_timeout '2s'").unwrap();
    let client = world.fjord.client().await.unwrap();
    world.postgres.stop().unwrap();
    let e = number(&client, "SELECT count(*) FROM pg.public.numbers").await.unwrap_err();
    assert_eq!(code(&e), "08001", "{}", words(&e));
    assert!(words(&e).contains("\"pg\"") && words(&e).contains("127.0.0.1"), "{}", words(&e));
    assert_eq!(number(&client, "SELECT count(*) FROM sys.connectors").await.unwrap(), 1);
    assert_eq!(number(&client, "SELECT 1::bigint").await.unwrap(), 1);

    // Also when Fjord itself starts while the source is down.
    world.fjord.restart().unwrap();
    let client = world.fjord.client().await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM sys.connectors").await.unwrap(), 1);
    let e = number(&client, "SELECT count(*) FROM pg.public.numbers").await.unwrap_err();
    assert_eq!(code(&e), "08001", "{}", words(&e));
    world.postgres.start_again().unwrap();
    // A failed attempt is remembered for a second, so that many queries do not all wait for a dead source; then it is tried again.
    eventually("the source is reached again", || async {
        Ok(number(&client, "SELECT count(*) FROM pg.public.numbers").await.ok() == Some(5000))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_refused_connection_is_08001() {
    let world = World::start("").unwrap();
    let client = world.fjord.client().await.unwrap();
    world.proxy.refuse(true);
    world.proxy.cut_all();
    let e = number(&client, "SELECT count(*) FROM pg.public.numbers").await.unwrap_err();
    assert_eq!(code(&e), "08001", "{}", words(&e));
    world.proxy.refuse(false);
    assert_eq!(number(&client, "SELECT count(*) FROM pg.public.numbers").await.unwrap(), 5000);
}

#[tokio::test]
async fn a_wrong_password_is_28p01_and_never_shown() {
    let world = World::start("").unwrap();
    let client = world.fjord.client().await.unwrap();
    let e = client.simple_query(&world.create_connector("other", "").replace("SECRET app_password", "'a wrong one'")).await.unwrap_err();
    assert!(!words(&e).contains("a wrong one"), "{}", words(&e));

    // A password that is changed later: what runs goes on, new connections are refused, and all is well once it is right again.
    world.postgres.psql("ALTER ROLE app PASSWORD 'changed'").unwrap();
    world.terminate_sessions().unwrap();
    let e = number(&client, "SELECT count(*) FROM pg.public.numbers").await.unwrap_err();
    assert_eq!(code(&e), "28P01", "{}", words(&e));
    assert!(words(&e).contains("\"pg\"") && !words(&e).contains(APP_PASSWORD), "{}", words(&e));
    assert!(!world.fjord.log().contains(APP_PASSWORD) && !world.fjord.log().contains("a wrong one"), "no secret in the log");
    world.postgres.psql(&format!("ALTER ROLE app PASSWORD '{}'", APP_PASSWORD.replace('\'', "''"))).unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg.public.numbers").await.unwrap(), 5000);

    // A secret that is wrong from the start: nothing is persisted.
    let wrong =
        FjordServer::with(FjordOptions { env: vec![("APP_PASSWORD".into(), "a wrong one".into())], ..FjordOptions::default() }).unwrap();
    let client = wrong.client().await.unwrap();
    client.simple_query("CREATE SECRET app_password FROM ENV 'APP_PASSWORD'").await.unwrap();
    let e = client.simple_query(&world.create_connector("pg", "")).await.unwrap_err();
    assert_eq!(code(&e), "28P01", "{}", words(&e));
    assert!(!words(&e).contains("a wrong one"), "{}", words(&e));
    assert_eq!(number(&client, "SELECT count(*) FROM sys.connectors").await.unwrap(), 0);
}

/// A connection cut anywhere: while it is made, in the settings, in the query, in the rows. Never a short answer.
async fn cut_everywhere(direction: Direction, positions: impl Iterator<Item = u64>) {
    let world = World::start(", connect_timeout '5s'").unwrap();
    let client = world.fjord.client().await.unwrap();
    let (mut failed, mut whole) = (0, 0);
    for bytes in positions {
        world.proxy.cut_after(direction, Some(bytes));
        world.proxy.cut_all();
        match client.query("SELECT id, note, filler FROM pg.public.numbers", &[]).await {
            Ok(rows) => {
                assert_eq!(rows.len(), 5000, "a short answer after a cut at byte {bytes} {direction:?}");
                whole += 1;
            }
            Err(e) => {
                assert!(is_lost(&code(&e)), "after a cut at byte {bytes} {direction:?}: {}", words(&e));
                failed += 1;
            }
        }
        world.proxy.cut_after(direction, None);
        world.proxy.cut_all();
        assert_eq!(number(&client, "SELECT count(*) FROM pg.public.numbers").await.unwrap(), 5000, "the query after a cut at byte {bytes}");
    }
    assert!(failed > 0, "no cut came ({whole} whole answers)");
}

#[tokio::test]
async fn a_cut_at_any_byte_from_the_source_never_shortens_an_answer() {
    // Dense where the protocol's start-up is, then through the rows (about 400 kB).
    cut_everywhere(Direction::ToClient, (0..64).map(|i| i * 13).chain((1..20).map(|i| i * 20_011))).await;
}

#[tokio::test]
async fn a_cut_at_any_byte_to_the_source_never_shortens_an_answer() {
    cut_everywhere(Direction::ToServer, (0..80).map(|i| i * 11)).await;
}

#[tokio::test]
async fn a_silent_source_ends_at_the_statement_timeout_and_a_cancel_gets_through() {
    let world = World::start("").unwrap();
    let client = world.fjord.client().await.unwrap();
    client.simple_query("SET statement_timeout = '700ms'").await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg.public.numbers").await.unwrap(), 5000);
    world.proxy.stall(Direction::ToClient, true);
    let started = Instant::now();
    let e = number(&client, "SELECT count(*) FROM pg.public.numbers").await.unwrap_err();
    assert_eq!(code(&e), "57014", "{}", words(&e));
    assert!(started.elapsed() < SOON);

    // Without a time limit the user can still stop it.
    client.simple_query("SET statement_timeout = 0").await.unwrap();
    let token = client.cancel_token();
    let query = client.query_one("SELECT count(*) FROM pg.public.numbers", &[]);
    let cancel = async {
        // Nothing tells when the query has begun to wait; a cancel that comes too early hits nothing, so it is repeated by the outer select.
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            token.cancel_query(tokio_postgres::NoTls).await.unwrap();
        }
    };
    let e = tokio::select! {
        result = query => result.unwrap_err(),
        () = cancel => unreachable!(),
        () = tokio::time::sleep(SOON) => panic!("the cancel did nothing"),
    };
    assert_eq!(code(&e), "57014", "{}", words(&e));
    world.proxy.stall(Direction::ToClient, false);
    assert_eq!(number(&client, "SELECT count(*) FROM pg.public.numbers").await.unwrap(), 5000);
}

#[tokio::test]
async fn an_exhausted_pool_is_53300_after_a_bounded_wait() {
    let world = World::start(", pool_size 1, pool_timeout '300ms'").unwrap();
    let holder = world.fjord.client().await.unwrap();
    let other = world.fjord.client().await.unwrap();
    let token = holder.cancel_token();
    let held = tokio::spawn(async move { holder.query("SELECT id, slept FROM pg.public.slow", &[]).await.map(|_| ()) });
    world.wait_until_active(1).await.unwrap();
    let e = number(&other, "SELECT count(*) FROM pg.public.numbers").await.unwrap_err();
    assert_eq!(code(&e), "53300", "{}", words(&e));
    assert!(words(&e).contains("\"pg\"") && words(&e).contains('1'), "connector and limit are named: {}", words(&e));
    token.cancel_query(tokio_postgres::NoTls).await.unwrap();
    assert_eq!(code(&held.await.unwrap().unwrap_err()), "57014");
    world.wait_until_active(0).await.unwrap();
    assert_eq!(number(&other, "SELECT count(*) FROM pg.public.numbers").await.unwrap(), 5000);
}

#[tokio::test]
async fn a_slow_network_only_makes_it_slow() {
    let world = World::start("").unwrap();
    let client = world.fjord.client().await.unwrap();
    world.proxy.latency(Duration::from_millis(20));
    world.proxy.throttle(Direction::ToClient, Some(2_000_000));
    let rows = client.query("SELECT id, note, filler FROM pg.public.numbers ORDER BY id", &[]).await.unwrap();
    assert_eq!(rows.len(), 5000);
    assert_eq!(rows[4999].get::<_, &str>(1), "row 5000");
}
