//! The harness keeps its own promises.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use fjord_harness::{
    Auth, Direction, FaultProxy, Flavor, Mongo, MongoOptions, MySql, MySqlOptions, Postgres, PostgresOptions, S3Server, Venv,
    mongo_programs, process, tls,
};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_postgres_lives_restarts_survives_kill_and_leaves_nothing_behind() {
    let mut pg = Postgres::start().unwrap();
    let folder = pg.socket_folder().to_path_buf();
    assert_eq!(pg.psql("create table t as select 7 as a; select a from t").unwrap(), "7\n");
    let port = pg.port();
    pg.restart().unwrap();
    assert_eq!(pg.port(), port);
    let client = pg.client().await.unwrap();
    assert_eq!(client.query_one("select a from t", &[]).await.unwrap().get::<_, i32>(0), 7);
    pg.kill9();
    pg.start_again().unwrap();
    assert_eq!(pg.psql("select current_setting('wal_level')").unwrap(), "logical\n");
    let pid = pg.pid().unwrap();
    let mark = pg.log_mark();
    assert!(pg.psql("select no_such_column").unwrap_err().to_string().contains("no_such_column"));
    pg.wait_for_log(mark, "no_such_column", SOON).unwrap();
    drop(pg);
    assert!(!folder.exists());
    assert!(!std::path::Path::new("/proc").join(pid.to_string()).exists());
}

#[tokio::test]
async fn a_postgres_with_password_and_tls_refuses_the_rest() {
    let options = PostgresOptions { auth: Auth::Password("it's secret".into()), tls: true, tls_only: true, ..PostgresOptions::default() };
    let pg = Postgres::with(options).unwrap();
    let without_tls = format!("host=127.0.0.1 port={} user=postgres password='it\\'s secret'", pg.port());
    assert!(tokio_postgres::connect(&without_tls, tokio_postgres::NoTls).await.is_err());
    let ca = tls::Certificates::get().unwrap().ca();
    let connect = |password: &str| {
        std::process::Command::new("psql")
            .args(["-X", "-At", "-c", "select ssl from pg_stat_ssl where pid = pg_backend_pid()"])
            .arg(format!("host=127.0.0.1 port={} user=postgres sslmode=verify-full sslrootcert={}", pg.port(), ca.display()))
            .env("PGPASSWORD", password)
            .output()
            .unwrap()
    };
    assert_eq!(String::from_utf8_lossy(&connect("it's secret").stdout), "t\n");
    assert!(!connect("wrong").status.success());
}

#[test]
fn a_mariadb_and_a_mysql_live_restart_survive_kill_and_leave_nothing_behind() {
    for flavor in Flavor::ALL {
        let mut server = MySql::start(flavor).unwrap();
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (a INT) ENGINE=InnoDB; INSERT INTO d.t VALUES (7)").unwrap();
        let port = server.port();
        server.restart().unwrap();
        assert_eq!((server.port(), server.sql("SELECT a FROM d.t").unwrap().as_str()), (port, "7\n"));
        server.kill9();
        server.start_again().unwrap();
        let version = server.sql("SELECT version()").unwrap();
        assert_eq!(version.contains("MariaDB"), flavor == Flavor::MariaDb, "{version}");
        let pid = server.pid().unwrap();
        drop(server);
        assert!(!std::path::Path::new("/proc").join(pid.to_string()).exists());
    }
}

#[test]
fn an_error_of_a_mysql_has_its_log_and_its_temp_folder_is_its_own() {
    for flavor in Flavor::ALL {
        let servers = [MySql::start(flavor).unwrap(), MySql::start(flavor).unwrap()];
        let folders = servers.each_ref().map(|s| s.sql("SELECT @@tmpdir").unwrap());
        assert_ne!(folders[0], folders[1]);
        let mut server = servers.into_iter().next().unwrap();
        let e = server.sql("SELECT 1; SELEC 2").unwrap_err().to_string();
        assert!(e.contains("1064") && e.contains("The server runs") && e.contains("ready for connections"), "{e}");
        server.kill9();
        let e = server.sql("SELECT 1").unwrap_err().to_string();
        assert!(e.contains("does not run"), "{e}");
    }
}

#[test]
fn a_mysql_has_the_certificate_that_it_was_given() {
    for flavor in Flavor::ALL {
        let server = MySql::with(flavor, MySqlOptions { tls: true, ..MySqlOptions::default() }).unwrap();
        let ca = server.sql("SELECT @@ssl_ca").unwrap();
        assert_eq!(ca.trim(), tls::Certificates::get().unwrap().ca().display().to_string());
    }
}

/// Answers each byte with itself.
#[test]
fn a_mongo_lives_restarts_survives_kill_and_asks_for_logins_and_tls() {
    mongo_programs::fetch_mongod().unwrap();
    let mut server = Mongo::start().unwrap();
    server.python("c.d.t.insert_one({'a': 7})").unwrap();
    let port = server.port();
    server.restart().unwrap();
    let read = "print(c.d.t.find_one()['a'])";
    assert_eq!((server.port(), server.python(read).unwrap().as_str()), (port, "7\n"));
    server.kill9();
    server.start_again().unwrap();
    assert_eq!(server.python(read).unwrap(), "7\n");
    let guarded = Mongo::with(MongoOptions { auth: true, tls: true, ..MongoOptions::default() }).unwrap();
    assert_eq!(
        guarded.python("print(c.admin.command('connectionStatus')['authInfo']['authenticatedUsers'][0]['user'])").unwrap(),
        "root\n"
    );
    let plain = format!(
        "from pymongo import MongoClient\nMongoClient('mongodb://127.0.0.1:{}/?serverSelectionTimeoutMS=500').d.t.find_one()",
        guarded.port()
    );
    assert!(guarded.python(&plain).is_err());
}

fn echo_server() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0u8; 4096];
                while let Ok(n @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

fn dial(proxy: &FaultProxy) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    back
}

#[test]
fn the_proxy_cuts_stalls_refuses_and_recovers() {
    let proxy = FaultProxy::start(echo_server()).unwrap();
    assert_eq!(exchange(&mut dial(&proxy), b"hello"), b"hello");

    proxy.cut_after(Direction::ToClient, Some(3));
    let mut stream = dial(&proxy);
    stream.write_all(b"hello").unwrap();
    let mut back = Vec::new();
    let _ = stream.read_to_end(&mut back);
    assert_eq!(back, b"hel");
    proxy.cut_after(Direction::ToClient, None);

    let mut stream = dial(&proxy);
    assert_eq!(exchange(&mut stream, b"a"), b"a");
    proxy.stall(Direction::ToClient, true);
    stream.write_all(b"b").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(stream.read(&mut [0]).is_err(), "a stalled direction passes nothing");
    proxy.stall(Direction::ToClient, false);
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut back = [0];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"b");

    proxy.refuse(true);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).is_err());
    assert_eq!(exchange(&mut stream, b"old ones live on"), b"old ones live on");
    proxy.refuse(false);
    assert_eq!(exchange(&mut dial(&proxy), b"again"), b"again");

    proxy.latency(Duration::from_millis(30));
    let started = Instant::now();
    exchange(&mut stream, b"slow");
    assert!(started.elapsed() >= Duration::from_millis(60));
    proxy.latency(Duration::ZERO);

    assert!(proxy.cut_all() >= 1);
    proxy.wait_until_open(0, SOON).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn the_s3_server_keeps_objects() {
    let s3 = S3Server::start().unwrap();
    s3.create_bucket("bucket").unwrap();
    s3.put("bucket", "dir/k.txt", b"content").unwrap();
    assert_eq!(s3.get("bucket", "dir/k.txt").unwrap(), b"content");
    assert!(s3.get("bucket", "missing").unwrap_err().to_string().contains("404"));
}

#[test]
fn a_python_environment_is_made_once_and_runs() {
    let venv = Venv::with_requirements("").unwrap();
    assert_eq!(venv.run_code("import sys; print(sys.argv[1])", &["x"]).unwrap(), "x\n");
    assert!(venv.run_code("raise SystemExit('sorry')", &[]).unwrap_err().to_string().contains("sorry"));
}

#[test]
fn a_child_of_a_killed_process_dies_too() {
    // A shell stands for the test process: it starts a child the way the harness does and is killed.
    let mut shell = std::process::Command::new("sh")
        .args(["-c", "setpriv --pdeathsig KILL -- tail -f /dev/null >/dev/null & echo $!; wait"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(shell.stdout.take().unwrap()), &mut line).unwrap();
    let child = std::path::Path::new("/proc").join(line.trim());
    // The background job is a fork of the shell until setpriv and then tail have replaced it.
    let deadline = Instant::now() + SOON;
    while !std::fs::read_to_string(child.join("cmdline")).unwrap_or_default().starts_with("tail") && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert!(process::children_of(shell.id()).contains(&line.trim().parse().unwrap()));
    shell.kill().unwrap();
    shell.wait().unwrap();
    let deadline = Instant::now() + SOON;
    while child.exists() && !std::fs::read_to_string(child.join("stat")).unwrap_or_default().contains(") Z") {
        assert!(Instant::now() < deadline, "the child outlived its parent");
        std::thread::yield_now();
    }
}
