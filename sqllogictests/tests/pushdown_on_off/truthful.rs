//! What is declared is pushed: the remote text in EXPLAIN. An optimisation that is lost gives right answers, slowly; only this notices.

use super::{answer, setup};

/// A query, and what its remote text must hold.
const PUSHED: &[(&str, &[&str])] = &[
    ("SELECT id FROM {t} WHERE t = 'abc'", &["\"t\" = 'abc'"]),
    ("SELECT id FROM {t} WHERE t < 'b'", &["(\"t\" COLLATE \"C\") < 'b'"]),
    ("SELECT id FROM {t} WHERE tnd = 'abc'", &["\"tnd\" = 'abc' AND (\"tnd\" COLLATE \"C\") = 'abc'"]),
    ("SELECT id FROM {t} WHERE ci = 'abc'", &["OPERATOR(", "(\"ci\"::text COLLATE \"C\") = 'abc'"]),
    ("SELECT id FROM {t} WHERE vc LIKE 'a%'", &["\"vc\" LIKE 'a%'"]),
    ("SELECT id FROM {t} WHERE t ILIKE 'A%'", &["lower(\"t\" COLLATE \"C\") LIKE 'a%'"]),
    ("SELECT id FROM {t} WHERE e = 'ok'", &["\"e\" = 'ok'"]),
    ("SELECT id FROM {t} WHERE bp IN ('a', 'b')", &["\"bp\""]),
    ("SELECT id FROM {t} WHERE i4 = 42", &["\"i4\" = 42"]),
    ("SELECT id FROM {t} WHERE i4 BETWEEN 1 AND 42", &["\"i4\" >= 1", "\"i4\" <= 42"]),
    ("SELECT id FROM {t} WHERE n10 > 1.5", &["\"n10\" >"]),
    ("SELECT id FROM {t} WHERE f8 > 1.5", &["\"f8\" >"]),
    ("SELECT id FROM {t} WHERE i4 IN (1, 2, 3, 4, 5)", &["\"i4\" IN ("]),
    ("SELECT id FROM {t} WHERE i4 IS NULL OR NOT b", &["\"i4\" IS NULL", "NOT \"b\""]),
    ("SELECT id FROM {t} WHERE i4 + 1 > 5", &["\"i4\"::bigint +"]),
    ("SELECT id FROM {t} WHERE d >= '2024-01-01'", &["\"d\" >= '2024-01-01'::date"]),
    ("SELECT id FROM {t} WHERE tz < '2024-01-01 00:00:00+00'", &["\"tz\" < '2024-01-01 00:00:00+00'::timestamptz"]),
    ("SELECT id FROM {t} WHERE u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", &["\"u\" = 'a0eebc99"]),
    ("SELECT id FROM {t} WHERE upper(vc) = 'A' AND i4 = 1", &["\"i4\" = 1"]),
    ("SELECT id FROM {t} LIMIT 3", &["LIMIT 3"]),
    ("SELECT id FROM {t} WHERE t = 'abc' ORDER BY ten DESC LIMIT 3", &["ORDER BY (\"ten\" COLLATE \"C\") DESC NULLS FIRST", "LIMIT 3"]),
    (
        "SELECT id FROM {t} ORDER BY f8, id LIMIT 5 OFFSET 2",
        &["ORDER BY \"nasty\".\"f8\" ASC NULLS LAST, (\"f8\" <> 0 OR \"f8\"::text <> '-0')", "LIMIT"],
    ),
    ("SELECT count(*) FROM {t}", &["count(*)"]),
    ("SELECT ten, count(*), sum(i4), min(ten) FROM {t} GROUP BY ten", &["GROUP BY \"ten\"", "sum(\"i4\"", "min(\"ten\" COLLATE \"C\")"]),
    ("SELECT b, sum(i8), avg(n10) FROM {t} GROUP BY b", &["GROUP BY \"b\"", "sum(\"i8\")", "count(\"n10\")"]),
    ("SELECT ci, count(*) FROM {t} GROUP BY ci", &["GROUP BY (\"ci\"::text COLLATE \"C\")"]),
    ("SELECT i2, count(*) FROM {t} GROUP BY i2 HAVING count(*) > 2", &["HAVING count(*) > 2"]),
    ("SELECT DISTINCT i2, b FROM {t}", &["\"i2\", \"b\""]),
    ("SELECT count(DISTINCT t) FROM {t}", &["GROUP BY \"t\""]),
    ("SELECT count(*) FILTER (WHERE b) FROM {t}", &["FILTER (WHERE \"b\")"]),
    ("SELECT a.id, x.t FROM {t} a JOIN {t} x ON a.i4 = x.id", &[" AS q1 JOIN ", "q1.\"i4\" = q2.\"id\""]),
    ("SELECT a.id FROM {t} a JOIN {t} x ON a.i8 = x.id", &["q1.\"i8\" = q2.\"id\""]),
    ("SELECT a.id, x.vc FROM {t} a LEFT JOIN {t} x ON a.i4 = x.id AND x.t = 'abc'", &["LEFT JOIN", "q2.\"t\" = 'abc'"]),
    // What is finished here is finished above the join.
    ("SELECT a.id, x.i2 FROM {t} a JOIN {t} x ON a.i4 = x.id WHERE md5(a.t) <> 'x'", &[" AS q1 JOIN ", "q1.\"i4\" = q2.\"id\""]),
    ("SELECT a.id, x.i2 FROM {t} a JOIN {t} x ON a.i4 = x.id WHERE md5(a.t) <> 'x' AND x.f8 * 2 > 1", &[" AS q1 JOIN "]),
    ("SELECT a.id, x.i2 FROM {t} a JOIN (SELECT id AS k, i2 FROM {t} WHERE f8 * 2 > 1) x ON a.i4 = x.k", &[" AS q1 JOIN "]),
    ("SELECT a.id, x.i2 FROM {t} a LEFT JOIN {t} x ON a.i4 = x.id WHERE md5(a.t) <> 'x'", &["LEFT JOIN"]),
    ("SELECT a.id FROM {t} a WHERE md5(a.t) <> 'x' AND a.i4 IN (SELECT id FROM {t})", &["EXISTS ("]),
    ("SELECT b, i2, count(*) FROM {t} GROUP BY ROLLUP (b, i2)", &["GROUP BY GROUPING SETS ((), (\"b\"), (\"b\", \"i2\"))"]),
    ("SELECT count(*) FROM {t} a JOIN {t} x ON a.ci = x.ten", &["SELECT count(*)", "(q1.\"ci\"::text COLLATE \"C\") = q2.\"ten\""]),
    ("SELECT id FROM {t} a WHERE NOT EXISTS (SELECT 1 FROM {t} x WHERE x.i4 = a.id)", &["NOT EXISTS (SELECT FROM"]),
    ("SELECT id FROM {t} WHERE id NOT IN (SELECT i4 FROM {t})", &["q2.\"i4\" IS NULL", "NOT EXISTS"]),
    ("SELECT id FROM {t} WHERE b OR id IN (SELECT i4 FROM {t})", &["OR EXISTS"]),
    ("SELECT id FROM {t} UNION ALL SELECT i4 FROM {t}", &["UNION ALL"]),
    ("SELECT t FROM {t} UNION SELECT tc FROM {t}", &["UNION ALL", "GROUP BY"]),
    ("SELECT id FROM {t} WHERE i4 = (SELECT max(i4) FROM {t})", &["max(q2.\"i4\")", "q1.\"i4\" = q3.c0"]),
    (
        "SELECT x.t, count(*) FROM {t} a JOIN {t} x ON a.i4 = x.id GROUP BY x.t ORDER BY 2 DESC LIMIT 3",
        &["JOIN", "GROUP BY q2.\"t\"", "LIMIT 3"],
    ),
    ("SELECT 'x', count(*) FROM {t} GROUP BY 1", &["GROUP BY ()"]),
    ("SELECT \"Odd \"\"Name\" FROM {t} WHERE \"Odd \"\"Name\" = 3", &["\"Odd \"\"Name\" = 3"]),
];

/// A query, and what must NOT be in its remote text: nothing that is unproven is sent.
const KEPT: &[(&str, &[&str])] = &[
    ("SELECT upper(t) FROM {t}", &["upper"]),
    ("SELECT id FROM {t} WHERE right(t, -2147483648) = 'x'", &["right"]),
    ("SELECT id FROM {t} WHERE greatest(f8, 1.0) = 1", &["GREATEST"]),
    ("SELECT id FROM {t} WHERE NOT (1 = ANY(ai))", &["ANY"]),
    ("SELECT id FROM {t} WHERE ai[0] = 1", &["["]),
    ("SELECT lower(t), count(*) FROM {t} GROUP BY 1", &["lower"]),
    ("SELECT id FROM {t} WHERE lower(t) = 'abc' LIMIT 3", &["LIMIT"]),
    ("SELECT id FROM {t} WHERE i8::int + 1 > 5", &["+"]),
    ("SELECT id FROM {t} WHERE i8 + 1 > 5", &["+"]),
    ("SELECT id FROM {t} WHERE 1 / i2 = 1", &["/"]),
    ("SELECT id FROM {t} WHERE t ILIKE 'A%' LIMIT 3", &["LIMIT"]),
    ("SELECT count(*) FROM {t} WHERE t ILIKE 'A%'", &["count(*)"]),
    ("SELECT sum(f8) FROM {t}", &["sum("]),
    ("SELECT min(f8) FROM {t}", &["min("]),
    ("SELECT iv, count(*) FROM {t} GROUP BY iv", &["GROUP BY"]),
    ("SELECT id FROM {t} WHERE t ~ 'a.c'", &["~"]),
    ("SELECT a.id, x.id FROM {t} a JOIN {t} x ON a.b = x.b", &["JOIN"]),
    ("SELECT a.id, x.id FROM {t} a LEFT JOIN {t} x ON a.i4 = x.id AND upper(x.t) = 'A'", &["JOIN"]),
    ("SELECT a.id, x.id FROM {t} a JOIN {t} x ON a.id = x.id AND a.iv = x.iv", &["JOIN"]),
    ("SELECT a.id, x.id FROM {t} a CROSS JOIN {t} x", &["JOIN"]),
    ("SELECT b, i2, count(*) FROM {t} GROUP BY GROUPING SETS ((b), (b), (i2))", &["GROUP BY"]),
    ("SELECT i2, abs(i2), count(*) FROM {t} GROUP BY ROLLUP (i2, abs(i2))", &["GROUP BY"]),
    ("SELECT iv, b, count(*) FROM {t} GROUP BY CUBE (iv, b)", &["GROUP BY"]),
];

/// The text of a line `... remote=SELECT ..., pushed_filters=[...], local_limit=[...]`: what follows it tells of classes and reasons.
fn remote_text(line: &str) -> Option<&str> {
    let text = line.split_once("remote=")?.1;
    let end = ["pushed", "superset", "local", "partial", "dynamic"].iter().filter_map(|w| text.find(&format!(", {w}_"))).min();
    Some(&text[..end.unwrap_or(text.len())])
}

/// The lines of EXPLAIN that hold a remote text.
pub(super) async fn remote(client: &tokio_postgres::Client, sql: &str) -> String {
    let rows = client.simple_query(&format!("EXPLAIN {sql}")).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let mut lines = vec![];
    for row in rows {
        if let tokio_postgres::SimpleQueryMessage::Row(r) = row {
            lines.extend((0..r.len()).filter_map(|i| r.get(i)).flat_map(str::lines).map(str::to_string));
        }
    }
    let texts: Vec<&str> = lines.iter().filter_map(|l| remote_text(l)).collect();
    assert!(!texts.is_empty(), "{sql}: no remote text in\n{}", lines.join("\n"));
    texts.join("\n")
}

#[tokio::test]
async fn what_is_declared_is_pushed() {
    let s = setup().await;
    let mut failures = vec![];
    for (sql, wanted) in PUSHED {
        let text = remote(&s.on, &sql.replace("{t}", "src.public.nasty")).await;
        for w in *wanted {
            if !text.contains(w) {
                failures.push(format!("{sql}\n    lacks {w}\n    {text}"));
            }
        }
    }
    for (sql, unwanted) in KEPT {
        let text = remote(&s.on, &sql.replace("{t}", "src.public.nasty")).await;
        for u in *unwanted {
            if text.contains(u) {
                failures.push(format!("{sql}\n    sends {u}\n    {text}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// A narrow table with many rows, and a wide one that few of them would repeat again and again.
const WIDE: &str = "CREATE TABLE dims AS SELECT i AS id, 'd' || i AS name, repeat(md5(i::text), 60) AS doc FROM generate_series(1, 50) i;
    ALTER TABLE dims ADD PRIMARY KEY (id);
    CREATE TABLE events AS SELECT i AS id, 1 + i % 50 AS dim FROM generate_series(1, 20000) i; ANALYZE";

#[tokio::test]
async fn a_join_does_not_send_more_bytes_than_its_tables() {
    let s = setup().await;
    s.postgres.psql(WIDE).unwrap();
    let create = format!(
        "CREATE CONNECTOR wide TYPE postgres OPTIONS (host '127.0.0.1', port {}, database 'postgres', user 'postgres', sslmode 'disable')",
        s.postgres.port()
    );
    s.on.simple_query(&create).await.unwrap();
    for (sql, joined) in [
        ("SELECT e.id, d.doc FROM wide.public.events e JOIN wide.public.dims d ON e.dim = d.id", false),
        ("SELECT e.id, d.doc FROM wide.public.events e LEFT JOIN wide.public.dims d ON e.dim = d.id", false),
        ("SELECT e.id, d.id FROM wide.public.events e JOIN wide.public.dims d ON e.dim = d.id", true),
        ("SELECT d.doc, count(*) FROM wide.public.events e JOIN wide.public.dims d ON e.dim = d.id GROUP BY d.doc", true),
        ("SELECT e.id, d.doc FROM wide.public.events e JOIN wide.public.dims d ON e.dim = d.id ORDER BY e.id LIMIT 20", true),
        ("SELECT e.id, d.doc FROM wide.public.events e JOIN wide.public.dims d ON e.dim = d.id WHERE e.id = 7", true),
    ] {
        let text = remote(&s.on, sql).await;
        assert_eq!(text.contains("JOIN"), joined, "{sql}: {text}");
        assert_eq!(answer(&s.on, sql).await.unwrap(), answer(&s.off, sql).await.unwrap(), "{sql}");
    }
}

/// The operators of arrays take two arrays of one type: a varchar[] meets no text[].
#[tokio::test]
async fn arrays_of_varchars_meet_arrays_of_their_type() {
    let s = setup().await;
    s.postgres
        .psql("CREATE TABLE tags (id int, v varchar[], n varchar(3)[]); INSERT INTO tags VALUES (1, '{a,b}', '{abc}'), (2, '{}', NULL), (3, '{NULL,c}', '{c}')")
        .unwrap();
    let create = format!(
        "CREATE CONNECTOR tags TYPE postgres OPTIONS (host '127.0.0.1', port {}, database 'postgres', user 'postgres', sslmode 'disable')",
        s.postgres.port()
    );
    s.on.simple_query(&create).await.unwrap();
    for (condition, sent) in [
        ("v @> ARRAY['a']", "ARRAY['a'::text]::character varying[]"),
        ("v <@ ARRAY['a', 'b', 'c']", "::character varying[]"),
        ("n && ARRAY['abc']", "\"n\" && ARRAY['abc'::text]::character varying[]"),
        ("v && n", "\"v\" && \"n\""),
        ("'a' = ANY(v)", "= ANY (\"v\")"),
    ] {
        let sql = format!("SELECT id FROM tags.public.tags WHERE {condition} ORDER BY id");
        let text = remote(&s.on, &sql).await;
        assert!(text.contains(sent), "{condition}: {text}");
        assert_eq!(answer(&s.on, &sql).await.unwrap(), answer(&s.off, &sql).await.unwrap(), "{condition}");
    }
}
