//! The extended and simple protocol, byte by byte, as PostgreSQL 15 speaks it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use bytes::BufMut;
use common::{Raw, Running, script};
use tokio::io::AsyncWriteExt;

/// A long result that costs nothing to make.
const LONG: &str = "select * from generate_series(1, 100000000000) as t(x)";

#[tokio::test(flavor = "multi_thread")]
async fn startup_tells_who_we_are() {
    let s = Running::start().await;
    let mut raw = Raw::connect(s.address).await;
    raw.startup(0x0003_0000, &[("user", "fjord"), ("application_name", "me")]).await;
    let mut status = std::collections::BTreeMap::new();
    let mut key = 0;
    loop {
        let m = raw.next().await.unwrap();
        match m.tag {
            b'S' => {
                let text = String::from_utf8(m.body.to_vec()).unwrap();
                let mut parts = text.split('\0');
                status.insert(parts.next().unwrap().to_string(), parts.next().unwrap().to_string());
            }
            b'K' => key = m.body.len(),
            b'Z' => break,
            _ => {}
        }
    }
    assert_eq!(key, 8);
    assert!(status["server_version"].starts_with("15.0 (Fjord "));
    assert_eq!(status["client_encoding"], "UTF8");
    assert_eq!(status["standard_conforming_strings"], "on");
    assert_eq!(status["integer_datetimes"], "on");
    assert_eq!(status["session_authorization"], "fjord");
    assert_eq!(status["application_name"], "me");
    assert_eq!(status.len(), 13);
}

#[tokio::test(flavor = "multi_thread")]
async fn protocol_3_2_has_a_long_key_and_grease_is_negotiated() {
    let s = Running::start().await;
    for (version, negotiated, key_len) in [(0x0003_0002, false, 32), (0x0003_270f, true, 32), (0x0003_0000, false, 4)] {
        let mut raw = Raw::connect(s.address).await;
        raw.startup(version, &[("user", "fjord")]).await;
        let all = raw.until_ready().await;
        assert_eq!(all.iter().any(|m| m.tag == b'v'), negotiated, "{version:x}");
        assert_eq!(raw.secret.len(), key_len, "{version:x}");
    }
    let mut raw = Raw::connect(s.address).await;
    raw.startup(0x0002_0000, &[("user", "fjord")]).await;
    assert_eq!(raw.next().await.unwrap().state(), "0A000");
    assert_eq!(raw.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn startup_is_refused_with_a_reason() {
    let s = Running::start().await;
    for (params, state) in [
        (&[("database", "fjord")][..], "28000"),
        (&[("user", "fjord"), ("database", "nope")], "3D000"),
        (&[("user", "fjord"), ("client_encoding", "LATIN1")], "22023"),
        (&[("user", "fjord"), ("replication", "database")], "0A000"),
        (&[("user", "fjord"), ("options", "-x")], "42601"),
    ] {
        let mut raw = Raw::connect(s.address).await;
        raw.startup(0x0003_0000, params).await;
        let m = raw.next().await.unwrap();
        assert_eq!((m.tag, m.state().as_str(), m.field(b'V').as_str()), (b'E', state, "FATAL"), "{params:?}");
        assert_eq!(raw.next().await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_startup_packet_that_is_too_long_ends_the_connection() {
    let s = Running::start().await;
    let mut raw = Raw::connect(s.address).await;
    raw.socket.write_all(&[0, 1, 0, 0, 0, 3, 0, 0]).await.unwrap();
    assert_eq!(raw.next().await.unwrap().state(), "08P01");
    assert_eq!(raw.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_for_encryption_are_declined_without_a_certificate() {
    use tokio::io::AsyncReadExt;
    let s = Running::start().await;
    let mut raw = Raw::connect(s.address).await;
    for request in [80_877_104u32, 80_877_103] {
        raw.socket.write_u32(8).await.unwrap();
        raw.socket.write_u32(request).await.unwrap();
        assert_eq!(raw.socket.read_u8().await.unwrap(), b'N');
    }
    raw.startup(0x0003_0000, &[("user", "fjord")]).await;
    assert_eq!(script(&raw.until_ready().await), "R Z(I)");
}

#[tokio::test(flavor = "multi_thread")]
async fn simple_protocol() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    assert_eq!(raw.run("").await, "I Z(I)");
    assert_eq!(raw.run(" ; ; ").await, "I Z(I)");
    assert_eq!(raw.run("select 1; select 2 as a, null as b").await, "T D(1) C(SELECT 1) T D(2,NULL) C(SELECT 1) Z(I)");
    // An error stops the rest; a syntax error anywhere stops all.
    assert_eq!(raw.run("select 1; select nope; select 3").await, "T D(1) C(SELECT 1) E(42703) Z(I)");
    assert_eq!(raw.run("select 1; selec 2").await, "E(42601) Z(I)");
    assert_eq!(raw.run("select $1").await, "E(42P02) Z(I)");
}

#[tokio::test(flavor = "multi_thread")]
async fn extended_protocol() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    raw.parse("s", "select 1 as a, 'x' as b", &[])
        .describe(b'S', "s")
        .bind("p", "s", &[], &[], &[])
        .describe(b'P', "p")
        .execute("p", 0)
        .sync();
    assert_eq!(script(&raw.round().await), "1 t T 2 T D(1,x) C(SELECT 1) Z(I)");
    // The portal ended with its transaction; the statement lives on.
    raw.execute("p", 0).sync();
    assert_eq!(script(&raw.round().await), "E(34000) Z(I)");
    raw.bind("", "s", &[], &[], &[]).execute("", 0).execute("", 0).close(b'P', "").close(b'S', "s").close(b'S', "never").sync();
    assert_eq!(script(&raw.round().await), "2 D(1,x) C(SELECT 1) C(SELECT 0) 3 3 3 Z(I)");
    raw.bind("", "s", &[], &[], &[]).sync();
    assert_eq!(script(&raw.round().await), "E(26000) Z(I)");
    raw.parse("", "", &[]).bind("", "", &[], &[], &[]).describe(b'P', "").execute("", 0).sync();
    assert_eq!(script(&raw.round().await), "1 2 n I Z(I)");
    raw.parse("", "select 1; select 2", &[]).sync();
    assert_eq!(script(&raw.round().await), "E(42601) Z(I)");
    raw.parse("t", "select 1", &[]).parse("t", "select 2", &[]).sync();
    assert_eq!(script(&raw.round().await), "1 E(42P05) Z(I)");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_error_messages_are_skipped_until_sync() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    raw.parse("", "select nope", &[]).bind("", "", &[], &[], &[]).execute("", 0).query("select 1").sync();
    let all = raw.round().await;
    assert_eq!(script(&all), "E(42703) Z(I)");
    assert_eq!(raw.run("select 1").await, "T D(1) C(SELECT 1) Z(I)");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_counts_in_bind_are_errors() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    raw.parse("two", "select 1, 2", &[]).sync();
    raw.round().await;
    raw.bind("", "two", &[], &[], &[0, 0, 0]).sync();
    assert_eq!(script(&raw.round().await), "E(08P01) Z(I)");
    raw.bind("", "two", &[], &[Some(b"1")], &[]).sync();
    assert_eq!(script(&raw.round().await), "E(08P01) Z(I)");
    raw.bind("", "two", &[0, 0], &[], &[]).sync();
    assert_eq!(script(&raw.round().await), "E(08P01) Z(I)");
    raw.bind("", "two", &[], &[], &[7, 0]).sync();
    assert_eq!(script(&raw.round().await), "E(22023) Z(I)");
    raw.bind("", "two", &[], &[], &[1, 0]).execute("", 0).sync();
    assert_eq!(raw.round().await[1].values(), [Some(1i32.to_be_bytes().to_vec()), Some(b"2".to_vec())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_suspend_and_go_on() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    raw.parse("", "values (1), (2), (3)", &[]).bind("p", "", &[], &[], &[]).execute("p", 2).execute("p", 2).execute("p", 2).sync();
    assert_eq!(script(&raw.round().await), "1 2 D(1) D(2) s D(3) C(SELECT 1) C(SELECT 0) Z(I)");
    // Exactly as many rows as asked for: suspended, since nobody has looked for the next one.
    raw.bind("p", "", &[], &[], &[]).execute("p", 3).execute("p", 0).sync();
    assert_eq!(script(&raw.round().await), "2 D(1) D(2) D(3) s C(SELECT 0) Z(I)");
    // In a block a portal survives Sync, and FETCH reads the same portal.
    assert_eq!(raw.run("begin").await, "C(BEGIN) Z(T)");
    raw.parse("s", "values (1), (2), (3)", &[]).bind("p", "s", &[], &[], &[]).execute("p", 1).sync();
    assert_eq!(script(&raw.round().await), "1 2 D(1) s Z(T)");
    raw.execute("p", 1).sync();
    assert_eq!(script(&raw.round().await), "D(2) s Z(T)");
    assert_eq!(raw.run("fetch all from p").await, "T D(3) C(FETCH 1) Z(T)");
    raw.bind("p", "s", &[], &[], &[]).sync();
    assert_eq!(script(&raw.round().await), "E(42P03) Z(E)");
}

#[tokio::test(flavor = "multi_thread")]
async fn fetch_through_the_extended_protocol_suspends_too() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    raw.run("begin; declare c cursor for values (1), (2), (3), (4)").await;
    raw.parse("", "fetch 3 from c", &[]).describe(b'S', "").bind("", "", &[], &[], &[]).execute("", 2).execute("", 2).sync();
    assert_eq!(script(&raw.round().await), "1 t T 2 D(1) D(2) s D(3) C(FETCH 1) Z(T)");
    assert_eq!(raw.run("fetch 5 from c").await, "T D(4) C(FETCH 1) Z(T)");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_row_comes_before_the_last_is_made() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    raw.query(LONG).send().await;
    assert_eq!(raw.next().await.unwrap().tag, b'T');
    assert_eq!(script(&[raw.next().await.unwrap()]), "D(1)");
    raw.cancel(s.address).await;
    let mut rows = 0u64;
    let end = loop {
        let m = raw.next().await.unwrap();
        if m.tag != b'D' {
            break m;
        }
        rows += 1;
    };
    assert_eq!(end.state(), "57014");
    assert!(rows < 1_000_000_000);
    assert_eq!(script(&raw.until_ready().await), "Z(I)");
    assert_eq!(raw.run("select 1").await, "T D(1) C(SELECT 1) Z(I)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_cancels_nothing() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    raw.query(LONG).send().await;
    raw.next().await.unwrap();
    let good = raw.secret.clone();
    raw.secret = good.iter().map(|b| !b).collect();
    raw.cancel(s.address).await;
    for _ in 0..100_000 {
        assert_eq!(raw.next().await.unwrap().tag, b'D');
    }
    raw.secret = good;
    raw.cancel(s.address).await;
    assert!(raw.until_ready().await.iter().any(|m| m.tag == b'E' && m.state() == "57014"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_neither_fills_memory_nor_blocks_others_nor_escapes_cancel() {
    let s = Running::start().await;
    let mut slow = s.raw().await;
    slow.query(LONG).send().await;
    slow.next().await.unwrap();
    let mut other = s.raw().await;
    for _ in 0..20 {
        assert_eq!(other.run("select 1").await, "T D(1) C(SELECT 1) Z(I)");
    }
    // The server's write is stuck by now or soon; the cancel ends the query all the same.
    slow.cancel(s.address).await;
    let pid = slow.pid;
    s.until("the query has ended", |server| {
        server.sessions.list().iter().find(|e| e.pid == pid).is_none_or(|e| e.activity().state.as_str() == "idle")
    })
    .await;
    assert_eq!(slow.until_ready().await.iter().filter(|m| m.tag == b'E').count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_its_query_and_its_session() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    // It gives no row for a long while, so that only watching the socket can tell.
    raw.query("select count(*) from generate_series(1, 100000000000)").send().await;
    let pid = raw.pid;
    s.until("it runs", |server| server.sessions.list().iter().any(|e| e.pid == pid && e.activity().state.as_str() == "active")).await;
    drop(raw);
    s.until("the session is gone", |server| server.sessions.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statement_timeout_counts_the_whole_statement() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    assert_eq!(raw.run("set statement_timeout = 100").await, "C(SET) Z(I)");
    raw.query("select count(*) from generate_series(1, 100000000000)");
    let all = raw.round().await;
    assert_eq!(all[all.len() - 2].state(), "57014");
    assert_eq!(all[all.len() - 2].field(b'M'), "canceling statement due to statement timeout");
    assert_eq!(raw.run("set statement_timeout = 0; select 1").await, "C(SET) T D(1) C(SELECT 1) Z(I)");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_message_type_ends_the_connection() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    raw.put(b'z', |b| b.put_u8(0)).send().await;
    let m = raw.next().await.unwrap();
    assert_eq!((m.state().as_str(), m.field(b'V').as_str()), ("08P01", "FATAL"));
    assert_eq!(raw.next().await, None);
    // So does a length that nobody may send; nothing is allocated for it.
    let mut raw = s.raw().await;
    raw.socket.write_all(&[b'Q', 0x7f, 0xff, 0xff, 0xff]).await.unwrap();
    assert_eq!(raw.next().await.unwrap().state(), "08P01");
    assert_eq!(raw.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_lies_about_its_inside_is_an_error_and_the_session_goes_on() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    raw.put(b'B', |b| b.put_slice(b"\0\0\xff\xff\0\x01")).sync();
    assert_eq!(script(&raw.round().await), "E(08P01) Z(I)");
    raw.put(b'Q', |b| b.put_slice(b"select 1"));
    assert_eq!(script(&raw.round().await), "E(08P01) Z(I)");
    raw.put(b'Q', |b| b.put_slice(b"select '\xff'\0"));
    assert_eq!(script(&raw.round().await), "E(22021) Z(I)");
    raw.put(b'F', |b| b.put_slice(b"\0\0\0\x01"));
    assert_eq!(script(&raw.round().await), "E(0A000) Z(I)");
    assert_eq!(raw.run("select 1").await, "T D(1) C(SELECT 1) Z(I)");
}

/// Random bytes after a good start: the server answers or hangs up, and serves the next client.
#[tokio::test(flavor = "multi_thread")]
async fn fuzzed_messages_never_harm_the_server() {
    use rand::{Rng, SeedableRng};
    let s = Running::start().await;
    let mut rng = rand::rngs::StdRng::seed_from_u64(42);
    for round in 0..150 {
        let mut raw = s.raw().await;
        for _ in 0..10 {
            let tag = b"QPBDECSHpdcfFX"[rng.random_range(0..14)];
            let words: [&[u8]; 8] = [b"select 1\0", b"\0", b"p\0", b"\0\0", b"\0\x01", b"begin\0", b"S", b"\xff\xff"];
            let n = rng.random_range(0..6);
            let body: Vec<u8> = (0..n).flat_map(|_| words[rng.random_range(0..8)].to_vec()).collect();
            raw.put(tag, |b| b.put_slice(&body));
        }
        if round % 5 == 0 {
            let junk: Vec<u8> = (0..rng.random_range(0..64)).map(|_| rng.random()).collect();
            raw.out.put_slice(&junk);
        }
        let out = raw.out.split();
        let _ = raw.socket.write_all(&out).await;
        let _ = raw.socket.shutdown().await;
        while raw.next().await.is_some() {}
    }
    let mut raw = s.raw().await;
    assert_eq!(raw.run("select 1").await, "T D(1) C(SELECT 1) Z(I)");
    drop(raw);
    s.until("all sessions are gone", |server| server.sessions.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_limit_is_53300_and_frees_its_places() {
    let s = Running::with(common::Options { max_connections: Some(2), ..Default::default() }).await;
    let _a = s.raw().await;
    let b = s.raw().await;
    let mut c = Raw::connect(s.address).await;
    c.startup(0x0003_0000, &[("user", "fjord")]).await;
    assert_eq!(c.next().await.unwrap().state(), "53300");
    drop(b);
    s.until("a place is free", |server| server.sessions.len() == 1).await;
    let _d = s.raw().await;
}

/// `fault()` panics: what a bug of ours would do.
#[derive(Debug)]
struct Faulty;

impl fjord_engine::SystemSchema for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }
    fn schema(
        &self,
        _: &std::sync::Arc<fjord_engine::Engine>,
        _: &fjord_engine::session::SessionInfo,
    ) -> std::sync::Arc<dyn datafusion::catalog::SchemaProvider> {
        std::sync::Arc::new(datafusion::catalog::MemorySchemaProvider::new())
    }
    fn functions(
        &self,
        _: &std::sync::Arc<fjord_engine::Engine>,
        _: &fjord_engine::session::SessionInfo,
    ) -> Vec<std::sync::Arc<datafusion::logical_expr::ScalarUDF>> {
        use arrow::datatypes::DataType;
        use datafusion::logical_expr::{Volatility, create_udf};
        let body = std::sync::Arc::new(|_: &[datafusion::logical_expr::ColumnarValue]| panic!("a bug of ours"));
        vec![std::sync::Arc::new(create_udf("fault", vec![], DataType::Int32, Volatility::Volatile, body))]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_one_statement_only() {
    let s = Running::start().await;
    s.server.engine.add_system_schema(std::sync::Arc::new(Faulty));
    let mut raw = s.raw().await;
    let mut other = s.raw().await;
    assert!(raw.run("begin; select fault(); select 1").await.ends_with("E(XX000) Z(E)"));
    assert_eq!(raw.run("rollback").await, "C(ROLLBACK) Z(I)");
    raw.parse("", "select fault()", &[]).bind("", "", &[], &[], &[]).execute("", 0).execute("", 0).sync();
    assert_eq!(script(&raw.round().await), "1 2 E(XX000) Z(I)");
    assert_eq!(raw.run("select 1").await, "T D(1) C(SELECT 1) Z(I)");
    assert_eq!(other.run("select 1").await, "T D(1) C(SELECT 1) Z(I)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_idles_too_long_ends() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    assert_eq!(raw.run("set idle_in_transaction_session_timeout = 50; begin").await, "C(SET) C(BEGIN) Z(T)");
    let m = raw.next().await.unwrap();
    assert_eq!((m.state().as_str(), m.field(b'V').as_str()), ("25P03", "FATAL"));
    assert_eq!(raw.next().await, None);
    let mut raw = s.raw().await;
    assert_eq!(raw.run("set idle_session_timeout = 50").await, "C(SET) Z(I)");
    assert_eq!(raw.next().await.unwrap().state(), "57P05");
    assert_eq!(raw.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_of_a_session_are_limited() {
    let s = Running::start().await;
    let mut raw = s.raw().await;
    raw.parse("", "select 1", &[]);
    for i in 0..1001 {
        raw.bind(&format!("p{i}"), "", &[], &[], &[]);
    }
    raw.sync();
    let all = raw.round().await;
    assert_eq!(all.iter().filter(|m| m.tag == b'2').count(), 1000);
    assert_eq!(all[1001].state(), "53400");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_idle_sessions_at_once_and_running_ones_after_the_grace() {
    let s = Running::start().await;
    let mut idle = s.raw().await;
    let mut busy = s.raw().await;
    busy.query("select count(*) from generate_series(1, 100000000000)").send().await;
    let pid = busy.pid;
    s.until("it runs", |server| server.sessions.list().iter().any(|e| e.pid == pid && e.activity().state.as_str() == "active")).await;
    let server = s.server.clone();
    let stopping = tokio::spawn(async move { server.stop(std::time::Duration::from_millis(300)).await });
    assert_eq!(idle.next().await.unwrap().state(), "57P01");
    assert_eq!(idle.next().await, None);
    let m = loop {
        let m = busy.next().await.unwrap();
        if m.tag == b'E' {
            break m;
        }
    };
    assert_eq!((m.state().as_str(), m.field(b'V').as_str()), ("57P01", "FATAL"));
    assert_eq!(busy.next().await, None);
    stopping.await.unwrap();
    assert!(s.server.sessions.is_empty());
}
