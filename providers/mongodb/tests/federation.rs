//! The whole way from SQL through the pushdown pass to a real MongoDB and back: pushed and local answers are the same.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::*;

/// Null and missing, numbers of all types that one column takes, NaN and both zeros, texts that collations compare, arrays where arrays are known.
const NASTY: &str = r#"
texts = ['', ' ', 'a', 'A', 'a ', 'á', 'a\u0301', 'é', 'e\u0301', 'ab', 'AB', 'aB ', 'ß', 'ss', 'a\0', 'a\x01', '%', 'a%', 'a_b', 'a\\b', '5abc', '5', "O'Brien", None, 'Z', 'z', 'zz', '日', 'ÿ', '😀', '\ud7ff', '\ue000', '\uffff', '$a', 'null']
ints = [0, 1, -1, 127, 5, 7, None, 2147483647, -2147483648]
longs = [Int64(0), 1, Int64(9223372036854775807), Int64(-9223372036854775808), 5, None, Int64(2**53 + 1), 7]
doubles = [0.0, -0.0, 1.5, float('nan'), float('inf'), float('-inf'), None, 5, 0.1, -1.5, 1e300]
decs = [Decimal128('0'), Decimal128('-0'), Decimal128('1.50'), Decimal128('1.5'), None, 5, Int64(7), Decimal128('0.1'), Decimal128('-12345678901234567890.5')]
oids = ['507f1f77bcf86cd799439011', '000000000000000000000000', 'ffffffffffffffffffffffff', None]
uuids = ['00000000-0000-0000-0000-000000000001', 'ffffffff-ffff-ffff-ffff-ffffffffffff', None]
dates = [0, -1, 1709164799999, 1709251200000, None, 253402300799999, 1]
docs = []
for i, t in enumerate(texts * 2):
    d = {'_id': i}
    def put(k, v, n):
        # Half of the nulls are missing fields.
        if v is None and (i//4+n)%2 == 0: return
        d[k] = v
    put('t', t, 0)
    put('i', ints[i % len(ints)], 1)
    put('l', longs[i % len(longs)], 2)
    put('f', doubles[i % len(doubles)], 3)
    put('n', decs[i % len(decs)], 4)
    o = oids[i % len(oids)]
    put('oid', o and ObjectId(o), 5)
    u = uuids[i % len(uuids)]
    put('u', u and bson.Binary.from_uuid(uuid.UUID(u)), 6)
    w = dates[i % len(dates)]
    put('w', None if w is None else bson.DatetimeMS(w), 7)
    put('b', [True, False, None][i % 3], 8)
    put('c', [True, None, False, False][i % 4], 1)
    # Arrays of ints with nulls in them, and none.
    put('a', [[1, 5], [], [None], None, [5], [7, None]][i % 6], 2)
    # Anything.
    put('m', [1, 'x', [1, None], {'k': 1}, None, 2.5, [], {}, [{'k': None}]][i % 9], 3)
    if i % 5: d['o'] = {} if i % 7 == 0 else {'x': ints[i % len(ints)], 's': t, 'p': {'q': i % 4}}
    elif i % 2: d['o'] = None
    if i % 11 == 3: d['o'] = 'scalar'
    put('bin', [b'a', b'', b'\xff', None][i % 4], 4)
    docs.append(d)
c.d.n.insert_many(docs)
# An undefined value, which drivers no longer write.
raw = bson.encode({'_id': 1000, 'm': None, 't': 'undefined m'}).replace(b'\x0am\0', b'\x06m\0')
c.d.command('insert', 'n', documents=[bson.raw_bson.RawBSONDocument(raw)])
for f in ['t', 'i', 'w', 'oid', 'o.s']: c.d.n.create_index(f)
# The same documents where texts compare by a collation, and as a view.
c.d.create_collection('de', collation={'locale': 'de', 'strength': 1})
c.d.de.insert_many(docs)
c.d.de.create_index('t')
c.d.command('create', 'view', viewOn='n', pipeline=[{'$match': {'_id': {'$lt': 40}}}])
c.d.command('create', 'german', viewOn='n', pipeline=[], collation={'locale': 'de', 'strength': 1})
c.d.m.insert_many([{'_id': i, 'k': ints[i % len(ints)], 'name': texts[i % len(texts)]} for i in range(20)])
"#;

async fn bed() -> Bed {
    Bed::start(NASTY, ", sample_size 5000").await
}

/// Conditions that must mean the same, each for the fields it is about.
fn conditions() -> Vec<String> {
    let mut all = vec![];
    let literals = ["''", "'a'", "'A'", "'a '", "'á'", "'ss'", "'日'", "'😀'", "'5'", "'O''Brien'", "E'a\\\\b'", "'$a'", "E'\\uFFFF'"];
    for c in ["t", "\"o.s\""] {
        for l in literals {
            for op in ["=", "<>", "<", ">="] {
                all.push(format!("{c} {op} {l}"));
            }
        }
        for q in [
            "LIKE 'a%'",
            "LIKE 'a'",
            "LIKE 'a_b'",
            "LIKE 'a\\%'",
            "LIKE '%a'",
            "LIKE 'A_%'",
            "NOT LIKE 'a%'",
            "ILIKE 'a%'",
            "LIKE '日%'",
            "LIKE '%'",
            "IN ('a', 'É', '日', 'ss')",
            "IN ('a', NULL)",
            "NOT IN ('a', 'é', 'B')",
            "NOT IN ('a', NULL)",
            "IS NULL",
            "IS NOT NULL",
            "BETWEEN 'a' AND 'b'",
            "NOT BETWEEN 'a' AND 'b'",
            "IS DISTINCT FROM 'a'",
            "IS NOT DISTINCT FROM 'a'",
            "> 'z'",
            "<= ''",
            "|| 'x' = 'ax'",
            "= upper('a')",
        ] {
            all.push(format!("{c} {q}"));
        }
    }
    for c in ["i", "l", "n", "\"o.x\""] {
        for v in [
            "0",
            "1",
            "-1",
            "5",
            "127",
            "5.5",
            "0.1",
            "9223372036854775807",
            "-9223372036854775808",
            "1.5",
            "2147483648",
            "9007199254740993",
            "1e3",
        ] {
            for op in ["=", "<>", "<", ">="] {
                all.push(format!("{c} {op} {v}"));
            }
        }
        for q in [
            "IN (1, 5, 7)",
            "NOT IN (1, 5)",
            "IN (1, NULL)",
            "NOT IN (1, NULL)",
            "IS NULL",
            "IS NOT NULL",
            "BETWEEN -1 AND 7",
            "NOT BETWEEN 0 AND 5",
            "IS DISTINCT FROM 5",
            "IS NOT DISTINCT FROM 5",
            "+ 0 > 5",
            "> 5 OR t = 'a'",
        ] {
            all.push(format!("{c} {q}"));
        }
        all.push(format!("NOT ({c} > 1)"));
        all.push(format!("({c} > 1) IS NOT TRUE"));
        all.push(format!("({c} > 1) IS UNKNOWN"));
    }
    for v in ["0.0", "-0.0", "1.5", "5", "0.1", "1e300", "-1e300", "'NaN'::float8", "'Infinity'::float8", "'-Infinity'::float8"] {
        for op in ["=", "<>", "<", "<=", ">", ">="] {
            all.push(format!("f {op} {v}"));
        }
        all.push(format!("f IS DISTINCT FROM {v}"));
    }
    for q in [
        "IN (0.0, 1.5)",
        "NOT IN (0.0, 1.5)",
        "IS NULL",
        "IS NOT NULL",
        "BETWEEN -2 AND 2",
        "NOT BETWEEN -2 AND 2",
        "IN ('NaN'::float8, 5)",
    ] {
        all.push(format!("f {q}"));
    }
    for v in [
        "'1970-01-01+00'",
        "'1969-12-31 23:59:59.999+00'",
        "'2024-02-28 23:59:59.9995+00'",
        "'2024-02-29+00'",
        "'9999-12-31 23:59:59.999+00'",
        "'1970-01-01 00:00:00.0005+00'",
    ] {
        for op in ["=", "<>", "<", "<=", ">", ">="] {
            all.push(format!("w {op} {v}::timestamptz"));
        }
        all.push(format!("w IN ({v}::timestamptz, '2000-01-01+00'::timestamptz)"));
        all.push(format!("w NOT IN ({v}::timestamptz)"));
        all.push(format!("w IS DISTINCT FROM {v}::timestamptz"));
    }
    for v in [
        "'507f1f77bcf86cd799439011'",
        "'000000000000000000000000'",
        "'507F1F77BCF86CD799439011'",
        "'x'",
        "''",
        "'ffffffffffffffffffffffff'",
    ] {
        for op in ["=", "<>", "<", ">="] {
            all.push(format!("oid {op} {v}"));
        }
        all.push(format!("oid IN ({v}, 'y')"));
        all.push(format!("oid NOT IN ({v}, 'y')"));
        all.push(format!("oid IS DISTINCT FROM {v}"));
    }
    for v in ["'00000000-0000-0000-0000-000000000001'", "'FFFFFFFF-ffff-ffff-ffff-ffffffffffff'", "'11111111-1111-1111-1111-111111111111'"]
    {
        for op in ["=", "<>"] {
            all.push(format!("u {op} {v}::uuid"));
        }
    }
    all.extend(
        [
            "b",
            "NOT b",
            "b = true",
            "b = false",
            "b <> true",
            "b IS NULL",
            "b IS NOT NULL",
            "b IS TRUE",
            "b IS NOT TRUE",
            "b IS FALSE",
            "b IS NOT FALSE",
            "b IS UNKNOWN",
            "b IS NOT UNKNOWN",
            "b AND c",
            "b OR c",
            "NOT (b AND c)",
            "NOT (b OR c)",
            "b AND NOT c",
            "b IS DISTINCT FROM c",
            "b = c",
            "a IS NULL",
            "a IS NOT NULL",
            "m IS NULL",
            "m IS NOT NULL",
            "o IS NULL",
            "o IS NOT NULL",
            "\"o.p\" IS NULL",
            "\"o.p\" IS NOT NULL",
            "bin IS NULL",
            "bin IS NOT NULL",
            "bin = 'a'::bytea",
            "m = '1'",
            "m ->> 'k' = '1'",
            "cardinality(a) = 2",
            "i = l",
            "i = 5 AND l = 5",
            "i = 5 OR (t = 'a' AND f > 1)",
            "(i = 5 OR i = 7) AND t >= 'a'",
            "i = 5 AND upper(t) = 'A'",
            "i = 5 OR upper(t) = 'A'",
            "_id = 5",
            "_id > 60",
            "_id IN (1, 2, 3)",
            "_id IS NULL",
            "coalesce(i, 0) = 0",
            "CASE WHEN i > 5 THEN true ELSE b END",
            "i IS NULL AND t IS NULL",
            "1 = 1",
            "i > 3 AND i < 2",
            "t IS NOT NULL AND i IS NOT NULL AND f IS NOT NULL AND w IS NOT NULL",
            "i BETWEEN 1 AND 7 AND t LIKE 'a%'",
        ]
        .map(String::from),
    );
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_mean_the_same_pushed_and_local() {
    let bed = bed().await;
    let all = conditions();
    assert!(all.len() > 300, "{}", all.len());
    // Several conditions a query, each as a filter of its own: rows come with the number of the condition.
    let batched = async |table: &str, all: &[&String]| {
        let mut pushed = 0;
        for (n, some) in all.chunks(20).enumerate() {
            let each = some.iter().enumerate().map(|(i, c)| format!("SELECT {} AS q, _id FROM docs.d.{table} WHERE {c}", n * 20 + i));
            let query = each.collect::<Vec<_>>().join(" UNION ALL ");
            bed.same(&query).await;
            if n % 4 == 0 {
                pushed += bed.explain(&query).await.matches("$match").count();
            }
        }
        pushed
    };
    let every: Vec<&String> = all.iter().collect();
    let pushed = batched("n", &every).await;
    let seen: usize = all.chunks(20).step_by(4).map(<[String]>::len).sum();
    assert!(pushed > seen * 6 / 10, "{pushed} of {seen}");
    // Where texts have another collation: that of a collection is overridden, that of a view cannot be.
    let texts: Vec<&String> = all.iter().filter(|c| c.starts_with("t ")).collect();
    batched("de", &texts).await;
    batched("german", &texts).await;
    batched("view", &every.iter().step_by(7).copied().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_sorts_limits_and_projections_mean_the_same() {
    let bed = bed().await;
    let columns = ["t", "i", "l", "f", "n", "oid", "u", "w", "b", "a", "m", "o", "\"o.x\"", "\"o.s\"", "\"o.p\"", "bin"];
    for c in columns {
        for q in [
            format!("SELECT {c}, _id FROM docs.d.n"),
            format!("SELECT count({c}), count(*) FROM docs.d.n"),
            format!("SELECT count({c}), count(*) FROM docs.d.n WHERE _id < 0"),
        ] {
            bed.same(&q).await;
        }
        // Lists have no order here, nor a group that is the same in each run.
        if matches!(c, "a") {
            continue;
        }
        for q in [
            format!("SELECT {c}, count(*) FROM docs.d.n GROUP BY {c}"),
            format!("SELECT DISTINCT {c} FROM docs.d.n"),
            format!("SELECT {c}, _id FROM docs.d.n ORDER BY {c}, _id LIMIT 9"),
            format!("SELECT {c}, _id FROM docs.d.n ORDER BY {c} DESC, _id LIMIT 9"),
            format!("SELECT {c}, _id FROM docs.d.n ORDER BY {c} NULLS FIRST, _id LIMIT 12 OFFSET 3"),
            format!("SELECT {c}, _id FROM docs.d.n ORDER BY {c} DESC NULLS LAST, _id DESC LIMIT 12"),
            format!("SELECT _id FROM docs.d.n WHERE {c} IS NOT NULL ORDER BY {c}, _id LIMIT 5"),
            format!("SELECT count(DISTINCT {c}) FROM docs.d.n"),
        ] {
            bed.same(&q).await;
        }
        if !matches!(c, "m" | "o" | "\"o.p\"" | "b") {
            bed.same(&format!("SELECT min({c}), max({c}) FROM docs.d.n")).await;
            bed.same(&format!("SELECT b, min({c}), max({c}) FROM docs.d.n GROUP BY b")).await;
            bed.same(&format!("SELECT min({c}), max({c}) FROM docs.d.n WHERE _id < 0")).await;
        }
    }
    for q in [
        "SELECT sum(i), sum(l), avg(i), avg(f) IS NOT NULL, count(*) FROM docs.d.n WHERE f < 10 OR f IS NULL",
        "SELECT sum(i) FROM docs.d.n WHERE i IS NULL",
        "SELECT sum(i), count(*), min(t) FROM docs.d.n WHERE _id < -1",
        "SELECT b, sum(i), count(i), max(w), min(oid) FROM docs.d.n GROUP BY b",
        "SELECT b, c, count(*) FROM docs.d.n GROUP BY b, c",
        "SELECT b, count(*) AS k FROM docs.d.n GROUP BY b HAVING count(*) > 20",
        "SELECT b, sum(i) FROM docs.d.n GROUP BY b HAVING sum(i) > 5 AND b IS NOT NULL",
        "SELECT b, count(*) AS k FROM docs.d.n GROUP BY b ORDER BY k DESC, b LIMIT 2",
        "SELECT t, count(*) AS k FROM docs.d.n WHERE i > 0 GROUP BY t ORDER BY t NULLS FIRST LIMIT 7",
        "SELECT s.k, count(*) FROM (SELECT b, count(*) AS k FROM docs.d.n GROUP BY b) s GROUP BY s.k",
        "SELECT count(*) FROM (SELECT DISTINCT t FROM docs.d.n) s",
        "SELECT * FROM (SELECT _id, i, t FROM docs.d.n ORDER BY _id LIMIT 9) s WHERE i > 0 ORDER BY i, _id",
        "SELECT * FROM (SELECT _id, NOT b AS nb FROM docs.d.n ORDER BY _id LIMIT 20) s WHERE nb",
        "SELECT _id, b AND c, b OR c, NOT b, NOT (b AND c) FROM docs.d.n",
        "SELECT _id, 5 AS five, 'x' AS x, NULL AS nothing FROM docs.d.n WHERE i = 5",
        "SELECT 5, count(*) FROM docs.d.n WHERE _id < 0 GROUP BY 1",
        "SELECT count(*), 7 FROM docs.d.n",
        "SELECT _id FROM docs.d.n ORDER BY _id LIMIT 3",
        "SELECT _id FROM docs.d.n ORDER BY _id DESC LIMIT 3 OFFSET 2",
        "SELECT count(*) FROM (SELECT * FROM docs.d.n LIMIT 7) s",
        "SELECT count(*) FROM (SELECT * FROM docs.d.n OFFSET 60) s",
        "SELECT i::bigint, _id FROM docs.d.n WHERE i::bigint > 5",
        "SELECT i::numeric, l::numeric FROM docs.d.n WHERE i::numeric(20,2) > 0.5",
        "SELECT i::float8, _id FROM docs.d.n WHERE i::float8 > 0.5",
        "SELECT * FROM docs.d.n WHERE \"o.x\" = 5",
        "SELECT o, \"o.x\" FROM docs.d.n WHERE \"o.s\" >= 'a'",
        "SELECT \"o.x\", count(*) FROM docs.d.n GROUP BY \"o.x\"",
        "SELECT a.t, m.name FROM docs.d.n a JOIN docs.d.m m ON a.i = m.k",
        "SELECT a.t, m.name FROM docs.d.n a JOIN docs.d.m m ON a.t = m.name",
        "SELECT a._id, m._id FROM docs.d.n a LEFT JOIN docs.d.m m ON a.t = m.name AND m._id > 3",
        "SELECT count(*) FROM docs.d.n a WHERE NOT EXISTS (SELECT 1 FROM docs.d.m m WHERE m.k = a.i)",
        "SELECT count(*) FROM docs.d.n WHERE i IN (SELECT k FROM docs.d.m WHERE _id < 5)",
        "SELECT _id FROM docs.d.n WHERE i = (SELECT max(k) FROM docs.d.m WHERE k < 100)",
        "SELECT _id FROM docs.d.n WHERE i = 5 UNION ALL SELECT _id FROM docs.d.m WHERE k IS NULL",
        "SELECT i FROM docs.d.n UNION SELECT k FROM docs.d.m",
        "SELECT t FROM docs.d.n INTERSECT SELECT name FROM docs.d.m",
        "SELECT b, c, count(*) FROM docs.d.n GROUP BY ROLLUP (b, c)",
        "SELECT b, count(*) FILTER (WHERE i > 3), sum(i) FILTER (WHERE c) FROM docs.d.n GROUP BY b",
        "SELECT bool_and(b), bool_or(c) FROM docs.d.n",
        "SELECT row_number() OVER (ORDER BY _id), t FROM docs.d.n ORDER BY _id LIMIT 5",
        "SELECT k.five, n._id FROM (SELECT 5 AS five, _id FROM docs.d.m) k JOIN docs.d.n n ON n.i = k.five AND n._id = k._id",
        "SELECT n._id FROM (VALUES (5), (7)) v(x) JOIN docs.d.n n ON n.i = v.x",
        "SELECT n._id FROM (VALUES ('a'), ('日')) v(x) JOIN docs.d.n n ON n.t = v.x",
        "SELECT n._id FROM (VALUES ('507f1f77bcf86cd799439011')) v(x) JOIN docs.d.n n ON n.oid = v.x",
        "SELECT n._id FROM (VALUES (0.0::float8), (1.5)) v(x) JOIN docs.d.n n ON n.f = v.x",
    ] {
        bed.same(q).await;
    }
    for t in ["de", "german", "view"] {
        for q in [
            format!("SELECT t, count(*) FROM docs.d.{t} GROUP BY t"),
            format!("SELECT t, _id FROM docs.d.{t} ORDER BY t, _id LIMIT 15"),
            format!("SELECT min(t), max(t) FROM docs.d.{t}"),
        ] {
            bed.same(&q).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_should_go_goes_and_says_why() {
    let bed = bed().await;
    for (sql, parts) in [
        (
            "SELECT _id FROM docs.d.n WHERE t = 'a'",
            &[
                r#"{"$match":{"t":{"$eq":"a","$not":{"$type":"array"}}}}"#,
                "arrays are held off, index usable",
                r#""collation":{"locale":"simple"}"#,
            ][..],
        ),
        ("SELECT _id FROM docs.d.n WHERE \"o.x\" = 5", &[r#"{"o.x":{"$eq":5,"$not":{"$type":"array"}}},{"o":{"$not":{"$type":"array"}}}"#]),
        ("SELECT _id FROM docs.d.n WHERE i <> 5", &[r#""$nin":[5,null]"#]),
        ("SELECT _id FROM docs.d.n WHERE f > 1.5", &[r#""$or":[{"f":{"$gt":1.5"#, "NaN"]),
        ("SELECT _id FROM docs.d.n WHERE t LIKE 'ab%'", &[r#""$gte":"ab""#, r#""$lt":"ac""#]),
        ("SELECT _id FROM docs.d.n WHERE t LIKE 'a_b'", &["superset_filters", "matched here"]),
        ("SELECT _id FROM docs.d.n WHERE oid = '507f1f77bcf86cd799439011'", &[r#"{"$oid":"507f1f77bcf86cd799439011"}"#]),
        ("SELECT _id FROM docs.d.n WHERE m = '1'", &["local_filters", "mixed types"]),
        ("SELECT _id FROM docs.d.n WHERE i = l", &["local_filters", "two fields"]),
        ("SELECT i FROM docs.d.n ORDER BY i NULLS FIRST LIMIT 3", &[r#""$sort":{"i":1}"#, r#""$limit":3"#]),
        ("SELECT i FROM docs.d.n ORDER BY i LIMIT 3", &[r#""$cond":[{"$in":[{"$type":"$i"}"#]),
        ("SELECT _id FROM docs.d.n ORDER BY _id LIMIT 3", &[r#""pipeline":[{"$sort":{"_id":1}},{"$limit":3}"#]),
        ("SELECT b, count(*), sum(i) FROM docs.d.n GROUP BY b", &["$group", r#""wrong":{"$sum":{"$cond""#]),
        ("SELECT sum(l) FROM docs.d.n", &["becomes a double"]),
        ("SELECT f, count(*) FROM docs.d.n GROUP BY f", &["NaN and both zeros"]),
        ("SELECT a.t FROM docs.d.n a JOIN docs.d.m m ON a.i = m.k", &["$lookup"]),
        ("SELECT _id FROM docs.d.n WHERE i = 5 UNION ALL SELECT _id FROM docs.d.m", &["$unionWith"]),
    ] {
        let plan = bed.explain(sql).await;
        for part in parts {
            assert!(plan.contains(part), "{sql}: no {part} in\n{plan}");
        }
    }
}

/// The server's own explain of the text that was sent.
#[tokio::test(flavor = "multi_thread")]
async fn the_index_is_used() {
    let bed = Bed::start(
        "c.d.p.insert_many([{'_id': n, 'name': 'name %d' % n, 'o': {'k': n}, 'at': bson.DatetimeMS(n * 86400000)} for n in range(20000)])
for f in ['name', 'o.k', 'at']: c.d.p.create_index(f)",
        "",
    )
    .await;
    for (query, index) in [
        ("SELECT _id FROM docs.d.p WHERE name = 'name 77'", "name_1"),
        ("SELECT _id FROM docs.d.p WHERE name IN ('name 77', 'NAME 78')", "name_1"),
        ("SELECT _id FROM docs.d.p WHERE name LIKE 'name 777%'", "name_1"),
        ("SELECT name FROM docs.d.p WHERE \"o.k\" = 77", "o.k_1"),
        ("SELECT name FROM docs.d.p WHERE at = '1970-03-01+00'::timestamptz", "at_1"),
        ("SELECT name FROM docs.d.p WHERE at > '2024-09-20+00'::timestamptz", "at_1"),
        ("SELECT name FROM docs.d.p WHERE _id = 7", "_id_"),
        ("SELECT name FROM docs.d.p WHERE name > 'name 9' ORDER BY name LIMIT 5", "name_1"),
    ] {
        let plan = bed.explain(query).await;
        let start = plan.find("remote=").unwrap() + "remote=".len();
        // One JSON object, whatever comes behind it.
        let mut objects = serde_json::Deserializer::from_str(&plan[start..]).into_iter::<serde_json::Value>();
        let text = objects.next().unwrap().unwrap();
        let end = start + objects.byte_offset();
        assert!(text.is_object());
        let theirs = bed
            .server
            .python_with(
                "command = bson.json_util.loads(sys.argv[2])\ndb = command.pop('$db')\nprint(json.dumps(c[db].command('explain', command, verbosity='queryPlanner'), default=str))",
                &[&plan[start..end]],
            )
            .unwrap();
        let winning = &theirs[theirs.find("winningPlan").unwrap()..];
        assert!(winning.contains("IXSCAN") || winning.contains("IDHACK"), "{query}\n{theirs}");
        assert!(winning.contains(&format!("\"indexName\": \"{index}\"")) || index == "_id_", "{query}\n{theirs}");
        bed.same(query).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_query_and_live() {
    let bed = Bed::start(NASTY, ", database 'd'").await;
    let text = r#"{"aggregate": "n", "pipeline": [{"$match": {"_id": {"$in": [2, 3]}}}, {"$project": {"t": 1}}, {"$sort": {"_id": 1}}], "cursor": {}}"#;
    assert_eq!(
        bed.rows(&format!("SELECT document ->> 't', document FROM remote_query('docs', $${text}$$)")).await.unwrap(),
        [r#"a|{"_id":2,"t":"a"}"#, r#"A|{"_id":3,"t":"A"}"#]
    );
    assert_eq!(
        bed.rows(r#"SELECT document ->> 'n' FROM remote_query('docs', $${"count": "n", "query": {"_id": {"$lt": 3}}}$$)"#).await.unwrap(),
        ["3"]
    );
    assert_eq!(
        bed.rows(r#"SELECT count(*) FROM remote_query('docs', $${"find": "m", "$db": "d", "batchSize": 3}$$)"#).await.unwrap(),
        ["20"]
    );
    assert_eq!(bed.rows("SELECT x._id FROM live(docs.d.n) x WHERE x._id = 3").await.unwrap(), ["3"]);
    assert_eq!(bed.rows("SELECT count(*) FROM docs.n").await.unwrap(), bed.rows("SELECT count(*) FROM docs.d.n").await.unwrap());
    for bad in [
        r#"{"insert": "n", "documents": [{"_id": 5000}]}"#,
        r#"{"aggregate": "n", "pipeline": [{"$out": "stolen"}], "cursor": {}}"#,
        r#"{"aggregate": "n", "pipeline": [{"$nonsense": 1}], "cursor": {}}"#,
        r#"{"dropDatabase": 1}"#,
        "SELECT 1",
    ] {
        let e = bed.rows(&format!("SELECT * FROM remote_query('docs', $${bad}$$)")).await;
        assert!(e.is_err(), "{bad}");
    }
    assert_eq!(bed.server.python("print(c.d.n.count_documents({}), 'stolen' in c.d.list_collection_names())").unwrap(), "71 False\n");
}

/// A big collection is read by several readers: every document once, in one snapshot, whatever the types of `_id`.
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_shared_by_ranges() {
    let bed = Bed::start(
        "pad = 'x' * 1500
ids = lambda n: [n, 'k%07d' % n, float(n) + 0.5, ObjectId(), {'n': n}, bson.DatetimeMS(n * 1000), bson.Binary(b'%07d' % n), Int64(n + 2**40)][n % 8]
for start in range(0, 40000, 5000):
    c.d.big.insert_many([{'_id': ids(n), 'n': n, 'pad': pad} for n in range(start, start + 5000)])",
        "",
    )
    .await;
    let plan = bed.rows("EXPLAIN ANALYZE SELECT n, pad FROM docs.d.big").await.unwrap().join("\n");
    assert!(plan.contains("readers=3") && plan.contains("splits="), "{plan}");
    assert_eq!(
        bed.rows(
            "SELECT count(*), sum(n), count(DISTINCT n), min(n), max(n) FROM (SELECT n, pad FROM docs.d.big WHERE upper(pad) LIKE 'X%') s"
        )
        .await
        .unwrap(),
        ["40000|799980000|40000|0|39999"]
    );
    bed.rows("SET fjord.max_parallel_reads = 1").await.unwrap();
    let plan = bed.explain("SELECT n, pad FROM docs.d.big").await;
    assert!(!plan.contains("readers="), "{plan}");
}

/// Documents with arrays in fields that are none by their columns. Read, they are an error; a condition, which the source would test on the elements,
/// must not take them for a match.
#[tokio::test(flavor = "multi_thread")]
async fn an_array_in_a_scalar_field_never_matches() {
    let columns = r#"{"d.t": {"_id": "int", "a": "int", "o.x": "int", "s": "string", "f": "double", "b": "bool"}}"#;
    let code = "
c.d.t.insert_many([
  {'_id': 1, 'a': 5, 'o': {'x': 5}, 's': 'm', 'f': 1.5, 'b': True},
  {'_id': 2, 'a': [5, 6], 'o': [{'x': 5}], 's': ['m', 'n'], 'f': [1.5], 'b': [True]},
  {'_id': 3, 'a': [None], 'o': {'x': [5]}, 's': [None], 'f': [float('nan')], 'b': [False]},
  {'_id': 4, 'a': None, 'o': [], 's': None, 'f': None, 'b': None},
  {'_id': 5}])
for f in ['a', 'o.x', 's', 'f']: c.d.t.create_index(f)";
    let bed = Bed::start(code, &format!(", columns '{columns}'")).await;
    for (condition, want) in [
        ("a = 5", "1"),
        ("a > 4", "1"),
        ("a <> 7", "1"),
        ("a IN (5, 6)", "1"),
        ("a NOT IN (7)", "1"),
        ("a IS NULL", "2"),
        ("a IS NOT NULL", "1"),
        ("a IS DISTINCT FROM 7", "3"),
        ("\"o.x\" = 5", "1"),
        ("\"o.x\" >= 5", "1"),
        ("\"o.x\" IN (5)", "1"),
        ("\"o.x\" <> 7", "1"),
        ("\"o.x\" IS NOT NULL", "1"),
        ("\"o.x\" IS NULL", "1"),
        ("s = 'm'", "1"),
        ("s LIKE 'm%'", "1"),
        ("s > 'a'", "1"),
        ("f > 1.0", "1"),
        ("f >= 1.5", "1"),
        ("f = 1.5", "1"),
        ("b", "1"),
        ("b IS NOT TRUE", "2"),
        ("NOT b", "0"),
    ] {
        let sql = format!("SELECT count(*) FROM docs.d.t WHERE {condition}");
        assert_eq!(bed.rows(&sql).await.unwrap(), [want], "{sql}\n{}", bed.explain(&sql).await);
    }
    for sql in [
        "SELECT a FROM docs.d.t",
        "SELECT \"o.x\" FROM docs.d.t",
        "SELECT sum(a) FROM docs.d.t",
        "SELECT s, count(*) FROM docs.d.t GROUP BY s",
        "SELECT max(s) FROM docs.d.t",
        "SELECT \"o.x\", count(*) FROM docs.d.t GROUP BY 1",
    ] {
        let e = bed.rows(sql).await.unwrap_err();
        assert_eq!(e.state, fjord_engine::SqlState::FDW_INCONSISTENT_DESCRIPTOR, "{sql}: {e:?}");
        assert!(e.hint.as_deref().unwrap().contains("\"columns\""), "{e:?}");
    }
}
