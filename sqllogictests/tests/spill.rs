//! A client that takes no rows does not keep the source waiting: the rest goes to disk, and nothing of it is lost, or stays there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fjord_harness::{FjordServer, Result};
use fjord_sqllogictests::world::{SOON, World, code, eventually, number};
use futures::StreamExt;
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage};

const ROWS: usize = 200_000;

/// Files of spilled rows that the server has open. They have no names.
fn open_files(fjord: &FjordServer) -> usize {
    let pid = fjord.pid().unwrap();
    let folder = fjord.data_dir().canonicalize().unwrap().join("spill");
    assert_eq!(std::fs::read_dir(&folder).map_or(0, Iterator::count), 0);
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    open.filter_map(|f| std::fs::read_link(f.unwrap().path()).ok()).filter(|to| to.starts_with(&folder)).count()
}

/// Sessions of Fjord's at the source that do something, or keep a transaction open.
fn busy_at_source(world: &World) -> Result<usize> {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND backend_type = 'client backend' \
                 AND (state <> 'idle' OR xact_start IS NOT NULL)";
    Ok(world.postgres.psql(count)?.trim().parse().unwrap())
}

async fn until_source_is_free(world: &World) {
    eventually("no session at the source is busy", || async { Ok(busy_at_source(world)? == 0) }).await.unwrap();
}

/// What the last query of this text has put on disk.
async fn spilled(watcher: &Client, text: &str) -> i64 {
    let sql =
        format!("SELECT spilled_bytes FROM sys.queries WHERE query LIKE '%{text}%' AND query NOT LIKE '%sys.%' ORDER BY id DESC LIMIT 1");
    number(watcher, &sql).await.unwrap()
}

fn rows(messages: Vec<SimpleQueryMessage>) -> Vec<(i32, String)> {
    let row = |m| match m {
        SimpleQueryMessage::Row(r) => Some((r.get(0).unwrap().parse().unwrap(), r.get(1).unwrap().to_string())),
        _ => None,
    };
    messages.into_iter().filter_map(row).collect()
}

fn all_there(mut got: Vec<(i32, String)>, world: &World) {
    got.sort_unstable();
    assert_eq!(got.len(), ROWS);
    let text = got.iter().map(|(id, filler)| format!("{id}|{filler}\n")).collect::<String>();
    assert!(text == world.postgres.psql("SELECT id, filler FROM big ORDER BY id").unwrap(), "the rows are not the source's");
}

#[tokio::test]
async fn a_cursor_that_is_left_alone_keeps_nothing_open_at_the_source() {
    let world = World::start("").unwrap();
    let (client, watcher) = (world.fjord.client().await.unwrap(), world.fjord.client().await.unwrap());
    // Each way to read it: several readers, one, and a snapshot that is shared with a second table.
    for (settings, query) in [
        ("", "SELECT id, filler FROM pg.public.big"),
        ("SET fjord.max_parallel_reads = 1", "SELECT id, filler FROM pg.public.big"),
        (
            "SET fjord.snapshot = query; SET fjord.pushdown = off",
            "SELECT b.id, b.filler FROM pg.public.big b LEFT JOIN pg.public.numbers n ON n.id = b.id",
        ),
    ] {
        client.simple_query(&format!("RESET ALL; SET fjord.spill_after = '100ms'; {settings}")).await.unwrap();
        client.simple_query(&format!("BEGIN; DECLARE c CURSOR FOR {query}")).await.unwrap();
        let mut got = rows(client.simple_query("FETCH 10 FROM c").await.unwrap());
        until_source_is_free(&world).await;
        assert!(open_files(&world.fjord) > 0, "{query}");
        assert!(spilled(&watcher, "filler FROM pg.public.big").await > 10_000_000, "{query}");
        // A part, then the rest.
        got.extend(rows(client.simple_query("FETCH 70000 FROM c").await.unwrap()));
        assert_eq!(got.len(), 70_010);
        got.extend(rows(client.simple_query("FETCH ALL FROM c").await.unwrap()));
        all_there(got, &world);
        client.simple_query("COMMIT").await.unwrap();
        assert_eq!(open_files(&world.fjord), 0);
    }
    // Closed before its end.
    client.simple_query("BEGIN; DECLARE c CURSOR FOR SELECT id, filler FROM pg.public.big; FETCH 10 FROM c").await.unwrap();
    until_source_is_free(&world).await;
    assert!(open_files(&world.fjord) > 0);
    client.simple_query("CLOSE c; COMMIT").await.unwrap();
    assert_eq!(open_files(&world.fjord), 0);
}

#[tokio::test]
async fn a_portal_that_is_suspended_and_a_socket_that_is_not_read_keep_nothing_open_either() {
    let world = World::start("").unwrap();
    let mut client = world.fjord.client().await.unwrap();
    client.batch_execute("SET fjord.spill_after = '100ms'").await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SELECT id, filler FROM pg.public.big", &[]).await.unwrap();
    let read = |rows: Vec<tokio_postgres::Row>| rows.into_iter().map(|r| (r.get(0), r.get(1))).collect::<Vec<(i32, String)>>();
    let mut got = read(transaction.query_portal(&portal, 10).await.unwrap());
    until_source_is_free(&world).await;
    got.extend(read(transaction.query_portal(&portal, 0).await.unwrap()));
    all_there(got, &world);
    transaction.commit().await.unwrap();

    let lazy = client.query_raw("SELECT id, filler FROM pg.public.big", Vec::<i32>::new()).await.unwrap();
    futures::pin_mut!(lazy);
    let first = lazy.next().await.unwrap().unwrap();
    until_source_is_free(&world).await;
    assert!(open_files(&world.fjord) > 0);
    let mut got = read(vec![first]);
    while let Some(row) = lazy.next().await {
        got.extend(read(vec![row.unwrap()]));
    }
    all_there(got, &world);
    let none = || async { Ok(open_files(&world.fjord) == 0) };
    eventually("the files are gone", none).await.unwrap();
}

#[tokio::test]
async fn beyond_the_limit_the_source_waits_and_the_client_is_told() {
    let world = World::start("").unwrap();
    let (client, mut connection) = tokio_postgres::connect(&world.fjord.connection_string(), tokio_postgres::NoTls).await.unwrap();
    let notices = Arc::new(Mutex::new(vec![]));
    let seen = notices.clone();
    tokio::spawn(async move {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let Ok(AsyncMessage::Notice(n)) = message {
                seen.lock().unwrap().push(n);
            }
        }
    });
    client
        .simple_query("SET fjord.spill_after = '100ms'; SET fjord.spill_size_max = '5MB'; SET fjord.max_parallel_reads = 1")
        .await
        .unwrap();
    client.simple_query("BEGIN; DECLARE c CURSOR FOR SELECT id, filler FROM pg.public.big").await.unwrap();
    let mut got = vec![];
    let until = Instant::now() + SOON;
    while notices.lock().unwrap().is_empty() {
        assert!(Instant::now() < until, "the client is not told");
        got.extend(rows(client.simple_query("FETCH 1 FROM c").await.unwrap()));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    {
        let notices = notices.lock().unwrap();
        let n = &notices[0];
        assert_eq!((n.severity(), n.code().code()), ("WARNING", "53400"));
        assert!(n.message().contains("fjord.spill_size_max (5242880 bytes)"), "{n:?}");
        assert!(n.detail().unwrap().contains("keeps its transaction open"), "{n:?}");
    }
    assert_eq!(busy_at_source(&world).unwrap(), 1);
    assert!(open_files(&world.fjord) > 0);
    got.extend(rows(client.simple_query("FETCH ALL FROM c").await.unwrap()));
    all_there(got, &world);
    client.simple_query("COMMIT").await.unwrap();
    assert_eq!(open_files(&world.fjord), 0);
}

#[tokio::test]
async fn a_cancel_ends_what_is_being_put_aside() {
    let world = World::start("").unwrap();
    let (client, watcher) = (world.fjord.client().await.unwrap(), world.fjord.client().await.unwrap());
    client.batch_execute("SET fjord.spill_after = '100ms'; SET fjord.spill_size_max = '3GB'").await.unwrap();
    // More than would fit: it is not yet at its end when it is cancelled.
    let endless = "SELECT generate_series(1, 100000000) AS id, repeat(''endless'', 50) AS filler";
    let query = format!("SELECT id, filler FROM remote_query('pg', '{endless}')");
    {
        let rows = client.query_raw(&query, Vec::<i32>::new()).await.unwrap();
        futures::pin_mut!(rows);
        rows.next().await.unwrap().unwrap();
        let begun = || async { Ok(spilled(&watcher, "endless").await > 2_000_000) };
        eventually("rows are put aside", begun).await.unwrap();
        assert!(open_files(&world.fjord) > 0);
        client.cancel_token().cancel_query(tokio_postgres::NoTls).await.unwrap();
        world.wait_until_active(0).await.unwrap();
        let none = || async { Ok(open_files(&world.fjord) == 0) };
        eventually("the files are gone", none).await.unwrap();
        let e = loop {
            match rows.next().await.expect("an error") {
                Ok(_) => {}
                Err(e) => break e,
            }
        };
        assert_eq!(code(&e), "57014");
    }
    // The same where the client goes away, with a cursor that it had left alone.
    client.batch_execute(&format!("BEGIN; DECLARE c CURSOR FOR {query}; FETCH 10 FROM c")).await.unwrap();
    world.wait_until_active(1).await.unwrap();
    let begun = || async { Ok(open_files(&world.fjord) > 0) };
    eventually("rows are put aside", begun).await.unwrap();
    drop(client);
    world.wait_until_active(0).await.unwrap();
    let none = || async { Ok(open_files(&world.fjord) == 0) };
    eventually("the files are gone", none).await.unwrap();
}
