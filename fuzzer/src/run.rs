//! Many queries by several workers over one source and one Fjord.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fjord_harness::{Error, FjordServer, MySql, Postgres, Result, TempFolder};

use crate::ast::{Names, Query, Target, render};
use crate::check::{Checks, Failing, Failure, Ways};
use crate::generate::{Generator, tables};
use crate::known::known;
use crate::pinned::Pinned;
use crate::rng::Rng;
use crate::shrink;
use crate::source::Source;
use crate::wire::Connection;
use crate::world::{World, prelude};

/// Queries over one world before the next is made.
pub const QUERIES_A_WORLD: u64 = 150;
/// Attempts at making one failing query smaller.
const SHRINK_ATTEMPTS_MAX: usize = 400;
/// Attempts at failing with fewer rows: each loads tables.
const ROW_ATTEMPTS_MAX: usize = 60;
/// Failures of a world that are made small: one fault often fails many queries.
const SHRUNK_A_WORLD_MAX: usize = 2;

/// What to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the tables are.
    pub source: Source,
    /// Everything follows from it.
    pub seed: u64,
    /// About how many queries: whole worlds are run.
    pub queries: u64,
    /// The first world: with the seed, it repeats what a report names.
    pub first_world: u64,
    /// Workers, each with connections and a database of its own.
    pub workers: usize,
    /// After so many failures the run ends.
    pub failures_max: usize,
    /// After so long it ends too.
    pub time_max: Option<Duration>,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Queries that were run.
    pub queries: u64,
    /// Of them, those that both ways answered with an error.
    pub errors: u64,
    /// Of them, those whose answer Postgres gave too.
    pub compared: u64,
    /// Answers with at least one row.
    pub with_rows: u64,
    /// Queries whose EXPLAIN was looked at.
    pub explained: u64,
    /// Of those: what the remote text held.
    pub remote: BTreeMap<&'static str, u64>,
    /// How many queries exercised what.
    pub features: BTreeMap<&'static str, u64>,
    /// Why Postgres was not asked.
    pub not_postgres: BTreeMap<&'static str, u64>,
    /// Errors by their beginning.
    pub error_texts: BTreeMap<String, u64>,
    /// Errors of Postgres where Fjord answered.
    pub refused_by_postgres: BTreeMap<String, u64>,
    /// Faults that are known.
    pub known: BTreeMap<&'static str, u64>,
    /// What failed.
    pub failures: Vec<Found>,
    /// How long it took.
    pub took: Duration,
}

/// A failure, made small.
#[derive(Debug)]
pub struct Found {
    /// Its kind.
    pub kind: Failing,
    /// Where it came from.
    pub origin: String,
    /// The smallest case, ready to be pinned.
    pub case: Pinned,
    /// What differs.
    pub text: String,
}

/// Runs it all.
pub fn run(config: &Config) -> Result<Report> {
    let started = Instant::now();
    let servers = Servers::start(config.source)?;
    let next = AtomicU64::new(0);
    let failures = AtomicUsize::new(0);
    let worlds = config.queries.div_ceil(QUERIES_A_WORLD);
    let total = Mutex::new(Report::default());
    let work = |number: usize| -> Result<()> {
        let mut worker = servers.worker(number)?;
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let late = config.time_max.is_some_and(|t| started.elapsed() > t);
            if n >= worlds || late || failures.load(Ordering::Relaxed) >= config.failures_max {
                return Ok(());
            }
            let report = worker.world(config.seed, config.first_world + n, config.failures_max)?;
            failures.fetch_add(report.failures.len(), Ordering::Relaxed);
            total.lock().unwrap_or_else(PoisonError::into_inner).add(report);
        }
    };
    let outcome: Vec<Result<()>> = std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..config.workers).map(|n| scope.spawn(move || work(n))).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(Error::new("a worker panicked")))).collect()
    });
    let mut report = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    for o in outcome {
        if let Err(e) = o {
            return Err(Error::new(format!("{e}\n{report}\nFjord's log ends:\n{}", tail(&servers.fjord.log()))));
        }
    }
    report.took = started.elapsed();
    Ok(report)
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// One source and one Fjord.
pub struct Servers {
    source: Source,
    database: Database,
    fjord: FjordServer,
    folder: TempFolder,
}

#[derive(Clone)]
enum Database {
    Postgres(Arc<Postgres>),
    MySql(Arc<MySql>),
}

impl Servers {
    /// Starts both.
    pub fn start(source: Source) -> Result<Servers> {
        let database = match source.flavor() {
            None => Database::Postgres(Arc::new(Postgres::start()?)),
            Some(flavor) => Database::MySql(Arc::new(MySql::start(flavor)?)),
        };
        Ok(Servers { source, database, fjord: FjordServer::start()?, folder: TempFolder::new("fuzz")? })
    }

    /// A worker with a database and connectors of its own.
    pub fn worker(&self, number: usize) -> Result<Worker> {
        let folder = self.folder.path().join(format!("files{number}"));
        let connect = || Connection::open(self.fjord.port(), "fjord", "fjord");
        let names = Names::numbered(self.source, number);
        let postgres = match &self.database {
            Database::MySql(_) => None,
            Database::Postgres(server) => {
                let database = format!("fuzz{number}");
                server.psql(&format!("CREATE DATABASE {database}"))?;
                server.psql_in(&database, &prelude())?;
                Some(Connection::open(server.port(), "postgres", &database)?)
            }
        };
        let mut ways = Ways { on: connect()?, off: connect()?, postgres, names };
        ways.off.run("SET fjord.pushdown = off")?;
        for connection in [&mut ways.on, &mut ways.off].into_iter().chain(&mut ways.postgres) {
            connection.run("SET statement_timeout = '60s'")?;
        }
        Ok(Worker { ways, folder, database: self.database.clone(), number, created: false })
    }
}

/// Runs worlds, one after the other.
pub struct Worker {
    /// Its connections.
    pub ways: Ways,
    folder: PathBuf,
    database: Database,
    number: usize,
    created: bool,
}

impl Worker {
    /// Makes a world's tables and files, and lets Fjord know.
    pub fn load(&mut self, world: &World) -> Result<()> {
        let names = self.ways.names.clone();
        let Names { connector, files, source, .. } = &names;
        let create = match (&self.database, &mut self.ways.postgres) {
            (Database::Postgres(server), Some(postgres)) => {
                world.load(postgres, &self.folder)?;
                let (port, number) = (server.port(), self.number);
                format!(
                    "TYPE postgres OPTIONS (host '127.0.0.1', port {port}, database 'fuzz{number}', user 'postgres', sslmode 'disable')"
                )
            }
            (Database::MySql(server), _) => {
                world.load_mysql(server, &names, &self.folder)?;
                let (port, schemas, more) = (server.port(), format!("{},{}", names.schema, names.beside), source.options());
                format!(
                    "TYPE mysql OPTIONS (host '127.0.0.1', port {port}, user 'root', sslmode 'disable', include_schemas '{schemas}'{more})"
                )
            }
            (Database::Postgres(_), None) => return Err(Error::new("no connection to Postgres")),
        };
        if !self.created {
            self.ways.on.run(&format!("CREATE CONNECTOR {connector} {create}"))?;
            self.created = true;
        } else {
            self.ways.on.run(&format!("ALTER CONNECTOR {connector} REFRESH SCHEMA"))?;
        }
        if world.tables.iter().any(|t| t.file) {
            let location = self.folder.display();
            self.ways.on.run(&format!("CREATE OR REPLACE CONNECTOR {files} TYPE files OPTIONS (location '{location}')"))?;
        }
        Ok(())
    }

    /// The queries of one world.
    fn world(&mut self, seed: u64, number: u64, failures_max: usize) -> Result<Report> {
        let mut report = Report::default();
        let world_seed = Rng::derived(seed, number);
        let world = tables::world(world_seed, self.ways.names.source);
        self.load(&world)?;
        for n in 0..QUERIES_A_WORLD {
            let query_seed = Rng::derived(world_seed, n);
            let g = Generator::new(query_seed, &world).generate();
            let checks = Checks::of(&g, &mut Rng::new(query_seed ^ 1));
            let v = self.ways.check(&g.query, &checks)?;
            report.queries += 1;
            report.errors += u64::from(v.error.is_some());
            report.compared += u64::from(v.compared);
            report.with_rows += u64::from(v.rows > 0);
            for f in &g.features {
                *report.features.entry(f).or_default() += 1;
            }
            for r in &g.not_postgres {
                *report.not_postgres.entry(r).or_default() += 1;
            }
            if let Some(texts) = &v.remote {
                report.explained += 1;
                for kind in kinds(texts) {
                    *report.remote.entry(kind).or_default() += 1;
                }
            }
            if let Some(e) = v.error {
                let sql = self.ways.text(&g.query);
                report.error_texts.entry(e.chars().take(150).collect()).and_modify(|n| *n += 1).or_insert_with(|| {
                    if std::env::var_os("FUZZ_SHOW_ERRORS").is_some() {
                        eprintln!("{e}\n   {sql}");
                    }
                    1
                });
            }
            if let Some(e) = v.refused_by_postgres {
                *report.refused_by_postgres.entry(e.chars().take(100).collect()).or_default() += 1;
            }
            let known = v.failure.as_ref().and_then(|f| known(&f.text));
            if let Some(fault) = known {
                *report.known.entry(fault).or_default() += 1;
            }
            if let Some(failure) = v.failure.filter(|_| known.is_none()) {
                let origin = format!("--source {} --seed {seed} --world {number} (query {n})", world.source.name());
                let small = report.failures.len() < SHRUNK_A_WORLD_MAX;
                let found = self.found(&world, &g.query, checks, failure, origin, small)?;
                let lost = found.kind == Failing::Lost;
                // At once: a long run is watched.
                eprintln!("=== {:?} {}\n{}\n{}", found.kind, found.origin, found.text, found.case);
                report.failures.push(found);
                if lost {
                    return Err(Error::new(format!("a server is lost\n{report}")));
                }
                if report.failures.len() >= failures_max {
                    break;
                }
                if small {
                    self.load(&world)?;
                }
            }
        }
        Ok(report)
    }

    fn found(&mut self, world: &World, query: &Query, checks: Checks, failure: Failure, origin: String, small: bool) -> Result<Found> {
        let kind = failure.kind;
        let (mut world, mut query, mut failure) = (world.clone(), query.clone(), failure);
        let mut checks = Checks { explain: kind == Failing::Explain, prepared: kind == Failing::Prepared, ..checks };
        // The types of columns that a smaller query no longer has would be wrong; what differs without them differs.
        if small && kind != Failing::Lost {
            let mut attempts = 0;
            loop {
                let step = shrink::smaller(&query).into_iter().find_map(|q| {
                    attempts += 1;
                    if attempts > SHRINK_ATTEMPTS_MAX {
                        return None;
                    }
                    let types = if q.width() == query.width() { checks.types.clone() } else { vec![] };
                    let c = Checks { types, ..checks.clone() };
                    let v = self.ways.check(&q, &c).ok()?;
                    let f = v.failure.filter(|f| f.kind == kind)?;
                    Some((q, f, c))
                });
                match step {
                    Some((q, f, c)) => (query, failure, checks) = (q, f, c),
                    None => break,
                }
            }
            world = self.fewer_rows(world, &query, &checks, kind)?;
            if let Some(f) = self.ways.check(&query, &checks)?.failure {
                failure = f;
            }
        }
        let names = Names::pinned(world.source);
        let target = Target::Fjord(&names);
        let case = Pinned {
            world,
            query: render(&query, target, None),
            postgres: (kind == Failing::Postgres).then(|| render(&query, Target::Postgres, None)),
            ..Pinned::default()
        };
        Ok(Found { kind, origin, case, text: failure.text })
    }

    /// The same failure over fewer tables, rows and columns.
    fn fewer_rows(&mut self, world: World, query: &Query, checks: &Checks, kind: Failing) -> Result<World> {
        let sql = render(query, Target::Postgres, None);
        let mut best = world;
        let mut attempts = 0;
        let mut fails = |w: &World, worker: &mut Worker| -> Result<bool> {
            attempts += 1;
            if attempts > ROW_ATTEMPTS_MAX {
                return Ok(false);
            }
            worker.load(w)?;
            Ok(worker.ways.check(query, checks)?.failure.is_some_and(|f| f.kind == kind))
        };
        let mut narrow = best.clone();
        narrow.tables.retain(|t| sql.contains(&t.qualified()));
        for t in &mut narrow.tables {
            t.after.clear();
            if !sql.contains('*') || sql.contains("count(*)") {
                for i in (0..t.columns.len()).rev() {
                    if !sql.contains(&t.columns[i].name) && t.columns.len() > 1 {
                        t.columns.remove(i);
                        for r in &mut t.rows {
                            r.remove(i);
                        }
                    }
                }
            }
        }
        if fails(&narrow, self)? {
            best = narrow;
        }
        for i in 0..best.tables.len() {
            let mut size = best.tables[i].rows.len().div_ceil(2);
            while size > 0 {
                let mut at = 0;
                while at < best.tables[i].rows.len() {
                    let mut w = best.clone();
                    let end = (at + size).min(w.tables[i].rows.len());
                    w.tables[i].rows.drain(at..end);
                    if fails(&w, self)? { best = w } else { at += size }
                }
                size /= 2;
            }
        }
        self.load(&best)?;
        Ok(best)
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// What a remote text does.
fn kinds(texts: &[String]) -> Vec<&'static str> {
    let mut kinds: Vec<&'static str> = ["WHERE", "JOIN", "GROUP BY", "ORDER BY", "LIMIT", "UNION", "EXISTS", "HAVING", "DISTINCT", "CASE"]
        .into_iter()
        .filter(|k| texts.iter().any(|t| t.contains(k)))
        .collect();
    kinds.push(match texts.len() {
        0 => "no remote query",
        1 => "one remote query",
        _ => "several remote queries",
    });
    kinds
}

impl Report {
    fn add(&mut self, other: Report) {
        self.queries += other.queries;
        self.errors += other.errors;
        self.compared += other.compared;
        self.with_rows += other.with_rows;
        self.explained += other.explained;
        sum(&mut self.remote, other.remote);
        sum(&mut self.features, other.features);
        sum(&mut self.not_postgres, other.not_postgres);
        sum(&mut self.known, other.known);
        sum(&mut self.error_texts, other.error_texts);
        sum(&mut self.refused_by_postgres, other.refused_by_postgres);
        self.failures.extend(other.failures);
    }
}

fn sum<K: Ord>(into: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
    for (k, n) in from {
        *into.entry(k).or_default() += n;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[allow(clippy::cast_precision_loss)]
        let rate = self.queries as f64 / self.took.as_secs_f64().max(0.001);
        writeln!(
            f,
            "{} queries in {:.0} s ({rate:.0}/s): {} with rows, {} ended in an error both ways, {} compared with Postgres too, {} failures",
            self.queries,
            self.took.as_secs_f64(),
            self.with_rows,
            self.errors,
            self.compared,
            self.failures.len()
        )?;
        for (title, map) in [("exercised", &self.features), ("not compared with Postgres", &self.not_postgres)] {
            let list: Vec<String> = map.iter().map(|(k, n)| format!("{k} {n}")).collect();
            writeln!(f, "{title}: {}", list.join(", "))?;
        }
        for (fault, n) in &self.known {
            writeln!(f, "  known: {n} x {fault}")?;
        }
        let list: Vec<String> = self.remote.iter().map(|(k, n)| format!("{k} {n}")).collect();
        writeln!(f, "remote texts of {} queries: {}", self.explained, list.join(", "))?;
        for (title, map) in [("errors", &self.error_texts), ("errors of Postgres alone", &self.refused_by_postgres)] {
            let mut list: Vec<_> = map.iter().collect();
            list.sort_by(|a, b| b.1.cmp(a.1));
            for (k, n) in list.iter().take(25) {
                writeln!(f, "  {title}: {n} x {k}")?;
            }
        }
        for found in &self.failures {
            writeln!(f, "  failed: {:?} {}: {}", found.kind, found.origin, found.text.lines().next().unwrap_or_default())?;
        }
        Ok(())
    }
}
