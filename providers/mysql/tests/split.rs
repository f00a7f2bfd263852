//! Big tables read by several connections: every row once, all of one snapshot, and one connection wherever that cannot be had.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use fjord_harness::Flavor;
use support::*;

const ROWS: usize = 32_000;
/// A plain scan: || is never sent.
const READ: &str = "SELECT count(*), count(DISTINCT id), sum(v), max(length(pad || 'y')) FROM crm.d.big";

/// About 38 MiB, so two readers.
async fn big(flavor: Flavor) -> Bed {
    let rows: Vec<String> = (0..ROWS).map(|i| format!("({},0,repeat('x',1000))", i.cast_signed() * 3 - 50_000)).collect();
    let bed = Bed::start(
        flavor,
        &format!(
            "CREATE DATABASE d; CREATE TABLE d.big (v bigint NOT NULL, id int PRIMARY KEY, pad varchar(1000)) ENGINE=InnoDB;
             INSERT INTO d.big (id, v, pad) VALUES {}; CREATE TABLE d.aria LIKE d.big; ALTER TABLE d.aria ENGINE=MyISAM;
             INSERT INTO d.aria SELECT * FROM d.big; ANALYZE TABLE d.big, d.aria; CREATE USER r@localhost; GRANT SELECT ON d.* TO r@localhost",
            rows.join(",")
        ),
        ", max_parallel_reads 4",
    )
    .await;
    let port = bed.server.port();
    let poor = format!(
        "CREATE CONNECTOR poor TYPE mysql OPTIONS (host '127.0.0.1', port {port}, user 'r', sslmode 'disable', max_parallel_reads 4)"
    );
    bed.rows(&poor).await.unwrap();
    bed
}

/// Ends the writer, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The answer to a query, and by how many ranges it was read.
async fn read(bed: &Bed, sql: &str) -> (String, u64) {
    let answer = bed.rows(sql).await.unwrap().join("\n");
    let splits = bed.rows("SELECT splits FROM sys.pushdown_summary ORDER BY query_id DESC LIMIT 1").await.unwrap();
    (answer, splits[0].parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_readers_see_one_snapshot_while_rows_move() {
    for flavor in Flavor::ALL {
        let bed = big(flavor).await;
        let name = bed.name();
        assert!(bed.explain(READ).await.contains("readers="), "{name}: {}", bed.explain(READ).await);
        let whole = format!("{ROWS}|{ROWS}|0|1001");
        let stop = AtomicBool::new(false);
        // Each transaction moves a value between two rows far apart.
        let mut split = 0;
        tokio::task::block_in_place(|| {
            std::thread::scope(|scope| {
                let writer = scope.spawn(|| {
                    let mut rounds = 0;
                    while !stop.load(Ordering::SeqCst) {
                        let moves = (0..50).map(|i| {
                            let (a, b) = ((rounds * 50 + i) % 1_000, ROWS.cast_signed() - 1 - (rounds * 50 + i) % 1_000);
                            format!(
                                "BEGIN; UPDATE d.big SET v = v + 7 WHERE id = {}; UPDATE d.big SET v = v - 7 WHERE id = {}; COMMIT;",
                                a * 3 - 50_000,
                                b * 3 - 50_000
                            )
                        });
                        bed.server.sql(&moves.collect::<String>()).unwrap();
                        rounds += 1;
                    }
                    rounds
                });
                let runtime = tokio::runtime::Handle::current();
                let stopped = Stop(&stop);
                for _ in 0..4 {
                    let (answer, splits) = runtime.block_on(read(&bed, READ));
                    assert_eq!(answer, whole, "{name}");
                    split += u64::from(splits > 1);
                }
                drop(stopped);
                assert!(writer.join().unwrap() > 0);
            });
        });
        assert!(split > 0, "{name}: none was split");
        // The key is not among the columns; and with conditions that are sent, however it is read then.
        let without = read(&bed, "SELECT count(*), max(length(pad || 'y')) FROM crm.d.big").await;
        assert_eq!((without.0.as_str(), without.1 > 1), (format!("{ROWS}|1001").as_str(), true), "{name}");
        bed.same("SELECT count(*), max(length(pad || 'y')) FROM crm.d.big WHERE id <> 1 AND pad LIKE 'x%'").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_reads_where_there_is_no_right_no_snapshot_or_a_writer_in_the_way() {
    for flavor in Flavor::ALL {
        let bed = big(flavor).await;
        let name = bed.name();
        let whole = format!("{ROWS}|{ROWS}|0|1001");
        for table in ["poor.d.big", "poor.d.big", "crm.d.aria"] {
            assert_eq!(read(&bed, &READ.replace("crm.d.big", table)).await, (whole.clone(), 1), "{name} {table}");
        }
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| bed.server.sql("BEGIN; UPDATE d.big SET v = 1 WHERE id = 1; SELECT SLEEP(600); ROLLBACK"));
            let sleeping = || bed.server.sql("SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'").unwrap();
            while sleeping().is_empty() {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            let outcome = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(read(&bed, READ)));
            bed.server.sql(&format!("KILL {}", sleeping().trim())).unwrap();
            let _ = writer.join().unwrap();
            assert_eq!(outcome, (whole.clone(), 1), "{name}");
        });
    }
}
