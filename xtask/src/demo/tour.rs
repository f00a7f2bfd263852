//! The tour: statements with an explanation each, run through the real psql, and what their answers must be.

use fjord_harness::{Error, FjordServer, Result};

use super::Interrupted;
use super::shop::Shop;

struct Step {
    title: &'static str,
    /// What the user is about to see, and why it matters.
    why: &'static str,
    sql: String,
    check: Check,
}

/// What `--check` compares the answer with.
enum Check {
    /// That it runs without an error.
    Runs,
    /// The answer of Postgres itself to this statement, which means the same there.
    SameAsPostgres(String),
    /// That each of these texts appears.
    Shows(&'static [&'static str]),
}

/// Plays the tour. Returns the titles of the steps whose answer was wrong.
pub fn run(shop: &Shop, fjord: &FjordServer, check: bool, interrupted: &Interrupted) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for (i, step) in steps(shop).iter().enumerate() {
        interrupted.check()?;
        println!("\n\x1b[1m{}. {}\x1b[0m\n{}\n", i + 1, step.title, step.why);
        for line in step.sql.lines() {
            println!("    {line}");
        }
        println!();
        // Each step is a psql of its own: what one session creates, every session sees.
        let shown = fjord.psql_script(&[], &format!("\\timing on\n{}\n", step.sql)).map_err(Error::at(format!(
            "step {} ({})",
            i + 1,
            step.title
        )))?;
        print!("{}", shown.strip_prefix("Timing is on.\n").unwrap_or(&shown));
        if check && let Err(e) = verify(step, &shown, shop, fjord) {
            println!("WRONG: {e}");
            wrong.push(step.title.to_string());
        }
    }
    Ok(wrong)
}

fn verify(step: &Step, shown: &str, shop: &Shop, fjord: &FjordServer) -> Result<()> {
    match &step.check {
        Check::Runs => Ok(()),
        Check::Shows(texts) => match texts.iter().find(|t| !shown.contains(**t)) {
            Some(missing) => Err(Error::new(format!("the answer does not show {missing:?}"))),
            None => Ok(()),
        },
        Check::SameAsPostgres(sql) => {
            let (ours, theirs) = (fjord.psql(&step.sql)?, shop.postgres.psql(sql)?);
            if ours == theirs && !theirs.trim().is_empty() {
                return Ok(());
            }
            Err(Error::new(format!("Fjord answers\n{ours}\nPostgres answers\n{theirs}")))
        }
    }
}

fn steps(shop: &Shop) -> Vec<Step> {
    let orders_of_events = "SELECT c.country, count(*) AS searches, count(DISTINCT e.customer_id) AS customers\n\
                            FROM {events} e JOIN {customers} c ON c.id = e.customer_id\n\
                            WHERE e.kind = 'search' AND c.created_at >= '2024-06-01 00:00:00+00'\n\
                            GROUP BY c.country ORDER BY searches DESC, c.country LIMIT 5;";
    let revenue = "SELECT status, count(*) AS orders, sum(amount) AS revenue\n\
                   FROM {orders} WHERE placed_at >= '2025-11-01 00:00:00+00'\n\
                   GROUP BY status ORDER BY revenue DESC;";
    let lookup = "SELECT id, customer_id, status, amount, placed_at FROM {orders} WHERE id = 424242;";
    let live = "SELECT count(*) AS returned FROM {orders} o WHERE status = 'returned';";
    vec![
        Step {
            title: "A secret and a connector",
            why: "The password stays in the server's environment; Fjord keeps only its name. CREATE CONNECTOR logs in, checks rights and reads the\n\
                  schema before it remembers anything. The throw-away server has no certificate, hence the explicit sslmode.",
            sql: format!(
                "CREATE SECRET shop_password FROM ENV 'SHOP_PASSWORD';\n\
                 CREATE CONNECTOR shop TYPE postgres OPTIONS (\n    host '127.0.0.1', port {}, database 'postgres', user 'fjord_reader',\n    \
                 password SECRET shop_password, sslmode 'disable', include_schemas 'public'\n) COMMENT 'The shop, live';",
                shop.postgres.port()
            ),
            check: Check::Runs,
        },
        Step {
            title: "A folder of Parquet files",
            why: "Another source, the same statement. The schema comes from the files.",
            sql: format!("CREATE CONNECTOR events TYPE files OPTIONS (location '{}/*.parquet');", shop.events().display()),
            check: Check::Runs,
        },
        Step {
            title: "What is connected",
            why: "Connectors and their health are tables.",
            sql: "SHOW CONNECTORS;".into(),
            check: Check::Shows(&["shop", "events", "postgres", "files"]),
        },
        Step {
            title: "One order out of a million",
            why: "The condition runs in Postgres, on its primary key. One row travels.",
            sql: with(lookup, "shop.public"),
            check: Check::SameAsPostgres(with(lookup, "public")),
        },
        Step {
            title: "Revenue by status",
            why: "Filter, grouping and sums run in Postgres: four rows travel, not hundreds of thousands.",
            sql: with(revenue, "shop.public"),
            check: Check::SameAsPostgres(with(revenue, "public")),
        },
        Step {
            title: "How it was done",
            why: "EXPLAIN shows the text that goes to Postgres, and what stays here with the reason.",
            sql: format!("EXPLAIN {}", with(revenue, "shop.public")),
            check: Check::Shows(&["GROUP BY", "sum"]),
        },
        Step {
            title: "Files joined with the database",
            why: "Events from Parquet, customers from Postgres, in one query. Each side filters at its own place.",
            sql: with(orders_of_events, "shop.public"),
            check: Check::SameAsPostgres(with(orders_of_events, "public")),
        },
        Step {
            title: "Always the source",
            why: "live() reads the source itself, also once a table has a local copy.",
            sql: live.replace("{orders}", "live(shop.public.orders)"),
            check: Check::SameAsPostgres(with(live, "public")),
        },
        Step {
            title: "What was pushed, and why not more",
            why: "Every remote query leaves a record: its text, its rows, its time, and reasons for what stayed local.",
            sql: "SELECT tables, rows, filters_local, remote_text FROM sys.pushdown_summary ORDER BY query_id;".into(),
            check: Check::Shows(&["public.orders", "public.customers"]),
        },
    ]
}

/// Names the tables: in Fjord by connector and schema, in Postgres by schema.
fn with(sql: &str, shop: &str) -> String {
    let events = if shop == "public" { "outside.events" } else { "events.files.events" };
    sql.replace("{events}", events).replace("{customers}", &format!("{shop}.customers")).replace("{orders}", &format!("{shop}.orders"))
}
