//! Files on disk and on an S3-speaking server, through the connector's own door: options, validate, introspect, and queries over the tables it gives.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::SessionContext;
use fjord_engine::source::{CheckStatus, ConnectorType, OptionValues, Secret, Source, SourceCatalog};
use fjord_engine::{Result, SqlState};
use fjord_files::{FilesType, OPTIONS};
use fjord_harness::S3Server;
use fjord_harness::process::Process;
use tempfile::TempDir;

fn open(location: &str, more: &[(&str, &str)]) -> Result<Arc<dyn Source>> {
    open_below(None, location, more)
}

fn open_below(root: Option<&std::path::Path>, location: &str, more: &[(&str, &str)]) -> Result<Arc<dyn Source>> {
    let mut given: BTreeMap<String, String> = BTreeMap::from([("location".to_string(), location.to_string())]);
    let mut secrets = BTreeMap::new();
    for (k, v) in more {
        if *k == "secret_access_key" {
            secrets.insert(k.to_string(), Secret::new(*v));
        } else {
            given.insert(k.to_string(), v.to_string());
        }
    }
    FilesType { root: root.map(Into::into) }.open("lake", OptionValues::validate("files", OPTIONS, &given, secrets)?)
}

fn folder(dir: &TempDir, sub: &str) -> String {
    dir.path().join(sub).to_str().unwrap().to_string()
}

/// Registers all tables of a connector under their names.
async fn register(ctx: &SessionContext, source: &Arc<dyn Source>) -> SourceCatalog {
    let catalog = source.introspect().await.unwrap();
    for t in &catalog.schemas[0].tables {
        if let Some(p) = &t.native {
            ctx.register_table(t.name.as_str(), p.clone()).unwrap();
        }
    }
    catalog
}

fn tables(catalog: &SourceCatalog) -> Vec<String> {
    catalog.schemas[0].tables.iter().map(|t| t.name.clone()).collect()
}

async fn run(ctx: &SessionContext, sql: &str) -> Vec<RecordBatch> {
    ctx.sql(sql).await.unwrap().collect().await.unwrap()
}

/// One value, as text.
async fn one(ctx: &SessionContext, sql: &str) -> String {
    let shown = pretty_format_batches(&run(ctx, sql).await).unwrap().to_string();
    shown.lines().nth(3).unwrap_or_default().trim_matches(['|', ' ']).to_string()
}

/// Writes the result of a query with DataFusion's COPY: the format and compression go by `options`.
async fn write(query: &str, path: &str, stored_as: &str, options: &str) {
    std::fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
    let ctx = SessionContext::new();
    run(&ctx, &format!("COPY ({query}) TO '{path}' STORED AS {stored_as} {options}")).await;
}

const ROWS: &str = "SELECT CAST(column1 AS BIGINT) AS id, column2 AS name, CAST(column3 AS DOUBLE) AS amount
    FROM (VALUES (1, 'a', 1.5), (2, 'b,\"c\"', -2.25), (3, 'é', 0))";

#[tokio::test]
async fn every_format_and_compression() {
    let dir = TempDir::new().unwrap();
    write(ROWS, &folder(&dir, "p/t.parquet"), "PARQUET", "").await;
    write(ROWS, &folder(&dir, "c/t.csv"), "CSV", "OPTIONS ('format.has_header' 'true')").await;
    write(ROWS, &folder(&dir, "g/t.csv.gz"), "CSV", "OPTIONS ('format.has_header' 'true', 'format.compression' 'gzip')").await;
    write(ROWS, &folder(&dir, "z/t.csv.zst"), "CSV", "OPTIONS ('format.has_header' 'true', 'format.compression' 'zstd')").await;
    write(ROWS, &folder(&dir, "b/t.csv.bz2"), "CSV", "OPTIONS ('format.has_header' 'true', 'format.compression' 'bzip2')").await;
    write(ROWS, &folder(&dir, "x/t.csv.xz"), "CSV", "OPTIONS ('format.has_header' 'true', 'format.compression' 'xz')").await;
    write(ROWS, &folder(&dir, "j/t.json"), "JSON", "").await;
    write(ROWS, &folder(&dir, "jz/t.jsonl.gz"), "JSON", "OPTIONS ('format.compression' 'gzip')").await;
    write(ROWS, &folder(&dir, "a/t.arrow"), "ARROW", "").await;
    for sub in ["p", "c", "g", "z", "b", "x", "j", "jz", "a"] {
        let source = open(&folder(&dir, sub), &[]).unwrap();
        let checks = source.validate().await;
        assert!(checks.iter().all(|c| c.status == CheckStatus::Ok), "{sub}: {checks:?}");
        let ctx = SessionContext::new();
        let catalog = register(&ctx, &source).await;
        assert_eq!(tables(&catalog), ["t"], "{sub}");
        let shown = pretty_format_batches(&run(&ctx, "SELECT id, name, amount FROM t ORDER BY id").await).unwrap().to_string();
        let wanted = ["| 1  | a     | 1.5    |", "| 2  | b,\"c\" | -2.25  |", "| 3  | é     | 0.0    |"];
        assert_eq!(shown.lines().skip(3).take(3).collect::<Vec<_>>(), wanted, "{sub}");
        let name = catalog.schemas[0].tables[0].columns.iter().find(|c| c.field.name() == "name").unwrap();
        assert_eq!(name.field.data_type(), &DataType::Utf8, "{sub}");
        assert!(catalog.schemas[0].tables[0].bytes.unwrap() > 0);
    }
}

#[tokio::test]
async fn csv_options() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("a.csv"), "1;'x;y'\n2;'line\nbreak'\n").unwrap();
    std::fs::write(dir.path().join("b.tsv"), "k\tv\n1\tz\n").unwrap();
    std::fs::write(dir.path().join("c.txt"), "k|v\n1|z\n").unwrap();
    std::fs::write(dir.path().join("d.json"), "[{\"k\": 1}, {\"k\": 2, \"v\": null}]").unwrap();
    let ctx = SessionContext::new();
    register(&ctx, &open(&folder(&dir, "a.csv"), &[("has_header", "false"), ("delimiter", ";"), ("quote", "'")]).unwrap()).await;
    assert_eq!(one(&ctx, "SELECT count(*) FROM a WHERE column_2 LIKE 'line%break'").await, "1");
    register(&ctx, &open(&folder(&dir, "b.tsv"), &[]).unwrap()).await;
    assert_eq!(one(&ctx, "SELECT v FROM b").await, "z");
    register(&ctx, &open(&folder(&dir, "c.txt"), &[("format", "csv"), ("delimiter", "|")]).unwrap()).await;
    assert_eq!(one(&ctx, "SELECT v FROM c").await, "z");
    register(&ctx, &open(&folder(&dir, "d.json"), &[("format", "json_array")]).unwrap()).await;
    assert_eq!(one(&ctx, "SELECT sum(k) FROM d").await, "3");
    let e = open(&folder(&dir, "c.txt"), &[]).unwrap().introspect().await.unwrap_err();
    assert!(e.message.contains("c.txt") && e.hint.unwrap().contains("format"), "{}", e.message);
    assert!(open("x", &[("delimiter", "ab")]).is_err());
}

#[tokio::test]
async fn names_of_tables() {
    let dir = TempDir::new().unwrap();
    for f in [
        "lake/orders.csv",
        "lake/customers_2024-01.csv",
        "lake/customers_2024-02.csv",
        "lake/events/2024/a.csv",
        "lake/events/b.csv",
        "lake/part-1.csv",
    ] {
        let path = dir.path().join(f);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "k\n1\n").unwrap();
    }
    std::fs::write(dir.path().join("lake/_SUCCESS"), "").unwrap();
    let ctx = SessionContext::new();
    let catalog = register(&ctx, &open(&folder(&dir, "lake"), &[]).unwrap()).await;
    assert_eq!(tables(&catalog), ["customers", "events", "lake", "orders"]);
    assert_eq!(one(&ctx, "SELECT count(*) FROM customers").await, "2");
    assert_eq!(one(&ctx, "SELECT count(*) FROM events").await, "2", "sub-folders of a table's folder are read");
    let glob = |pattern: &str| {
        let source = open(&format!("{}/{pattern}", folder(&dir, "lake")), &[]).unwrap();
        async move { tables(&source.introspect().await.unwrap()) }
    };
    assert_eq!(glob("*.csv").await, ["lake"]);
    assert_eq!(glob("customers*.csv").await, ["customers"]);
    assert_eq!(glob("events/**/*.csv").await, ["events"]);
    assert_eq!(glob("{orders,part-1}.csv").await, ["lake"]);
    let e = open(&format!("{}/*.parquet", folder(&dir, "lake")), &[]).unwrap().introspect().await.unwrap_err();
    assert_eq!(e.state.0, "58P01");
}

#[tokio::test]
async fn hive_partitions() {
    let dir = TempDir::new().unwrap();
    for (year, kind, id) in [(2023, "a b", 1), (2024, "a b", 2), (2024, "c", 3)] {
        let query = format!("SELECT {id} AS id");
        write(&query, &folder(&dir, &format!("events/year={year}/kind={kind}/p.parquet")), "PARQUET", "").await;
    }
    let ctx = SessionContext::new();
    let source = open(&folder(&dir, "events"), &[]).unwrap();
    let catalog = register(&ctx, &source).await;
    let columns: Vec<_> =
        catalog.schemas[0].tables[0].columns.iter().map(|c| (c.field.name().as_str(), c.field.data_type().clone())).collect();
    assert_eq!(columns, [("id", DataType::Int64), ("year", DataType::Int64), ("kind", DataType::Utf8)]);
    assert_eq!(one(&ctx, "SELECT sum(id) FROM events WHERE year = 2024").await, "5");
    assert_eq!(one(&ctx, "SELECT sum(id) FROM events WHERE kind = 'a b'").await, "3");
    assert_eq!(one(&ctx, "SELECT sum(id) FROM events WHERE year > 2023 AND kind = 'c'").await, "3");
    let plan = pretty_format_batches(&run(&ctx, "EXPLAIN SELECT id FROM events WHERE year = 2023").await).unwrap().to_string();
    assert!(plan.contains("year=2023") && !plan.contains("year=2024"), "only one folder is read:\n{plan}");
    // Fewer columns by option.
    let ctx = SessionContext::new();
    register(&ctx, &open(&folder(&dir, "events"), &[("partition_columns", "year")]).unwrap()).await;
    assert_eq!(one(&ctx, "SELECT sum(id) FROM events WHERE year = 2024").await, "5");
    let ctx = SessionContext::new();
    register(&ctx, &open(&folder(&dir, "events"), &[("partition_columns", "-")]).unwrap()).await;
    assert_eq!(one(&ctx, "SELECT sum(id) FROM events").await, "6");
    // DataFusion would leave out a file outside of the folders in silence; it is an error, for open tables and for new ones.
    let ctx = SessionContext::new();
    register(&ctx, &source).await;
    write("SELECT 9 AS id", &folder(&dir, "events/part-0.parquet"), "PARQUET", "").await;
    let e = ctx.sql("SELECT sum(id) FROM events").await.unwrap().collect().await.unwrap_err().to_string();
    assert!(e.contains("part-0.parquet") && e.contains("year=.../kind=..."), "{e}");
    let e = source.introspect().await.unwrap_err();
    assert!(e.message.contains("\"part-0.parquet\" in (none)"), "{}", e.message);
}

/// DataFusion would look for `month=1` where the folder is `month=01`: such a column stays text.
#[tokio::test]
async fn partition_values_with_leading_zeros() {
    let dir = TempDir::new().unwrap();
    for month in ["01", "02"] {
        write(&format!("SELECT {month} AS id"), &folder(&dir, &format!("t/month={month}/p.parquet")), "PARQUET", "").await;
    }
    let ctx = SessionContext::new();
    let catalog = register(&ctx, &open(&folder(&dir, "t"), &[]).unwrap()).await;
    assert_eq!(catalog.schemas[0].tables[0].columns[1].field.data_type(), &DataType::Utf8);
    assert_eq!(one(&ctx, "SELECT sum(id) FROM t WHERE month = '01'").await, "1");
}

/// Each query sees the files of its time: DataFusion's own cache of listings would show the first ones for ever.
#[tokio::test]
async fn files_come_change_and_go() {
    let dir = TempDir::new().unwrap();
    write("SELECT 1 AS id", &folder(&dir, "t/1.parquet"), "PARQUET", "").await;
    let ctx = SessionContext::new();
    register(&ctx, &open(&folder(&dir, "t"), &[]).unwrap()).await;
    assert_eq!(one(&ctx, "SELECT sum(id) FROM t").await, "1");
    write("SELECT 10 AS id", &folder(&dir, "t/2.parquet"), "PARQUET", "").await;
    assert_eq!(one(&ctx, "SELECT sum(id) FROM t").await, "11");
    write("SELECT column1 AS id FROM (VALUES (100), (200))", &folder(&dir, "t/1.parquet"), "PARQUET", "").await;
    assert_eq!(one(&ctx, "SELECT sum(id) FROM t").await, "310");
    std::fs::remove_file(dir.path().join("t/1.parquet")).unwrap();
    assert_eq!(one(&ctx, "SELECT sum(id) FROM t").await, "10");
    assert_eq!(one(&ctx, "SELECT count(*) FROM t").await, "1");
}

#[tokio::test]
async fn errors_name_the_file() {
    let dir = TempDir::new().unwrap();
    write("SELECT 1 AS id", &folder(&dir, "bad/1.parquet"), "PARQUET", "").await;
    std::fs::write(dir.path().join("bad/2.parquet"), "this is no parquet file at all").unwrap();
    let source = open(&folder(&dir, "bad"), &[]).unwrap();
    let failed = source.validate().await.into_iter().find(|c| c.status == CheckStatus::Failed).unwrap().error.unwrap();
    assert!(failed.message.contains("\"2.parquet\" cannot be read") && failed.message.contains("lake"), "{}", failed.message);
    assert_eq!(failed.state.0, "22000");

    write("SELECT 1 AS id", &folder(&dir, "mixed/1.parquet"), "PARQUET", "").await;
    write("SELECT 'x' AS id", &folder(&dir, "mixed/2.parquet"), "PARQUET", "").await;
    let e = open(&folder(&dir, "mixed"), &[]).unwrap().introspect().await.unwrap_err();
    assert!(e.message.contains("1.parquet") && e.message.contains("2.parquet") && e.message.contains("\"id\""), "{}", e.message);

    std::fs::create_dir(dir.path().join("csv")).unwrap();
    std::fs::write(dir.path().join("csv/1.csv"), "a,b\n1,2\n").unwrap();
    std::fs::write(dir.path().join("csv/2.csv"), "b,a\n1,2\n").unwrap();
    let e = open(&folder(&dir, "csv"), &[]).unwrap().introspect().await.unwrap_err();
    assert!(e.message.contains("2.csv") && e.message.contains("(b, a)"), "{}", e.message);

    std::fs::create_dir(dir.path().join("two")).unwrap();
    std::fs::write(dir.path().join("two/1.csv"), "a\n1\n").unwrap();
    std::fs::write(dir.path().join("two/2.json"), "{}\n").unwrap();
    let e = open(&folder(&dir, "two"), &[]).unwrap().introspect().await.unwrap_err();
    assert!(e.message.contains("1.csv") && e.message.contains("2.json"), "{}", e.message);

    std::fs::create_dir(dir.path().join("none")).unwrap();
    let e = open(&folder(&dir, "none"), &[]).unwrap().introspect().await.unwrap_err();
    assert_eq!(e.state.0, "58P01");
    let e = open("/no/such/folder/anywhere", &[]).unwrap().introspect().await.unwrap_err();
    assert_eq!(e.state.0, "58P01");
}

/// One broken table does not take the others with it.
#[tokio::test]
async fn a_broken_table_is_listed_with_its_reason() {
    let dir = TempDir::new().unwrap();
    write("SELECT 1 AS id", &folder(&dir, "lake/good/1.parquet"), "PARQUET", "").await;
    std::fs::create_dir(dir.path().join("lake/broken")).unwrap();
    std::fs::write(dir.path().join("lake/broken/1.parquet"), "PAR1").unwrap();
    let source = open(&folder(&dir, "lake"), &[]).unwrap();
    let ctx = SessionContext::new();
    let catalog = register(&ctx, &source).await;
    assert_eq!(tables(&catalog), ["broken", "good"]);
    assert!(catalog.schemas[0].tables[0].unreadable.as_deref().unwrap().contains("broken/1.parquet"));
    assert!(catalog.notices[0].contains("broken"));
    assert_eq!(one(&ctx, "SELECT id FROM good").await, "1");
    assert!(source.validate().await.iter().any(|c| c.status == CheckStatus::Warning));
}

#[tokio::test]
async fn columns_of_newer_files_are_null_in_older_ones() {
    let dir = TempDir::new().unwrap();
    write("SELECT 1 AS id", &folder(&dir, "t/1.parquet"), "PARQUET", "").await;
    write("SELECT 2 AS id, 'new' AS note", &folder(&dir, "t/2.parquet"), "PARQUET", "").await;
    let ctx = SessionContext::new();
    register(&ctx, &open(&folder(&dir, "t"), &[]).unwrap()).await;
    assert_eq!(one(&ctx, "SELECT count(*) FROM t WHERE note IS NULL").await, "1");
    assert_eq!(one(&ctx, "SELECT id FROM t WHERE note = 'new'").await, "2");
}

fn s3_options<'a>(server: &'a S3Server, endpoint: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("endpoint", endpoint),
        ("region", server.region()),
        ("access_key_id", server.access_key_id()),
        ("secret_access_key", server.secret_access_key()),
        ("allow_http", "true"),
    ]
}

#[tokio::test]
async fn s3() {
    let server = S3Server::start().unwrap();
    let endpoint = server.endpoint();
    let options = s3_options(&server, &endpoint);
    let dir = TempDir::new().unwrap();
    for (bucket, id) in [("one", 1), ("two", 2)] {
        server.create_bucket(bucket).unwrap();
        let path = folder(&dir, &format!("{bucket}.parquet"));
        write(&format!("SELECT {id} AS id"), &path, "PARQUET", "").await;
        let parquet = std::fs::read(&path).unwrap();
        server.put(bucket, "lake/events/year=2024/p.parquet", &parquet).unwrap();
        server.put(bucket, "lake/events/year=2025/p.parquet", &parquet).unwrap();
        server.put(bucket, "lake/notes.csv", format!("k,v\n{id},x\n").as_bytes()).unwrap();
    }
    // The same paths and sizes in two buckets, in one runtime: neither caches nor stores may mix them up.
    let one_ctx = SessionContext::new();
    let two_ctx = SessionContext::new_with_config_rt(Default::default(), one_ctx.runtime_env());
    let a = open("s3://one/lake/", &options).unwrap();
    let b = open("s3://two/lake/", &options).unwrap();
    assert!(a.validate().await.iter().all(|c| c.status == CheckStatus::Ok));
    assert_eq!(tables(&register(&one_ctx, &a).await), ["events", "notes"]);
    register(&two_ctx, &b).await;
    for _ in 0..2 {
        assert_eq!(one(&one_ctx, "SELECT sum(id) FROM events").await, "2");
        assert_eq!(one(&two_ctx, "SELECT sum(id) FROM events").await, "4");
        assert_eq!(one(&two_ctx, "SELECT sum(id) FROM events WHERE year = 2025").await, "2");
        assert_eq!(one(&one_ctx, "SELECT k FROM notes").await, "1");
    }
    // One object, and a glob.
    let ctx = SessionContext::new();
    register(&ctx, &open("s3://two/lake/notes.csv", &options).unwrap()).await;
    assert_eq!(one(&ctx, "SELECT k FROM notes").await, "2");
    assert_eq!(tables(&open("s3://two/lake/events/*/*.parquet", &options).unwrap().introspect().await.unwrap()), ["events"]);
    // A missing bucket is an error without the secret in it.
    let e = open("s3://missing/x/", &options).unwrap().introspect().await.unwrap_err();
    let shown = format!("{e:?} {e}");
    assert!(shown.contains("s3://missing/x/") && !shown.contains(server.secret_access_key()), "{shown}");
    assert!(!format!("{a:?}").contains(server.secret_access_key()));
}

/// One file by its URL, from the web server that comes with Python.
#[tokio::test]
async fn http() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("notes.csv"), "k,v\n2,x\n").unwrap();
    let port = fjord_harness::ports::free().unwrap();
    let mut command = fjord_harness::process::bound_command("python3", "KILL", None);
    command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(dir.path()).arg(port.to_string());
    let server = Process::start("http", command).unwrap();
    server.wait_for_line(0, std::time::Duration::from_secs(30), |l| l.contains("Serving HTTP"));
    let ctx = SessionContext::new();
    let catalog = register(&ctx, &open(&format!("http://127.0.0.1:{port}/notes.csv"), &[("allow_http", "true")]).unwrap()).await;
    assert_eq!(tables(&catalog), ["notes"]);
    assert_eq!(one(&ctx, "SELECT k FROM notes WHERE v = 'x'").await, "2");
    let e = open(&format!("http://127.0.0.1:{port}/none.csv"), &[("allow_http", "true")]).unwrap().introspect().await.unwrap_err();
    assert_eq!(e.state.0, "58P01");
}

#[test]
fn every_option_is_documented() {
    let page = include_str!("../../../docs/connectors/files.md");
    for option in OPTIONS {
        assert!(page.contains(&format!("| `{}` |", option.name)) && page.contains(option.doc), "{}", option.name);
    }
}

#[test]
fn what_is_refused_at_once() {
    let state = |location: &str, more: &[(&str, &str)]| open(location, more).unwrap_err().state.0;
    assert_eq!(state("s3://b/x", &[("endpoint", "http://127.0.0.1:1")]), "22023", "not encrypted");
    assert_eq!(state("s3://b/x", &[("endpoint", "http://169.254.169.254"), ("allow_http", "true")]), "42501");
    assert_eq!(state("https://[fe80::1]/x.csv", &[]), "42501");
    assert_eq!(state("s3://b/x", &[("access_key_id", "a")]), "22023");
    assert_eq!(state("s3://", &[]), "22023");
    assert_eq!(state("data/[", &[]), "22023");
}

#[tokio::test]
async fn an_unreachable_store_is_08001() {
    let options = [("endpoint", "http://127.0.0.1:1"), ("allow_http", "true"), ("connect_timeout", "1s"), ("request_timeout", "2s")];
    let e = open("s3://b/x/", &options).unwrap().introspect().await.unwrap_err();
    assert_eq!(e.state.0, "08001");
    assert!(e.message.contains("lake") && e.message.contains("s3://b/x/"), "{}", e.message);
}

#[tokio::test]
async fn local_files_are_read_below_the_root_only() {
    let dir = TempDir::new().unwrap();
    let (root, secret) = (dir.path().join("root"), dir.path().join("secret"));
    std::fs::create_dir_all(root.join("lake/more")).unwrap();
    std::fs::create_dir_all(&secret).unwrap();
    std::fs::write(root.join("lake/a.csv"), "n\n1\n").unwrap();
    std::fs::write(secret.join("b.csv"), "n\n2\n").unwrap();
    // Beside the root, with a name that begins like it.
    std::fs::create_dir_all(dir.path().join("root2")).unwrap();
    std::fs::write(dir.path().join("root2/b.csv"), "n\n2\n").unwrap();
    std::os::unix::fs::symlink(&secret, root.join("out")).unwrap();
    std::os::unix::fs::symlink(root.join("lake"), dir.path().join("in")).unwrap();
    let at = |path: &str| format!("{}/{path}", dir.path().display());
    for outside in [
        at("secret"),
        at("secret/b.csv"),
        at("root2/b.csv"),
        at("root/../secret/b.csv"),
        at("root/lake/../../secret/*.csv"),
        at("root/out"),
        at("root/out/b.csv"),
        at("root/nothing/../../secret/nothing.csv"),
        at("secret/nothing.csv"),
        format!("file://{}", at("secret")),
        "/etc/passwd".to_string(),
    ] {
        let e = open_below(Some(&root), &outside, &[]).unwrap().introspect().await.unwrap_err();
        assert_eq!(e.state, SqlState::INSUFFICIENT_PRIVILEGE, "{outside}: {e}");
        assert!(e.hint.unwrap_or_default().contains("--file-root"), "{outside}");
    }
    for inside in [at("root/lake"), at("root/lake/*.csv"), at("root/lake/more/../a.csv"), at("in/a.csv")] {
        let catalog = open_below(Some(&root), &inside, &[]).unwrap().introspect().await.unwrap();
        assert_eq!(catalog.schemas[0].tables.len(), 1, "{inside}");
    }
    let e = open_below(Some(&root), &at("root/lake/none.csv"), &[]).unwrap().introspect().await.unwrap_err();
    assert_eq!(e.state, SqlState::UNDEFINED_FILE);
    assert!(open(&at("secret"), &[]).unwrap().introspect().await.is_ok());
    let e = open_below(Some(at("none").as_ref()), &at("secret"), &[]).unwrap().introspect().await.unwrap_err();
    assert_eq!(e.state, SqlState::CONFIG_FILE_ERROR);
}

/// Links that are laid after the connector was made.
#[tokio::test]
async fn a_link_out_of_the_root_is_refused_when_it_is_read() {
    let dir = TempDir::new().unwrap();
    let lake = dir.path().join("root/lake");
    std::fs::create_dir_all(&lake).unwrap();
    std::fs::write(dir.path().join("secret.csv"), "n\n2\n").unwrap();
    std::fs::write(lake.join("a1.csv"), "n\n1\n").unwrap();
    let source = open_below(Some(&dir.path().join("root")), lake.to_str().unwrap(), &[]).unwrap();
    let ctx = SessionContext::new();
    register(&ctx, &source).await;
    assert_eq!(one(&ctx, "SELECT sum(n) FROM a1").await, "1");
    std::fs::remove_file(lake.join("a1.csv")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("secret.csv"), lake.join("a1.csv")).unwrap();
    let e = match ctx.sql("SELECT sum(n) FROM a1").await {
        Ok(frame) => frame.collect().await.unwrap_err(),
        Err(e) => e,
    };
    assert!(e.to_string().contains("is not below"), "{e}");
}
