//! The client misbehaves: it interrupts, vanishes, or does not read. The remote query ends with it, and nobody else notices.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Stdio;

use fjord_harness::{Direction, FaultProxy, process};
use fjord_sqllogictests::world::{SOON, World, code, number};
use futures::StreamExt;

#[tokio::test]
async fn ctrl_c_in_psql_ends_the_remote_query() {
    let world = World::start("").unwrap();
    let psql = world
        .fjord
        .psql_command()
        .args(["-c", "SELECT id, slept FROM pg.public.slow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    world.wait_until_active(1).await.unwrap();
    process::signal(psql.id(), "INT").unwrap();
    world.wait_until_active(0).await.unwrap();
    let out = psql.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("canceling statement due to user request"), "{said}");
}

#[tokio::test]
async fn a_killed_client_ends_its_remote_query() {
    let world = World::start("").unwrap();
    let mut psql = world.fjord.psql_command().args(["-c", "SELECT id, slept FROM pg.public.slow"]).stdout(Stdio::null()).spawn().unwrap();
    world.wait_until_active(1).await.unwrap();
    psql.kill().unwrap();
    psql.wait().unwrap();
    world.wait_until_active(0).await.unwrap();
}

#[tokio::test]
async fn a_cut_between_client_and_fjord_ends_the_remote_query() {
    let world = World::start("").unwrap();
    let front = FaultProxy::start(world.fjord.port()).unwrap();
    let config = format!("host=127.0.0.1 port={} user=fjord dbname=fjord", front.port());
    let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let query = tokio::spawn(async move { client.query("SELECT id, slept FROM pg.public.slow", &[]).await });
    world.wait_until_active(1).await.unwrap();
    front.cut_all();
    assert!(query.await.unwrap().is_err());
    world.wait_until_active(0).await.unwrap();
}

#[tokio::test]
async fn clients_cut_at_any_byte_leave_the_server_well() {
    let world = World::start("").unwrap();
    let front = FaultProxy::start(world.fjord.port()).unwrap();
    let config = format!("host=127.0.0.1 port={} user=fjord dbname=fjord", front.port());
    for bytes in (0..60).map(|i| i * 7).chain((1..10).map(|i| i * 9001)) {
        for direction in [Direction::ToServer, Direction::ToClient] {
            front.cut_after(direction, Some(bytes));
            if let Ok((client, connection)) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await {
                tokio::spawn(connection);
                if let Ok(rows) = client.query("SELECT id, note FROM pg.public.numbers", &[]).await {
                    assert_eq!(rows.len(), 5000);
                }
            }
            front.cut_after(direction, None);
        }
    }
    let client = world.fjord.client().await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg.public.numbers").await.unwrap(), 5000);
    world.wait_until_active(0).await.unwrap();
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_nobody_up() {
    let world = World::start("").unwrap();
    let lazy = world.fjord.client().await.unwrap();
    let rows = lazy.query_raw("SELECT id, filler FROM pg.public.big", Vec::<i32>::new()).await.unwrap();
    futures::pin_mut!(rows);
    // The first row is there while most of the 50 MB are not even read from the source.
    rows.next().await.unwrap().unwrap();
    let passed = world.proxy.passed(Direction::ToClient);
    assert!(passed < 45_000_000, "{passed} bytes were read ahead of a client that took one row");
    let other = world.fjord.client().await.unwrap();
    for _ in 0..5 {
        assert_eq!(number(&other, "SELECT count(*) FROM pg.public.numbers").await.unwrap(), 5000);
    }
    assert_eq!(rows.count().await, 199_999);
}

#[tokio::test]
async fn a_statement_timeout_reaches_the_source() {
    let world = World::start("").unwrap();
    let client = world.fjord.client().await.unwrap();
    client.simple_query("SET statement_timeout = '1s'").await.unwrap();
    let e = tokio::time::timeout(SOON, client.query("SELECT id, slept FROM pg.public.slow", &[])).await.unwrap().unwrap_err();
    assert_eq!(code(&e), "57014");
    world.wait_until_active(0).await.unwrap();
    client.simple_query("SET statement_timeout = 0").await.unwrap();
    assert_eq!(number(&client, "SELECT count(*) FROM pg.public.numbers").await.unwrap(), 5000);
}
