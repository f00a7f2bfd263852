//! The client misbehaves: it interrupts, vanishes, or does not read. The remote query ends with it, and nobody else notices.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Stdio;
use std::time::{Duration, Instant};

use fjord_harness::{Direction, FaultProxy, process};
use fjord_sqllogictests::world::{SOON, World, code, eventually, number, words};
use futures::StreamExt;

/// What may be read from a source for a client that does not read, between the source and the client: 4 batches of 1 MiB, what goes into the client's
/// socket (its kernel takes up to 6 MiB), and the sockets of the two connections through the proxy (as much again).
const READ_AHEAD_MAX: u64 = 20 << 20;

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
    // For long it would read none, and have the rest put on disk.
    lazy.batch_execute("SET fjord.spill_after = 0").await.unwrap();
    let rows = lazy.query_raw("SELECT id, filler FROM pg.public.big", Vec::<i32>::new()).await.unwrap();
    futures::pin_mut!(rows);
    // The first row is there, and of the 50 MB only so much is read from the source as Fjord's own buffers and the kernel's hold.
    rows.next().await.unwrap().unwrap();
    let read = || world.proxy.passed(Direction::ToClient);
    let seen = std::cell::Cell::new(0);
    let steady = || async {
        let before = seen.replace(read());
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(seen.get() == before && before > 0)
    };
    eventually("nothing more is read", steady).await.unwrap();
    let seen = seen.get();
    assert!(seen < READ_AHEAD_MAX, "{seen} bytes were read ahead of a client that took one row");
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

/// An operator that computes without waiting for anything does not keep its session from hearing the cancel.
#[tokio::test]
async fn a_query_that_only_computes_is_cancelled_at_once() {
    let world = World::start("").unwrap();
    let (client, watcher) = (world.fjord.client().await.unwrap(), world.fjord.client().await.unwrap());
    let token = client.cancel_token();
    let query = client.simple_query("SELECT a.n FROM generate_series(1, 300000000) a(n) ORDER BY a.n % 1009 DESC, a.n LIMIT 3");
    let cancel = async {
        let running =
            "SELECT count(*) FROM sys.queries WHERE state = 'running' AND query LIKE '%ORDER BY a.n %' AND query NOT LIKE '%sys.queries%'";
        eventually("it runs", || async { Ok(number(&watcher, running).await? == 1) }).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await; // the plan is made by now, and the sort at work: nobody tells
        let begun = Instant::now();
        token.cancel_query(tokio_postgres::NoTls).await.unwrap();
        begun
    };
    let (failed, begun) = tokio::join!(query, cancel);
    let took = begun.elapsed();
    assert_eq!(code(&failed.unwrap_err()), "57014");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

/// More queries that only compute than the machine has cores: others connect, are answered and look rows up meanwhile, and each is cancelled.
#[tokio::test]
async fn queries_that_compute_keep_nobody_waiting() {
    const QUERIES: usize = 8;
    const ROUNDS: usize = 20;
    let world = World::start("").unwrap();
    let watcher = world.fjord.client().await.unwrap();
    let mut running = vec![];
    for _ in 0..QUERIES {
        let client = world.fjord.client().await.unwrap();
        let token = client.cancel_token();
        let query = "SELECT a.n FROM generate_series(1, 30000000000) a(n) ORDER BY a.n % 1009 DESC, a.n LIMIT 3";
        running.push((token, tokio::spawn(async move { client.simple_query(query).await.map(|_| ()) })));
    }
    let count =
        "SELECT count(*) FROM sys.queries WHERE state = 'running' AND query LIKE '%ORDER BY a.n %' AND query NOT LIKE '%sys.queries%'";
    eventually("they run", || async { Ok(number(&watcher, count).await? == QUERIES as i64) }).await.unwrap();
    let others = async {
        for round in 0..ROUNDS {
            let other = world.fjord.client().await.unwrap();
            assert_eq!(number(&other, "SELECT 1::bigint").await.unwrap(), 1);
            let row = other.query_one("SELECT note FROM pg.public.numbers WHERE id = $1", &[&(round as i32 + 1)]).await.unwrap();
            assert_eq!(row.get::<_, String>(0), format!("row {}", round + 1));
        }
    };
    // Where all share the threads, each of these waits for seconds.
    tokio::time::timeout(SOON, others).await.unwrap();
    for (token, query) in running {
        tokio::time::timeout(SOON, token.cancel_query(tokio_postgres::NoTls)).await.unwrap().unwrap();
        let e = tokio::time::timeout(SOON, query).await.unwrap().unwrap().unwrap_err();
        assert_eq!(code(&e), "57014", "{}", words(&e));
    }
}
