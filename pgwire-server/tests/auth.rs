//! Passwords and TLS, with the real psql and a raw client.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::process::Command;

use common::{Options, Raw, Running};
use fjord_harness::tls::Certificates;
use fjord_server::auth::Verifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn users() -> std::collections::BTreeMap<String, Verifier> {
    [("alice".to_string(), Verifier::of_password("wonder land"))].into()
}

/// Runs the real psql; gives its output, or what it complained about.
async fn psql(port: u16, password: &str, more: &str) -> Result<String, String> {
    let mut command = Command::new("psql");
    command.args(["-X", "-A", "-t", "-c", "select 'in'"]);
    command.arg(format!("host=127.0.0.1 port={port} user=alice dbname=fjord {more}")).env("PGPASSWORD", password);
    let out = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    if out.status.success() {
        Ok(String::from_utf8(out.stdout).unwrap().trim().into())
    } else {
        Err(String::from_utf8(out.stderr).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scram() {
    let s = Running::with(Options { users: users(), ..Default::default() }).await;
    let port = s.address.port();
    assert_eq!(psql(port, "wonder land", "").await.unwrap(), "in");
    let wrong = psql(port, "wonderland", "").await.unwrap_err();
    assert!(wrong.contains("password authentication failed for user \"alice\""), "{wrong}");
    // An unknown user reads the same, after the same exchange.
    let unknown = psql(port, "wonder land", "user=bob").await.unwrap_err();
    assert!(unknown.contains("password authentication failed for user \"bob\""), "{unknown}");
    assert!(
        tokio_postgres::connect(&format!("host=127.0.0.1 port={port} user=alice password='wonder land'"), tokio_postgres::NoTls)
            .await
            .is_ok()
    );
    let e =
        tokio_postgres::connect(&format!("host=127.0.0.1 port={port} user=alice password=x"), tokio_postgres::NoTls).await.err().unwrap();
    assert_eq!(e.code().unwrap().code(), "28P01");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_a_password_message_is_taken_before_authentication() {
    let s = Running::with(Options { users: users(), ..Default::default() }).await;
    let mut raw = Raw::connect(s.address).await;
    raw.startup(0x0003_0000, &[("user", "alice")]).await;
    assert_eq!(raw.next().await.unwrap().tag, b'R');
    raw.query("select 1").send().await;
    assert_eq!(raw.next().await.unwrap().state(), "08P01");
    assert_eq!(raw.next().await, None);
    // A message larger than a password needs is refused by its header alone.
    let mut raw = Raw::connect(s.address).await;
    raw.startup(0x0003_0000, &[("user", "alice")]).await;
    raw.next().await.unwrap();
    raw.socket.write_all(&[b'p', 0, 0x10, 0, 0]).await.unwrap();
    assert_eq!(raw.next().await.unwrap().state(), "08P01");
    // Malformed SCRAM.
    for body in
        [&b""[..], b"SCRAM-SHA-256\0", b"SCRAM-SHA-256\0\0\0\0\x09n,,n=,r=x", b"MD5\0\0\0\0\0", b"SCRAM-SHA-256\0\xff\xff\xff\xffxx"]
    {
        let mut raw = Raw::connect(s.address).await;
        raw.startup(0x0003_0000, &[("user", "alice")]).await;
        raw.next().await.unwrap();
        raw.put(b'p', |b| b.extend_from_slice(body)).send().await;
        let m = raw.next().await.unwrap();
        assert!(m.tag == b'E' || m.tag == b'R', "{body:?}");
    }
    assert_eq!(s.server.sessions.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_the_real_psql() {
    let c = Certificates::get().unwrap();
    let s = Running::with(Options { users: users(), tls: Some((c.server_cert(), c.server_key())), ..Default::default() }).await;
    let port = s.address.port();
    let verify = format!("sslmode=verify-full sslrootcert={}", c.ca().display());
    assert_eq!(psql(port, "wonder land", &verify).await.unwrap(), "in");
    // The client insists on SCRAM-SHA-256-PLUS: the password exchange is bound to this TLS connection.
    assert_eq!(psql(port, "wonder land", &format!("{verify} channel_binding=require")).await.unwrap(), "in");
    assert_eq!(psql(port, "wonder land", "sslmode=disable").await.unwrap(), "in");
    let wrong = psql(port, "wonder land", &format!("sslmode=verify-full sslrootcert={}", c.wrong_ca().display())).await.unwrap_err();
    assert!(wrong.contains("certificate verify failed"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_byte_behind_the_request_for_tls_is_not_taken_for_an_encrypted_one() {
    let c = Certificates::get().unwrap();
    let s = Running::with(Options { tls: Some((c.server_cert(), c.server_key())), ..Default::default() }).await;
    let mut raw = Raw::connect(s.address).await;
    let mut bytes = vec![0, 0, 0, 8, 4, 210, 22, 47];
    bytes.extend_from_slice(b"\0\0\0\x12\0\x03\0\0user\0fjord\0\0\0");
    raw.socket.write_all(&bytes).await.unwrap();
    assert_eq!(raw.socket.read_u8().await.unwrap(), b'S');
    let mut rest = vec![];
    let _ = raw.socket.read_to_end(&mut rest).await;
    // At most a TLS alert; never a session.
    assert!(rest.first().is_none_or(|b| *b == 0x15), "{rest:?}");
    assert_eq!(s.server.sessions.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_addresses_need_users_and_tls() {
    let c = Certificates::get().unwrap();
    let any = "0.0.0.0:0".parse().unwrap();
    let bare = Running::start().await;
    let e = bare.server.bind(any).unwrap_err();
    assert!(e.message.contains("no users and no TLS certificate are configured"), "{e}");
    let users_only = Running::with(Options { users: users(), ..Default::default() }).await;
    assert!(users_only.server.bind(any).is_err());
    let tls_only = Running::with(Options { tls: Some((c.server_cert(), c.server_key())), ..Default::default() }).await;
    assert!(tls_only.server.bind(any).is_err());
    let both = Running::with(Options { users: users(), tls: Some((c.server_cert(), c.server_key())), ..Default::default() }).await;
    assert!(both.server.bind(any).is_ok());
}

#[test]
fn a_bad_certificate_stops_the_server() {
    let c = Certificates::get().unwrap();
    for (cert, key) in [
        (c.server_cert(), c.ca()),
        (c.server_key(), c.server_key()),
        (c.server_cert(), c.other_host_key()),
        (c.server_cert(), "/nonexistent.key".into()),
    ] {
        let e = fjord_server::tls::load(&cert, &key).err().expect("refused");
        assert_eq!(e.state.0, "F0000", "{e}");
    }
}

/// A session may be cancelled or ended by its own role only.
#[tokio::test(flavor = "multi_thread")]
async fn another_roles_session_is_not_mine_to_end() {
    let users = ["alice", "bob"].map(|u| (u.to_string(), Verifier::of_password("pw"))).into();
    let s = Running::with(Options { users, ..Default::default() }).await;
    let connect = async |user: &str| {
        let config = format!("host=127.0.0.1 port={} user={user} password=pw", s.address.port());
        let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    };
    let (alice, alice_too, bob) = (connect("alice").await, connect("alice").await, connect("bob").await);
    let pid: i32 = alice.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    for function in ["pg_cancel_backend", "pg_terminate_backend"] {
        let e = bob.simple_query(&format!("select {function}({pid})")).await.unwrap_err();
        assert_eq!(e.code().unwrap().code(), "42501", "{function}");
    }
    alice.simple_query("select 1").await.unwrap();
    assert!(alice_too.query_one(&format!("select pg_terminate_backend({pid})"), &[]).await.unwrap().get::<_, bool>(0));
    assert!(!bob.query_one("select pg_terminate_backend(1)", &[]).await.unwrap().get::<_, bool>(0));
}
