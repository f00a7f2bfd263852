#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use datafusion::execution::SendableRecordBatchStream;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult,
};

use super::*;
use crate::source::{
    Check, OptionKind, OptionSpec, OptionValues, Partitioning, PoolStatus, RemoteRequest, SchemaInfo, Secret, TableInfo, TableKind,
};
use crate::sql::StatementKind;
use crate::sql::ddl::{AlterConnector, CreateConnector, Ddl, SecretSource};

/// A connector type whose source is a file: it answers when the file is there, and has the tables that the file lists. What a source does is
/// tested with the real ones; here it is about what the catalog makes of it.
#[derive(Debug)]
struct FileType;

const OPTIONS: &[OptionSpec] = &[
    OptionSpec { name: "path", kind: OptionKind::Text, default: None, required: true, doc: "The file." },
    OptionSpec { name: "host", kind: OptionKind::Text, default: None, required: false, doc: "A host." },
    OptionSpec { name: "password", kind: OptionKind::Secret, default: None, required: false, doc: "A secret." },
    OptionSpec { name: "schema_ttl", kind: OptionKind::Duration, default: Some("1h"), required: false, doc: "Age." },
];

#[derive(Debug)]
struct FileSource {
    name: String,
    path: String,
    password: Option<Secret>,
}

impl ConnectorType for FileType {
    fn name(&self) -> &'static str {
        "test"
    }
    fn doc(&self) -> &'static str {
        "A test."
    }
    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }
    fn open(&self, connector: &str, o: OptionValues) -> Result<Arc<dyn Source>> {
        let path = o.text("path").unwrap_or_default().to_string();
        Ok(Arc::new(FileSource { name: connector.into(), path, password: o.secret("password") }))
    }
}

impl FileSource {
    fn read(&self) -> Result<String> {
        std::fs::read_to_string(&self.path)
            .map_err(|_| SqlError::new(SqlState::CONNECTION_UNABLE, format!("connector \"{}\": cannot reach {}", self.name, self.path)))
    }
}

#[async_trait]
impl Source for FileSource {
    fn dialect(&self) -> Option<Arc<dyn crate::pushdown::Dialect>> {
        None
    }
    fn location(&self) -> String {
        self.path.clone()
    }
    async fn validate(&self) -> Vec<Check> {
        match self.read() {
            Ok(_) => vec![Check::ok("connect", "there"), Check::warning("tls", "not encrypted", "use TLS")],
            Err(e) => vec![Check::failed("connect", e)],
        }
    }
    async fn introspect(&self) -> Result<SourceCatalog> {
        let text = self.read()?;
        let table = |name: &str| {
            Arc::new(TableInfo {
                schema: "main".into(),
                name: name.into(),
                kind: TableKind::Table,
                columns: vec![],
                keys: vec![],
                foreign_keys: vec![],
                checks: vec![],
                indexes: vec![],
                partitioning: Partitioning::default(),
                comment: None,
                rows: None,
                bytes: None,
                unreadable: None,
                row_security: false,
                native: None,
            })
        };
        let tables = text.split_whitespace().map(table).collect();
        Ok(SourceCatalog {
            // What the source was opened with, to see from outside.
            server_version: self.password.as_ref().map(|p| p.expose().to_string()).unwrap_or_default(),
            default_schema: "main".into(),
            schemas: vec![SchemaInfo { name: "main".into(), comment: None, tables }],
            notices: vec!["column x is read as text".into()],
        })
    }
    fn execute(&self, _: RemoteRequest) -> Result<SendableRecordBatchStream> {
        Err(SqlError::unsupported("no queries"))
    }
    async fn describe(&self, _: &str) -> Result<arrow::datatypes::SchemaRef> {
        Err(SqlError::unsupported("no queries"))
    }
    fn pool(&self) -> PoolStatus {
        PoolStatus::default()
    }
    async fn close(&self) {}
}

fn config(dir: &Path) -> EngineConfig {
    EngineConfig {
        store: Arc::new(InMemory::new()),
        data_dir: Some(dir.to_path_buf()),
        secret_key: Some(Secret::new("a key of enough length")),
        memory_limit: 1 << 20,
        database: "fjord".into(),
        secret_root: Some(dir.to_path_buf()),
        allow_link_local: false,
    }
}

async fn open(dir: &Path) -> Arc<Catalog> {
    Catalog::open(config(dir), vec![Arc::new(FileType)]).await.unwrap()
}

fn new(sql: &str) -> CreateConnector {
    let Ok([crate::sql::Statement { kind: StatementKind::Ddl(d), .. }]) = <[_; 1]>::try_from(crate::sql::parse(sql).unwrap()) else {
        panic!()
    };
    match *d {
        Ddl::CreateConnector(c) => c,
        _ => panic!(),
    }
}

fn options(sql: &str) -> Vec<(String, crate::sql::ddl::OptionValue)> {
    let sql = format!("ALTER CONNECTOR c SET ({sql})");
    match crate::sql::parse(&sql).unwrap().remove(0).kind {
        StatementKind::Ddl(d) => match *d {
            Ddl::AlterConnector { action: AlterConnector::Set(o), .. } => o,
            _ => panic!(),
        },
        _ => panic!(),
    }
}

/// A source file with two tables, and the statement that makes a connector of it.
fn source(dir: &Path, name: &str) -> CreateConnector {
    let path = dir.join("source");
    std::fs::write(&path, "a b").unwrap();
    new(&format!("CREATE CONNECTOR {name} TYPE test OPTIONS (path '{}')", path.display()))
}

fn view(name: &str, definition: &str) -> View {
    View { schema: "public".into(), name: name.into(), definition: definition.into(), owner: "me".into(), comment: None }
}

fn path(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|p| p.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let c = open(dir.path()).await;
    c.create_secret("s", &SecretSource::Literal(Secret::new("hunter2")), "me", false, false).await.unwrap();
    let mut n = source(dir.path(), "shop");
    n.options.extend(options("password SECRET s"));
    n.comment = Some("the shop".into());
    let outcome = c.create_connector(&n, "me").await.unwrap();
    assert_eq!(outcome.notices, ["column x is read as text"]);
    assert_eq!(outcome.warnings, [("tls: not encrypted".to_string(), Some("use TLS".to_string()))]);
    c.create_view(&view("v", "SELECT * FROM shop.main.a"), false).await.unwrap();
    let before = c.snapshot();
    assert_eq!(before.connectors["shop"].schema.as_ref().unwrap().schemas[0].tables.len(), 2);
    assert_eq!(before.oids.len(), 4);
    assert!(before.oids.values().all(|o| *o >= 16384));
    c.shutdown().await;
    drop(c);

    let c = open(dir.path()).await;
    let shop = c.connector("shop").await.unwrap();
    assert_eq!((shop.comment.as_deref(), shop.owner.as_str(), shop.options["password"].as_str()), (Some("the shop"), "me", "SECRET s"));
    assert_eq!(shop.schema.as_ref().unwrap().server_version, "hunter2");
    let after = c.snapshot();
    assert_eq!(after.oids, before.oids);
    assert_eq!(after.views[&("public".to_string(), "v".to_string())].definition, "SELECT * FROM shop.main.a");
    // Nothing on the disk holds the secret.
    for f in std::fs::read_dir(dir.path().join("catalog")).unwrap() {
        assert!(!std::fs::read_to_string(f.unwrap().path()).unwrap().contains("hunter2"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn validated_before_persisted() {
    let dir = tempfile::tempdir().unwrap();
    let c = open(dir.path()).await;
    let good = source(dir.path(), "shop");
    let state = |e: Result<Outcome>| e.unwrap_err().state;
    let gone = new("CREATE CONNECTOR x TYPE test OPTIONS (path '/nowhere')");
    assert_eq!(state(c.create_connector(&gone, "me").await), SqlState::CONNECTION_UNABLE);
    let e = c.create_connector(&new("CREATE CONNECTOR x TYPE tset"), "me").await.unwrap_err();
    assert_eq!((e.state, e.hint.as_deref()), (SqlState::UNDEFINED_OBJECT, Some("Did you mean \"test\"?")));
    let e = c.create_connector(&new("CREATE CONNECTOR x TYPE test OPTIONS (paht 'x')"), "me").await.unwrap_err();
    assert_eq!((e.state, e.hint.as_deref()), (SqlState::FDW_INVALID_OPTION_NAME, Some("Did you mean \"path\"?")));
    assert_eq!(state(c.create_connector(&new("CREATE CONNECTOR x TYPE test"), "me").await), SqlState::INVALID_PARAMETER_VALUE);
    let e = c.create_connector(&new("CREATE CONNECTOR x TYPE test OPTIONS (path 'p', password SECRET nope)"), "me").await.unwrap_err();
    assert_eq!((e.state, e.message.as_str()), (SqlState::UNDEFINED_OBJECT, "secret \"nope\" does not exist"));
    let e = c.create_connector(&new("CREATE CONNECTOR x TYPE test OPTIONS (path 'p', host '169.254.169.254')"), "me").await.unwrap_err();
    assert_eq!(e.state, SqlState::INSUFFICIENT_PRIVILEGE);
    let e = c.create_connector(&new("CREATE CONNECTOR x TYPE test OPTIONS (path 'postgres://u:hunter2@h/d')"), "me").await.unwrap_err();
    assert!(e.state == SqlState::INVALID_PARAMETER_VALUE && !format!("{e:?}").contains("hunter2"));
    for name in ["sys", "public", "pg_catalog", "pg_x", "information_schema", "fjord", "\"a.b\""] {
        let mut n = good.clone();
        n.name = name.trim_matches('"').into();
        assert_eq!(state(c.create_connector(&n, "me").await), SqlState::INVALID_NAME, "{name}");
    }
    assert!(c.snapshot().connectors.is_empty() && c.sequence() == 0);

    c.create_connector(&good, "me").await.unwrap();
    assert_eq!(state(c.create_connector(&good, "me").await), SqlState::DUPLICATE_OBJECT);
    let again = CreateConnector { if_not_exists: true, ..good.clone() };
    assert_eq!(c.create_connector(&again, "me").await.unwrap().notices, ["connector \"shop\" already exists, skipping"]);
    for twin in ["shop_live", "shop__x"] {
        let n = CreateConnector { name: twin.into(), ..good.clone() };
        assert_eq!(state(c.create_connector(&n, "me").await), SqlState::DUPLICATE_OBJECT, "{twin}");
    }
    // A failed ALTER leaves everything as it was.
    let before = c.show_create("shop").unwrap();
    assert_eq!(state(c.alter_options("shop", &options("path '/nowhere'"), &[]).await), SqlState::CONNECTION_UNABLE);
    assert_eq!(state(c.alter_options("shop", &[], &["path".into()]).await), SqlState::INVALID_PARAMETER_VALUE);
    assert_eq!(state(c.alter_options("shop", &[], &["paht".into()]).await), SqlState::FDW_INVALID_OPTION_NAME);
    assert_eq!(c.show_create("shop").unwrap(), before);
    c.alter_options("shop", &options("schema_ttl '5s', password 'x'"), &[]).await.unwrap();
    let text = c.show_create("shop").unwrap();
    assert!(text.ends_with(",\n    schema_ttl '5s'\n)") && text.contains("password '***'"), "{text}");
    c.alter_options("shop", &[], &["password".into(), "schema_ttl".into()]).await.unwrap();
    assert_eq!(c.show_create("shop").unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_literal_needs_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let c = Catalog::open(EngineConfig { secret_key: None, ..config(dir.path()) }, vec![Arc::new(FileType)]).await.unwrap();
    let e = c.create_secret("s", &SecretSource::Literal(Secret::new("x")), "me", false, false).await.unwrap_err();
    assert!(e.hint.unwrap().contains("FROM ENV"));
    let mut n = source(dir.path(), "shop");
    n.options.extend(options("password 'hunter2'"));
    let e = c.create_connector(&n, "me").await.unwrap_err();
    assert!(e.message.contains("password") && e.hint.as_ref().unwrap().contains("password SECRET name"), "{e:?}");
    let e = c.create_secret("s", &SecretSource::Vault("a#b".into()), "me", false, false).await.unwrap_err();
    assert_eq!(e.state, SqlState::FEATURE_NOT_SUPPORTED);
    let e = c.create_secret("s", &SecretSource::Env("FJORD_TEST_SURELY_NOT_SET".into()), "me", false, false).await.unwrap_err();
    assert!(e.message.contains("FJORD_TEST_SURELY_NOT_SET"));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_in_use_and_dependent_views_hold_on() {
    let dir = tempfile::tempdir().unwrap();
    let c = open(dir.path()).await;
    std::fs::write(dir.path().join("pw"), "one\n").unwrap();
    c.create_secret("s", &SecretSource::File("pw".into()), "me", false, false).await.unwrap();
    let mut n = source(dir.path(), "shop");
    n.options.extend(options("password SECRET s"));
    c.create_connector(&n, "me").await.unwrap();
    let e = c.drop_secrets(&["s".into()], false).await.unwrap_err();
    assert_eq!((e.state, e.detail.as_deref()), (SqlState::DEPENDENT_OBJECTS_STILL_EXIST, Some("Used by: shop.")));
    for (name, definition) in [
        ("v1", "SELECT * FROM shop.main.a"),
        ("v2", "SELECT * FROM v1 JOIN (SELECT 1 AS x) y ON true"),
        ("v3", "SELECT * FROM live(shop.main.a) l"),
        ("v4", "SELECT * FROM remote_query('shop', 'SELECT 1') r"),
        ("v5", "SELECT * FROM shop.a"),
        ("other", "SELECT 1 AS shop"),
    ] {
        c.create_view(&view(name, definition), false).await.unwrap();
    }
    let e = c.drop_connectors(&["shop".into()], false, false).await.unwrap_err();
    assert_eq!(e.state, SqlState::DEPENDENT_OBJECTS_STILL_EXIST);
    for v in ["v1", "v2", "v3", "v4", "v5"] {
        assert!(e.detail.as_ref().unwrap().contains(&format!("public.{v}")), "{e}");
    }
    assert!(!e.detail.unwrap().contains("other"));
    assert_eq!(c.rename_connector("shop", "store").await.unwrap_err().state, SqlState::DEPENDENT_OBJECTS_STILL_EXIST);
    let e = c.drop_views(&[("public".into(), "v1".into())], false, false).await.unwrap_err();
    assert_eq!((e.state, e.detail.as_deref()), (SqlState::DEPENDENT_OBJECTS_STILL_EXIST, Some("view public.v2 depends on it.")));
    let e = c.create_view(&view("v1", "SELECT * FROM v2"), true).await.unwrap_err();
    assert!(e.message.contains("itself"));
    let notices = c.drop_connectors(&["shop".into()], false, true).await.unwrap().notices;
    assert_eq!(notices.len(), 5);
    let s = c.snapshot();
    assert_eq!((s.connectors.len(), s.views.len(), s.oids.len()), (0, 1, 1));
    c.drop_secrets(&["s".into()], false).await.unwrap();
    assert_eq!(c.drop_secrets(&["s".into()], true).await.unwrap().notices, ["secret \"s\" does not exist, skipping"]);
    assert_eq!(c.drop_connectors(&["shop".into()], false, false).await.unwrap_err().state, SqlState::INVALID_CATALOG_NAME);
}

#[tokio::test(flavor = "multi_thread")]
async fn oids_are_stable_and_follow_renames() {
    let dir = tempfile::tempdir().unwrap();
    let c = open(dir.path()).await;
    c.create_connector(&source(dir.path(), "shop"), "me").await.unwrap();
    let a = c.snapshot().oids[&path(&["shop", "main", "a"])];
    std::fs::write(dir.path().join("source"), "a c").unwrap();
    c.refresh("shop").await.unwrap();
    let s = c.snapshot();
    assert_eq!(s.oids[&path(&["shop", "main", "a"])], a);
    assert!(!s.oids.contains_key(&path(&["shop", "main", "b"])) && s.oids[&path(&["shop", "main", "c"])] > a);
    c.rename_connector("shop", "store").await.unwrap();
    let s = c.snapshot();
    assert_eq!(s.oids[&path(&["store", "main", "a"])], a);
    assert!(s.connectors.contains_key("store") && !s.connectors.contains_key("shop"));
    c.connector("store").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_down_keeps_nothing_else_waiting_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let c = open(dir.path()).await;
    c.create_connector(&source(dir.path(), "down"), "me").await.unwrap();
    std::fs::write(dir.path().join("up"), "x").unwrap();
    let up = new(&format!("CREATE CONNECTOR up TYPE test OPTIONS (path '{}')", dir.path().join("up").display()));
    c.create_connector(&up, "me").await.unwrap();
    c.shutdown().await;
    std::fs::rename(dir.path().join("source"), dir.path().join("away")).unwrap();

    let c = open(dir.path()).await;
    assert_eq!(c.connector("up").await.unwrap().schema.as_ref().unwrap().schemas[0].tables.len(), 1);
    assert_eq!(c.connector("down").await.unwrap_err().state, SqlState::CONNECTION_UNABLE);
    let h = c.health("down").unwrap();
    assert!(h.phase == Phase::Stalled && h.last_error.unwrap().contains("cannot reach"));
    assert_eq!(c.health("up").unwrap().phase, Phase::Running);

    std::fs::rename(dir.path().join("away"), dir.path().join("source")).unwrap();
    // Within a second of a failure the failure is answered again; then one try.
    let began = Instant::now();
    while c.connector("down").await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(c.health("down").unwrap().phase, Phase::Running);
    let phases: Vec<_> = c.events().into_iter().filter(|e| e.connector == "down").map(|e| e.to.unwrap()).collect();
    assert_eq!(phases, [Phase::Starting, Phase::Stalled, Phase::Running]);

    c.set_paused("down", true).await.unwrap();
    assert!(c.connector("down").await.unwrap().paused);
    assert_eq!(c.health("down").unwrap().phase, Phase::Paused);
    c.report_error("up", &SqlError::new(SqlState::DIVISION_BY_ZERO, "x"));
    assert_eq!(c.health("up").unwrap().phase, Phase::Running);
    c.report_error("up", &SqlError::new(SqlState::CONNECTION_FAILURE, "x"));
    assert_eq!(c.health("up").unwrap().phase, Phase::Stalled);
    c.report_ok("up");
    assert_eq!(c.health("up").unwrap().phase, Phase::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_cannot_be_opened_is_listed_and_can_be_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let c = open(dir.path()).await;
    c.create_connector(&source(dir.path(), "shop"), "me").await.unwrap();
    c.shutdown().await;
    // A build without the type.
    let c = Catalog::open(config(dir.path()), vec![]).await.unwrap();
    assert_eq!(c.connector("shop").await.unwrap_err().message, "connector type \"test\" does not exist");
    assert!(c.snapshot().connectors.contains_key("shop") && c.show_create("shop").unwrap().contains("TYPE test"));
    c.drop_connectors(&["shop".into()], false, false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_file_reopens_its_connectors() {
    let dir = tempfile::tempdir().unwrap();
    let c = open(dir.path()).await;
    std::fs::write(dir.path().join("pw"), "one\n").unwrap();
    c.create_secret("s", &SecretSource::File("pw".into()), "me", false, false).await.unwrap();
    let mut n = source(dir.path(), "shop");
    n.options.extend(options("password SECRET s"));
    c.create_connector(&n, "me").await.unwrap();
    assert_eq!(c.snapshot().connectors["shop"].schema.as_ref().unwrap().server_version, "one");
    std::fs::write(dir.path().join("pw"), "two\n").unwrap();
    let began = Instant::now();
    while c.snapshot().connectors["shop"].schema.as_ref().unwrap().server_version != "two" {
        assert!(began.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A replaced secret too, at once.
    c.create_secret("s", &SecretSource::Literal(Secret::new("three")), "me", true, false).await.unwrap();
    while c.connector("shop").await.is_err() || c.snapshot().connectors["shop"].schema.as_ref().unwrap().server_version != "three" {
        assert!(began.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Two servers on one store: no commit is lost, no OID is given twice, each sees what the other did.
async fn race(a: Arc<Catalog>, b: Arc<Catalog>, dir: &Path) {
    let n = source(dir, "x");
    let mut work = vec![];
    for (who, c) in [("a", a.clone()), ("b", b.clone())] {
        for i in 0..15 {
            let (c, n) = (c.clone(), CreateConnector { name: format!("{who}{i}"), ..n.clone() });
            work.push(tokio::spawn(async move { c.create_connector(&n, "me").await.unwrap() }));
        }
        // Both want this one; exactly one gets it.
        let (c, n) = (c.clone(), CreateConnector { name: "both".into(), comment: Some(who.into()), ..n.clone() });
        work.push(tokio::spawn(async move { c.create_connector(&n, "me").await.unwrap_or_default() }));
    }
    for w in work {
        w.await.unwrap();
    }
    a.catch_up().await.unwrap();
    b.catch_up().await.unwrap();
    let (sa, sb) = (a.snapshot(), b.snapshot());
    assert_eq!(sa.connectors.len(), 31);
    assert_eq!(sa.connectors.keys().collect::<Vec<_>>(), sb.connectors.keys().collect::<Vec<_>>());
    assert_eq!(sa.oids, sb.oids);
    let mut oids: Vec<_> = sa.oids.values().collect();
    oids.sort();
    oids.dedup();
    assert_eq!(oids.len(), 31 * 3);
    assert_eq!((a.sequence(), b.sequence()), (31, 31));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_servers_race_on_a_local_store() {
    let dir = tempfile::tempdir().unwrap();
    race(open(dir.path()).await, open(dir.path()).await, dir.path()).await;
    let leftovers = std::fs::read_dir(dir.path().join("catalog")).unwrap().filter(|f| f.as_ref().unwrap().file_name().len() != 25).count();
    assert_eq!(leftovers, 0);
}

/// Old commits are deleted, but never one of the last hundred nor one of the last hour: a server that has slept finds its way from those.
#[tokio::test]
async fn old_commits_are_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let c = open(dir.path()).await;
    let folder = dir.path().join("catalog");
    let count = || std::fs::read_dir(&folder).unwrap().count();
    for i in 0..120 {
        c.create_view(&view(&format!("v{i}"), "SELECT 1"), false).await.unwrap();
    }
    assert_eq!((c.sequence(), count()), (120, 120), "all are young");
    let old = std::time::SystemTime::now() - Duration::from_secs(2 * 3600);
    for f in std::fs::read_dir(&folder).unwrap() {
        std::fs::File::options().write(true).open(f.unwrap().path()).unwrap().set_modified(old).unwrap();
    }
    for i in 120..128 {
        c.create_view(&view(&format!("v{i}"), "SELECT 1"), false).await.unwrap();
    }
    // In the background, after each 16th commit: 128 less the last 100.
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while count() > 101 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{} commits are left", count());
    assert_eq!(count(), 101);
    let again = open(dir.path()).await;
    assert_eq!((again.sequence(), again.snapshot().views.len()), (128, 128));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_servers_race_on_an_object_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(InMemory::new());
    let on = || EngineConfig { store: store.clone(), data_dir: None, ..config(dir.path()) };
    let a = Catalog::open(on(), vec![Arc::new(FileType)]).await.unwrap();
    let b = Catalog::open(on(), vec![Arc::new(FileType)]).await.unwrap();
    race(a, b, dir.path()).await;
}

/// A store that misbehaves in one way.
#[derive(Debug)]
struct Odd {
    inner: InMemory,
    how: How,
    puts: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    /// Ignores put-if-absent.
    Overwrites,
    /// Every second put works, and its answer is an error.
    LosesAnswers,
}

impl std::fmt::Display for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.how)
    }
}

#[async_trait]
impl ObjectStore for Odd {
    async fn put_opts(&self, l: &object_store::path::Path, p: PutPayload, mut o: PutOptions) -> object_store::Result<PutResult> {
        if self.how == How::Overwrites {
            o.mode = PutMode::Overwrite;
        }
        let result = self.inner.put_opts(l, p, o).await?;
        // The probe's puts come first and are answered well.
        if self.how == How::LosesAnswers && l.as_ref().contains("0000") && self.puts.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            return Err(object_store::Error::Generic { store: "odd", source: "connection reset".into() });
        }
        Ok(result)
    }
    async fn put_multipart_opts(
        &self,
        l: &object_store::path::Path,
        o: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(l, o).await
    }
    async fn get_opts(&self, l: &object_store::path::Path, o: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(l, o).await
    }
    fn delete_stream(
        &self,
        l: BoxStream<'static, object_store::Result<object_store::path::Path>>,
    ) -> BoxStream<'static, object_store::Result<object_store::path::Path>> {
        self.inner.delete_stream(l)
    }
    fn list(&self, p: Option<&object_store::path::Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(p)
    }
    async fn list_with_delimiter(&self, p: Option<&object_store::path::Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(p).await
    }
    async fn copy_opts(&self, a: &object_store::path::Path, b: &object_store::path::Path, o: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(a, b, o).await
    }
}

async fn on_odd(how: How, dir: &Path) -> Result<Arc<Catalog>> {
    let store = Arc::new(Odd { inner: InMemory::new(), how, puts: AtomicUsize::new(0) });
    Catalog::open(EngineConfig { store, data_dir: None, ..config(dir) }, vec![Arc::new(FileType)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_put_if_absent_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let e = on_odd(How::Overwrites, dir.path()).await.unwrap_err();
    assert!(e.state == SqlState::IO_ERROR && e.message.contains("put-if-absent"), "{e}");
}

/// A commit whose answer is lost is read back: it counts once, and the statement succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_no_lost_commit() {
    let dir = tempfile::tempdir().unwrap();
    let c = on_odd(How::LosesAnswers, dir.path()).await.unwrap();
    for i in 0..6 {
        c.create_view(&view(&format!("v{i}"), "SELECT 1"), false).await.unwrap();
    }
    assert_eq!((c.snapshot().views.len(), c.sequence()), (6, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_format_and_damage_stop_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let c = open(dir.path()).await;
    c.create_view(&view("v", "SELECT 1"), false).await.unwrap();
    c.shutdown().await;
    let file = |n: u64| dir.path().join("catalog").join(format!("{n:020}.json"));
    std::fs::write(file(2), "{\"fjord_catalog\":9}\n{}\n").unwrap();
    let e = Catalog::open(config(dir.path()), vec![]).await.unwrap_err();
    assert!(e.state == SqlState::FEATURE_NOT_SUPPORTED && e.message.contains("format 9"), "{e}");
    std::fs::write(file(2), "").unwrap();
    assert_eq!(Catalog::open(config(dir.path()), vec![]).await.unwrap_err().state, SqlState::DATA_CORRUPTED);
}

/// The child of the next test: makes views, says each name when its commit has been answered.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_gets_killed() {
    let Ok(dir) = std::env::var("FJORD_TEST_KILL_DIR") else { return };
    let c = open(Path::new(&dir)).await;
    for i in c.snapshot().views.len().. {
        c.create_view(&view(&format!("v{i:05}"), "SELECT 1"), false).await.unwrap();
        println!("made v{i:05}");
    }
}

/// kill -9 at any moment between and within commits: what was answered is there, at most one more, and the catalog opens.
#[test]
fn kill_9_loses_nothing_that_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut expected = 0;
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "catalog::tests::child_that_gets_killed", "--nocapture"])
            .env("FJORD_TEST_KILL_DIR", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut answered = None;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.by_ref().take(4 + round * 5) {
            // The harness's own words may stand before it on the line.
            if let Some((_, n)) = line.unwrap().split_once("made v") {
                answered = n.parse::<usize>().ok();
            }
        }
        child.kill().unwrap();
        // What was still in the pipe was answered too.
        for line in lines.map_while(std::io::Result::ok) {
            if let Some(n) = line.split_once("made v").and_then(|(_, n)| n.parse::<usize>().ok()) {
                answered = Some(n);
            }
        }
        child.wait().unwrap();
        if let Some(n) = answered {
            expected = n + 1;
        }
        let c = runtime.block_on(open(dir.path()));
        let made = c.snapshot().views.len();
        assert!(made == expected || made == expected + 1, "answered {expected}, found {made}");
        runtime.block_on(c.shutdown());
        expected = made;
    }
    assert!(expected > 20);
}
