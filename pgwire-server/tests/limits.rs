//! The bounds of docs/limits.md: what a client may hold, and how long it may take.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use bytes::BufMut;
use common::{Options, Raw, Running};
use fjord_server::auth::Verifier;

/// The tags of an answer, errors by their state, runs of one kind counted.
fn counted(all: &[common::Message]) -> String {
    let mut out: Vec<(String, usize)> = vec![];
    for m in all {
        let what = if m.tag == b'E' { m.state() } else { char::from(m.tag).to_string() };
        match out.last_mut() {
            Some((last, n)) if *last == what => *n += 1,
            _ => out.push((what, 1)),
        }
    }
    out.iter().map(|(what, n)| format!("{what}x{n}")).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_session_may_have_ten_thousand_prepared_statements() {
    let s = Running::start().await;
    let mut c = s.raw().await;
    for i in 0..10_001 {
        c.parse(&format!("s{i}"), "", &[]);
    }
    c.sync();
    // The answers are many: they are read while the questions are still being sent.
    assert_eq!(counted(&c.round().await), "1x10000 53400x1 Zx1");
    // Those that are there work, the unnamed one is not counted, and one that is closed makes room.
    c.bind("", "s9999", &[], &[], &[]).execute("", 0).parse("", "SELECT 1", &[]).close(b'S', "s0").parse("again", "", &[]).sync();
    assert_eq!(counted(&c.round().await), "2x1 Ix1 1x1 3x1 1x1 Zx1");
    assert_eq!(c.run("PREPARE more AS SELECT 1").await, "E(53400) Z(I)");
}

#[tokio::test]
async fn a_session_may_have_a_thousand_portals() {
    let s = Running::start().await;
    let mut c = s.raw().await;
    assert_eq!(c.run("BEGIN").await, "C(BEGIN) Z(T)");
    c.parse("", "SELECT 7", &[]);
    for i in 0..1_001 {
        c.bind(&format!("p{i}"), "", &[], &[], &[]);
    }
    c.sync();
    assert_eq!(counted(&c.round().await), "1x1 2x1000 53400x1 Zx1");
    assert_eq!(c.run("ROLLBACK").await, "C(ROLLBACK) Z(I)");
    assert_eq!(c.run("SELECT 7").await, "T D(7) C(SELECT 1) Z(I)");
}

#[tokio::test]
async fn a_client_that_says_nothing_is_let_go_after_ten_seconds() {
    let s = Running::start().await;
    let mut silent = Raw::connect(s.address).await;
    let mut half = Raw::connect(s.address).await;
    half.out.put_slice(&[0, 0, 0, 50, 0, 3]);
    half.send().await;
    let begun = Instant::now();
    assert_eq!(silent.next().await, None);
    assert!((9..15).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    while let Some(m) = half.next().await {
        assert_eq!(m.tag, b'E');
    }
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert!(s.server.sessions.is_empty());
}

#[tokio::test]
async fn a_client_that_does_not_prove_its_password_is_let_go_after_a_minute() {
    let users = [("ann".to_string(), Verifier::of_password("secret"))].into();
    let s = Running::with(Options { users, ..Options::default() }).await;
    let mut c = Raw::connect(s.address).await;
    c.startup(0x0003_0000, &[("user", "ann"), ("database", "fjord")]).await;
    assert_eq!(c.next().await.unwrap().tag, b'R');
    let begun = Instant::now();
    let ended = tokio::time::timeout(Duration::from_secs(80), tokio::io::AsyncReadExt::read_buf(&mut c.socket, &mut c.out)).await;
    assert!(ended.is_ok(), "still connected after 80 s");
    assert!((55..75).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_role_may_have_its_share_of_the_connections() {
    let s = Running::with(Options { max_connections: Some(4), max_per_role: Some(2), ..Options::default() }).await;
    let (_a, b) = (s.raw().await, s.raw().await);
    let mut c = Raw::connect(s.address).await;
    c.startup(0x0003_0000, &[("user", "fjord")]).await;
    let refused = loop {
        let m = c.next().await.unwrap();
        if m.tag == b'E' {
            break m;
        }
    };
    assert_eq!((refused.state().as_str(), refused.field(b'M').as_str()), ("53300", "too many connections for role \"fjord\""));
    assert!(refused.field(b'H').contains("max_connections_per_role"));
    // Another role has its own share, and a place that is given back is free.
    let mut other = Raw::connect(s.address).await;
    other.startup(0x0003_0000, &[("user", "ann")]).await;
    other.until_ready().await;
    drop(b);
    s.until("the place is free", |server| server.sessions.len() == 2).await;
    s.raw().await;
}

#[test]
fn slow_statements_are_logged_without_secrets() {
    use fjord_harness::{FjordOptions, FjordServer};
    let config = "[server]\nlog_slow_statements = \"200ms\"\n[secrets]\nkey_file = \"key\"\n".to_string();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "0123456789abcdef0123456789abcdef").unwrap();
    let config = config.replace("\"key\"", &format!("\"{}\"", folder.path().join("key").display()));
    let fjord = FjordServer::with(FjordOptions { config: Some(config), ..FjordOptions::default() }).unwrap();
    fjord.psql("SELECT 1 AS quick").unwrap();
    fjord.psql("SELECT count(*) AS slow FROM generate_series(1, 3000) a, generate_series(1, 3000) b WHERE a * b = 7").unwrap();
    let log = fjord.log();
    let slow: Vec<&str> = log.lines().filter(|l| l.contains("slow statement")).collect();
    assert_eq!(slow.len(), 1, "{log}");
    for part in ["AS slow", "ms=", "rows=1", "state=\"finished\"", "user=\"fjord\""] {
        assert!(slow[0].contains(part), "{part} in {}", slow[0]);
    }
    let bad =
        FjordServer::with(FjordOptions { config: Some("[server]\nlog_slow_statements = \"soon\"\n".into()), ..FjordOptions::default() });
    assert!(bad.is_err_and(|e| e.to_string().contains("log_slow_statements")));
}
