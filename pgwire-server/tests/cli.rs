//! The real `fjord` binary: serve, sql, signals, configuration.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, Output};

use fjord_harness::{FjordOptions, FjordServer, TempFolder};

const FJORD: &str = env!("CARGO_BIN_EXE_fjord");

fn fjord(args: &[&str]) -> Output {
    Command::new(FJORD).args(args).env("NO_COLOR", "1").output().unwrap()
}

fn options() -> FjordOptions {
    FjordOptions { program: Some(FJORD.into()), ..Default::default() }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn version_and_help() {
    let v = fjord(&["--version"]);
    assert!(v.status.success());
    assert_eq!(text(&v.stdout).trim(), concat!("fjord ", env!("CARGO_PKG_VERSION")));
    let h = text(&fjord(&["serve", "--help"]).stdout);
    for option in ["--data-dir", "--store", "--listen", "--config", "--init-sql", "--log-format", "--insecure"] {
        assert!(h.contains(option), "{option}\n{h}");
    }
    assert_eq!(fjord(&["nonsense"]).status.code(), Some(2));
}

#[test]
fn sql_prints_readable_tables() {
    let folder = TempFolder::new("cli").unwrap();
    let dir = folder.path().join("data");
    let dir = dir.to_str().unwrap();
    let out = fjord(&["sql", "--data-dir", dir, "-c", "select 1 as n, 'abc' as t; begin; commit"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert_eq!(text(&out.stdout), " n |  t\n---+-----\n 1 | abc\n(1 row)\n\nBEGIN\nCOMMIT\n");
    // An error ends it with a message on the other stream; what came before it is there.
    let out = fjord(&["sql", "--data-dir", dir, "-c", "select 1 as n; select nope; select 2"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stdout).contains("(1 row)") && !text(&out.stdout).contains("2"));
    assert!(text(&out.stderr).contains("nope") && text(&out.stderr).contains("SQLSTATE: 42703"), "{}", text(&out.stderr));
    folder.write("q.sql", "select 7 as seven;\ncopy (select 'a', 'b') to stdout (format csv);\n").unwrap();
    let out = fjord(&["sql", "--data-dir", dir, "-f", folder.path().join("q.sql").to_str().unwrap()]);
    assert_eq!(text(&out.stdout), " seven\n-------\n     7\n(1 row)\n\na,b\n");
}

#[test]
fn other_addresses_need_users_and_tls_or_insecure() {
    let folder = TempFolder::new("cli").unwrap();
    let dir = folder.path().join("data");
    let out = fjord(&["serve", "--data-dir", dir.to_str().unwrap(), "--listen", "0.0.0.0:0"]);
    assert_eq!(out.status.code(), Some(1));
    let error = text(&out.stderr);
    assert!(error.contains("refusing to listen on 0.0.0.0:0") && error.contains("--insecure"), "{error}");
}

#[test]
fn a_wrong_configuration_stops_the_start() {
    let folder = TempFolder::new("cli").unwrap();
    let file = folder.path().join("fjord.toml");
    let dir = folder.path().join("data");
    for (config, says) in [
        ("[limits]\nmax_conections = 1\n", "max_conections"),
        ("[tls]\ncert = \"none.pem\"\nkey = \"none.key\"\n", "none.pem"),
        ("[users.a]\n", "exactly one of password_file and scram"),
        ("[users.a]\npassword_file = \"missing\"\n", "missing"),
        ("[limits]\nmemory = \"lots\"\n", "lots"),
        ("[secrets]\nkey_file = \"missing\"\n", "key_file"),
    ] {
        folder.write("fjord.toml", config).unwrap();
        let out = fjord(&["serve", "--data-dir", dir.to_str().unwrap(), "--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()]);
        assert_eq!(out.status.code(), Some(1), "{config}");
        assert!(text(&out.stderr).contains(says), "{config}\n{}", text(&out.stderr));
    }
}

#[test]
fn serve_answers_psql_and_stops_clean() {
    let mut server = FjordServer::with(options()).unwrap();
    assert_eq!(server.psql("select 1; select 'two'").unwrap(), "1\ntwo\n");
    assert!(server.log().contains("fjord is ready"), "{}", server.log());
    server.stop().unwrap();
    server.start_again().unwrap();
    assert_eq!(server.psql("select 3").unwrap(), "3\n");
}

#[test]
fn logs_are_json_when_asked_for() {
    let server = FjordServer::with(FjordOptions { args: vec!["--log-format".into(), "json".into()], ..options() }).unwrap();
    server.psql("select 1").unwrap();
    let log = server.log();
    let first = log.lines().next().unwrap();
    assert!(first.starts_with('{') && first.ends_with('}') && first.contains("fjord is ready"), "{log}");
}

#[test]
fn init_sql_runs_before_the_first_client_and_its_errors_end_the_start() {
    let bad = FjordServer::with(FjordOptions { init_sql: Some("select 1; select nope;".into()), ..options() });
    let e = bad.err().expect("refused").to_string();
    assert!(e.contains("nope"), "{e}");
    let good = FjordServer::with(FjordOptions { init_sql: Some("select 1; select 2;".into()), ..options() }).unwrap();
    assert_eq!(good.psql("select 1").unwrap(), "1\n");
}
