//! Reading many rows of MySQL and MariaDB into Arrow.

use std::process::{Command, Stdio};

use fjord_harness::{Error, Flavor, MySql, MySqlOptions, Result, mysql_programs};

use super::read::timed;
use super::report::{Report, ratio, seconds};
use super::timing::into_arrow;
use super::{Bench, peers};

struct Table {
    name: &'static str,
    title: &'static str,
    /// The rows of a full run.
    rows: u32,
    declared: &'static str,
    /// `SELECT` list over numbers `i` from 0.
    columns: &'static str,
}

const TABLES: [Table; 3] = [
    Table {
        name: "mixed",
        title: "1,000,000 rows of ten mixed columns",
        rows: 1_000_000,
        declared: "id int PRIMARY KEY, bucket int, big bigint, price double, amount decimal(14,4), name varchar(60), category varchar(10), at datetime, day date, quantity int",
        columns: "i, i % 10, i * 1000003, i / 7e0, (i % 100000) / 3, concat('name ', i), elt(1 + i % 4, 'a', 'bb', 'ccc', 'dddd'),
            date_add('2024-01-01', INTERVAL i SECOND), date_add('2024-01-01', INTERVAL i % 365 DAY), i % 50",
    },
    Table {
        name: "wide",
        title: "300,000 rows of six texts",
        rows: 300_000,
        declared: "id int PRIMARY KEY, t1 varchar(40), t2 varchar(120), t3 varchar(40), t4 text, t5 varchar(40)",
        columns: "i, md5(i), repeat(md5(i), 3), concat('Straße ', i), repeat('x', i % 100), md5(i + 1)",
    },
    Table {
        name: "narrow",
        title: "2,000,000 rows of two integers",
        rows: 2_000_000,
        declared: "id int PRIMARY KEY, v int",
        columns: "i, i % 1000",
    },
];

/// Numbers below ten millions.
const NUMBERS: &str = "(SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d + 100000 * g.d + 1000000 * h.d AS i \
    FROM digits a, digits b, digits c, digits e, digits f, digits g, digits h) n";

/// Fills the tables and compares.
pub fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    report.section(
        "Reading MySQL and MariaDB into Arrow",
        "Seconds, best of three. The floor is the server's own client that throws the rows away. Fjord reads on one connection, and on two in one snapshot; the two of connectorx see two states.",
    );
    report.head(&["server", "table", "way", "seconds", "Fjord ÷ this"]);
    for flavor in Flavor::ALL {
        let options = MySqlOptions { arguments: vec!["--innodb-buffer-pool-size=1G".into()], ..MySqlOptions::default() };
        let server = MySql::with(flavor, options)?;
        let fjord = bench.fjord_alone()?;
        for (name, readers) in [("one", 1), ("two", 2)] {
            fjord.psql(&format!(
                "CREATE CONNECTOR {name} TYPE mysql OPTIONS (host '127.0.0.1', port {}, user 'root', sslmode 'disable', max_parallel_reads {readers})",
                server.port()
            ))?;
        }
        server.sql("CREATE DATABASE bench; USE bench; CREATE TABLE digits (d int); INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)")?;
        let version = server.sql("SELECT version()")?.trim().to_string();
        for t in &TABLES {
            let rows = if bench.quick { t.rows / 100 } else { t.rows };
            server.sql(&format!(
                "SET NAMES utf8mb4; USE bench; CREATE TABLE {0} ({1}) CHARACTER SET utf8mb4; INSERT INTO {0} SELECT {2} FROM {NUMBERS} WHERE i < {rows}; ANALYZE TABLE {0}",
                t.name, t.declared, t.columns
            ))?;
        }
        for name in ["one", "two"] {
            fjord.psql(&format!("ALTER CONNECTOR {name} REFRESH SCHEMA"))?;
        }
        for t in &TABLES {
            let query = format!("SELECT * FROM bench.{}", t.name);
            let ours = timed(|| into_arrow(&fjord, &[], &query.replace("FROM ", "FROM one.")));
            let split = timed(|| into_arrow(&fjord, &[], &query.replace("FROM ", "FROM two.")));
            let floor = timed(|| client(&server, &query));
            let mut ways = vec![
                ("Fjord".to_string(), ours.clone()),
                ("Fjord, two connections".to_string(), split),
                ("the server's client, to /dev/null".to_string(), floor),
            ];
            ways.extend(peers::read_mysql(bench, &server, t.name, "id")?);
            for (way, time) in ways {
                report.row(&[version.clone(), t.title.into(), way, seconds(&time), ratio(&ours, &time)]);
            }
        }
    }
    Ok(())
}

/// The rows of a query through the server's own client, row by row, to nowhere.
fn client(server: &MySql, query: &str) -> Result<()> {
    let plain = if server.flavor() == Flavor::MySql { "--ssl-mode=DISABLED" } else { "--skip-ssl" };
    let mut command: Command = mysql_programs::client(server.flavor())?;
    command.args([
        "--no-defaults",
        "--quick",
        "--batch",
        "--skip-column-names",
        "--protocol=tcp",
        "--host=127.0.0.1",
        "--user=root",
        plain,
    ]);
    command.arg(format!("--port={}", server.port())).args(["--execute", query]);
    let out = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?.wait_with_output()?;
    if out.status.success() { Ok(()) } else { Err(Error::new(String::from_utf8_lossy(&out.stderr).trim().to_string())) }
}
