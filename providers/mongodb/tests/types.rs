//! Every BSON type at its edges: what is read is what pymongo shows; and what becomes of documents that do not fit.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use fjord_engine::SqlState;
use support::*;

/// One collection for each type, and one in which a field has all of them.
const EDGES: &str = r#"
edges = {
  'i': [0, 1, -1, 2147483647, -2147483648],
  'l': [Int64(0), Int64(9223372036854775807), Int64(-9223372036854775808), Int64(5), 7],
  'd': [0.0, -0.0, 1.5, 1e308, 5e-324, float('inf'), float('-inf'), float('nan'), 0.1, 3, 1e16, 123456789.125],
  'dec': [Decimal128('0'), Decimal128('-12.50'), Decimal128('1E+20'), Decimal128('1E-38'), Decimal128('9999999999999999999999999999999999'),
          Decimal128('0.1234567890123456789012345678901234'), Decimal128('-0'), 5, Int64(-9223372036854775808)],
  'b': [True, False],
  's': ['', 'a', 'é', 'e\u0301', '日本', '😀', 'a\0b', "it's", '\\', '"', '\n', ' x '],
  'o': [ObjectId('000000000000000000000000'), ObjectId('ffffffffffffffffffffffff'), ObjectId('507f1f77bcf86cd799439011')],
  'u': [bson.Binary.from_uuid(uuid.UUID('00000000-0000-0000-0000-000000000000')), bson.Binary.from_uuid(uuid.UUID('ffffffff-ffff-ffff-ffff-fffffffffffe'))],
  'bin': [b'', b'\0', b'\xff\0x', bytes(range(256))],
  't': [bson.DatetimeMS(0), bson.DatetimeMS(-1), bson.DatetimeMS(1709164799999), bson.DatetimeMS(253402300799999), bson.DatetimeMS(-62135596800000)],
}
"#;

fn filled() -> String {
    format!(
        "{EDGES}
for name, values in edges.items():
    c.types[name].insert_many([{{'_id': n, 'v': v, 'in': {{'v': v, 'w': {{'v': v}}}}, 'l': [v, None, v]}} for n, v in enumerate(values)] + [{{'_id': 100, 'v': None}}, {{'_id': 101}}])
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_at_its_edges_is_what_the_client_shows() {
    let bed = Bed::start(&filled(), "").await;
    // What pymongo reads, in the form in which a row is shown here.
    let expect = r#"
def shown(v):
    if v is None: return 'NULL'
    if v is True: return 'true'
    if v is False: return 'false'
    if isinstance(v, uuid.UUID): return str(v)
    if isinstance(v, bytes): return v.hex()
    if isinstance(v, bson.DatetimeMS):
        ms = int(v)
        d = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=ms)
        return d.strftime('%Y-%m-%dT%H:%M:%S').rjust(19, '0') + ('.%03d' % (ms % 1000) if ms % 1000 else '') + 'Z'
    if isinstance(v, Decimal128) or (kind == 'dec' and isinstance(v, int)):
        d = v.to_decimal() if isinstance(v, Decimal128) else v
        import decimal
        with decimal.localcontext() as x:
            x.prec = 100
            return format(abs(decimal.Decimal(d)) if d == 0 else decimal.Decimal(d), '.38f')
    return str(v)
options = bson.codec_options.CodecOptions(uuid_representation=bson.binary.UuidRepresentation.STANDARD, datetime_conversion=bson.codec_options.DatetimeConversion.DATETIME_MS)
kind = sys.argv[2]
for doc in c.types.get_collection(kind, codec_options=options).find().sort('_id'):
    print(json.dumps(shown(doc.get('v'))))
"#;
    for kind in ["i", "l", "dec", "b", "s", "o", "u", "bin", "t"] {
        let theirs: Vec<String> =
            bed.server.python_with(expect, &[kind]).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        for column in ["v", "\"in.v\""] {
            let sql = format!("SELECT {column} FROM docs.types.{kind} ORDER BY _id");
            let ours = bed.rows(&sql).await.unwrap();
            let theirs: Vec<String> = match column {
                "v" => theirs.clone(),
                // Missing above it is missing.
                _ => theirs.iter().enumerate().map(|(n, t)| if n + 2 >= theirs.len() { "NULL".into() } else { t.clone() }).collect(),
            };
            assert_eq!(ours, theirs, "{kind} {column}");
        }
        // Elements of lists are values as any.
        let of_list =
            bed.rows(&format!("SELECT l[1] IS NOT DISTINCT FROM v AND l[2] IS NULL FROM docs.types.{kind} WHERE _id < 100")).await.unwrap();
        assert!(of_list.iter().all(|r| r == "true"), "{kind}: {of_list:?}");
    }
    // Doubles by their bits.
    let bits = "import struct\nfor d in c.types.d.find().sort('_id'):\n    v = d.get('v')\n    print('NULL' if v is None else ('nan' if v != v else struct.pack('>d', v).hex()))";
    let theirs: Vec<String> = bed.server.python(bits).unwrap().lines().map(ToString::to_string).collect();
    let ours: Vec<String> = bed
        .rows("SELECT v FROM docs.types.d ORDER BY _id")
        .await
        .unwrap()
        .iter()
        .map(|v| match v.as_str() {
            "NULL" => "NULL".into(),
            v => {
                let f: f64 = v.parse().unwrap();
                if f.is_nan() { "nan".into() } else { format!("{:016x}", f.to_bits()) }
            }
        })
        .collect();
    assert_eq!(ours, theirs);
}

/// All types in one field are extended JSON, as the client library writes it.
#[tokio::test(flavor = "multi_thread")]
async fn mixed_types_are_extended_json() {
    let code = format!(
        "{EDGES}
from bson.regex import Regex
all = [v for values in edges.values() for v in values] + [Regex('a.b', 'im'), Timestamp(1700000000, 3), Code('f()'), Code('g()', {{'x': 1}}), MinKey(), MaxKey(),
    bson.Binary(b'abc', 5), bson.Binary(b'0123456789abcdef', 3), bson.Binary(b'', 128), {{'a': {{'b': [1, {{'c': None}}]}}, '$x': 1, 'y.z': 2}}, [], {{}}, [[1], ['x', 1.5]], DBRef('c', 1)]
c.types.mixed.insert_many([{{'_id': n, 'v': v}} for n, v in enumerate(all)])
"
    );
    let bed = Bed::start(&code, ", raw_column true").await;
    let expect = r"
options = bson.json_util.RELAXED_JSON_OPTIONS
raw = c.types.get_collection('mixed', codec_options=bson.codec_options.CodecOptions(document_class=bson.SON, datetime_conversion=bson.codec_options.DatetimeConversion.DATETIME_MS))
for d in raw.find().sort('_id'):
    print(bson.json_util.dumps(d['v'], json_options=options))
";
    let theirs = bed.server.python(expect).unwrap();
    let ours = bed.rows("SELECT v FROM docs.types.mixed ORDER BY _id").await.unwrap();
    let theirs: Vec<&str> = theirs.lines().collect();
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(theirs) {
        let (x, y): (serde_json::Value, serde_json::Value) = (serde_json::from_str(a).unwrap(), serde_json::from_str(b).unwrap());
        assert_eq!(x, y, "{a} is not {b}");
    }
    let raw = bed.rows("SELECT _raw FROM docs.types.mixed WHERE _id = 3").await.unwrap();
    assert_eq!(raw, [r#"{"_id":3,"v":2147483647}"#]);
    // Typed access.
    assert_eq!(bed.rows("SELECT v -> 'a' -> 'b' ->> 0 FROM docs.types.mixed WHERE v ->> 'a' IS NOT NULL").await.unwrap(), ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_does_not_fit_makes_the_column_wider_and_never_null() {
    let bed = Bed::start("c.d.t.insert_many([{'_id': n, 'a': n, 'o': {'x': n}, 's': 's%d' % n} for n in range(50)])", "").await;
    assert_eq!(bed.rows("SELECT sum(a), count(s) FROM docs.d.t").await.unwrap(), ["1225|50"]);
    // A wider integer: the column becomes a bigint, and the query is planned again.
    bed.server.python("c.d.t.insert_one({'_id': 50, 'a': Int64(2**40), 'o': {'x': 1}, 's': 's50'})").unwrap();
    assert_eq!(bed.rows("SELECT a FROM docs.d.t WHERE _id = 50").await.unwrap(), ["1099511627776"]);
    assert_eq!(bed.rows("SELECT count(*) FROM docs.d.t WHERE a > 48").await.unwrap(), ["2"]);
    // A text: it becomes json. Old values stay readable.
    bed.server.python("c.d.t.insert_one({'_id': 51, 'a': 'x', 'o': [1], 's': 's51'})").unwrap();
    assert_eq!(bed.rows("SELECT a FROM docs.d.t WHERE _id > 48 ORDER BY _id").await.unwrap(), ["49", "1099511627776", "\"x\""]);
    // Above a field of an object: an array. The path is gone then, the object is there.
    let e = bed.rows("SELECT \"o.x\" FROM docs.d.t WHERE _id = 51").await;
    assert!(e.is_err(), "{e:?}");
    assert_eq!(bed.rows("SELECT o FROM docs.d.t WHERE _id > 49 ORDER BY _id").await.unwrap(), ["{\"x\":1}", "[1]"]);
    // Inside of $group such a value would be passed over.
    bed.server.python("c.d.g.insert_many([{'_id': n, 'k': n % 3, 'v': 1} for n in range(2000)])").unwrap();
    bed.rows("ALTER CONNECTOR docs REFRESH SCHEMA").await.unwrap();
    assert_eq!(bed.rows("SELECT k, sum(v) FROM docs.d.g GROUP BY k ORDER BY k").await.unwrap(), ["0|667", "1|667", "2|666"]);
    bed.server.python("c.d.g.update_one({'_id': 5}, {'$set': {'v': 'many'}})").unwrap();
    // It is found, the column is json then, and json has no sum.
    let e = bed.rows("SELECT k, sum(v) FROM docs.d.g GROUP BY k ORDER BY k").await.unwrap_err();
    assert!(e.state != SqlState::INTERNAL_ERROR && e.state != SqlState::FDW_INCONSISTENT_DESCRIPTOR, "{e:?}");
    assert_eq!(bed.rows("SELECT v FROM docs.d.g WHERE _id = 5").await.unwrap(), ["\"many\""]);
    // A key that is wider than its column: the column becomes a bigint.
    bed.server.python("c.d.w.insert_many([{'_id': n, 'k': 1} for n in range(2000)])").unwrap();
    bed.rows("ALTER CONNECTOR docs REFRESH SCHEMA").await.unwrap();
    bed.server.python("c.d.w.update_one({'_id': 8}, {'$set': {'k': Int64(2**40)}})").unwrap();
    assert_eq!(bed.rows("SELECT k, count(*) FROM docs.d.w GROUP BY k ORDER BY k").await.unwrap(), ["1|1999", "1099511627776|1"]);
    // It is told.
    let told = bed.rows("VALIDATE CONNECTOR docs").await.unwrap().join("\n");
    assert!(told.contains("drift") && told.contains("\"d\".\"t\": column \"a\" is int, and a document has long there"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_come_from_the_list_the_validator_and_the_sample() {
    let code = r"
d = c.d
d.create_collection('v', validator={'$jsonSchema': {'bsonType': 'object', 'properties': {'n': {'bsonType': 'long'}, 'when': {'bsonType': ['date', 'null']}, 'o': {'bsonType': 'object', 'properties': {'deep': {'bsonType': 'string'}}}}}})
d.v.insert_one({'_id': 1, 'n': Int64(5), 'extra': 'x'})
d.create_collection('empty')
d.listed.insert_many([{'_id': 1, 'a': 1, 'b': {'c': 'x'}}, {'_id': 2, 'a': 'no int', 'b': {'c': 'y'}}])
d.command('create', 'seen', viewOn='listed', pipeline=[{'$match': {'_id': 1}}])
d.command('create', 'german', viewOn='listed', pipeline=[], collation={'locale': 'de', 'strength': 1})
d.strange.insert_one({'_id': {'x': 1, 'y': 'z'}, 'a b': 1, 'ÄÖ': 2, 'x.y': 3, '$d': 4, 'q\x22': 5})
c.other.t.insert_one({'_id': 'k'})
";
    let columns = r#"{"d.listed": {"_id": "int", "a": "int", "b.c": "string"}}"#;
    let bed = Bed::start(code, &format!(", columns '{columns}', exclude_tables 'other.*'")).await;
    assert_eq!(bed.rows("SELECT n, extra, \"o.deep\", \"when\" FROM docs.d.v").await.unwrap(), ["5|x|NULL|NULL"]);
    assert_eq!(bed.rows("SELECT count(*), count(_id) FROM docs.d.empty").await.unwrap(), ["0|0"]);
    assert_eq!(bed.rows("SELECT a, \"b.c\" FROM docs.d.listed WHERE _id = 1").await.unwrap(), ["1|x"]);
    // A declared column never gives way.
    let e = bed.rows("SELECT a FROM docs.d.listed").await.unwrap_err();
    assert!(e.message.contains("\"a\" is int, and a document has string there") && e.hint.as_deref().unwrap().contains("columns"), "{e:?}");
    assert_eq!(bed.rows("SELECT \"b.c\" FROM docs.d.listed ORDER BY _id").await.unwrap(), ["x", "y"]);
    assert_eq!(bed.rows("SELECT a, \"b.c\" FROM docs.d.seen").await.unwrap(), ["1|x"]);
    bed.same("SELECT _id, \"b.c\" FROM docs.d.german WHERE \"b.c\" = 'X'").await;
    bed.same("SELECT _id FROM docs.d.german WHERE \"b.c\" >= 'X' ORDER BY \"b.c\" DESC LIMIT 1").await;
    assert_eq!(
        bed.rows("SELECT _id, \"_id.x\", \"_id.y\", \"a b\", \"ÄÖ\", \"q\"\"\" FROM docs.d.strange").await.unwrap(),
        ["{\"x\":1,\"y\":\"z\"}|1|z|1|2|5"]
    );
    assert!(bed.rows("SELECT * FROM docs.other.t").await.is_err());
}
