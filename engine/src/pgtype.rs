//! Which Postgres type an Arrow field is: what the wire sends as OID, what pg_catalog shows, what a cast must honour.
//!
//! An Arrow type alone does not tell `uuid` from `text` or `jsonb` from `json`; the name of the Postgres type travels in the field's
//! metadata under [`PG_TYPE`]. A field without it has the default Postgres type of its Arrow type.

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

/// Metadata key: the Postgres type's name as in `pg_type.typname` (`uuid`, `jsonb`, `bpchar`, `_int4`, `numeric`, ...).
pub const PG_TYPE: &str = "pg:type";
/// Metadata key: the `atttypmod` in decimal, where it is not -1.
pub const PG_TYPMOD: &str = "pg:typmod";
/// Metadata key: a type that Postgres does not have built in (an enum, citext, a domain): its own name, for display only.
pub const SOURCE_TYPE: &str = "fjord:source_type";

/// A Postgres type as the wire needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PgType {
    /// `pg_type.oid`; only built-in types, whose OIDs are fixed.
    pub oid: u32,
    /// `pg_type.typname`.
    pub name: &'static str,
    /// `pg_type.typlen`: bytes, or -1 for varlena.
    pub len: i16,
    /// The array type over it, 0 where there is none.
    pub array_oid: u32,
    /// The element type's OID, 0 for a scalar.
    pub element_oid: u32,
    /// The name in SQL (`format_type`).
    pub sql_name: &'static str,
}

macro_rules! types {
    ($($konst:ident = $oid:literal $name:literal $len:literal $arr:literal $aname:literal $sql:literal;)*) => {
        $(#[doc = concat!("`", $sql, "`.")] pub const $konst: PgType = PgType { oid: $oid, name: $name, len: $len, array_oid: $arr, element_oid: 0, sql_name: $sql };)*
        /// Every scalar type followed by its array type.
        pub const PG_TYPES: &[PgType] = &[$($konst, PgType { oid: $arr, name: $aname, len: -1, array_oid: 0, element_oid: $oid, sql_name: concat!($sql, "[]") },)*];
    };
}

// OIDs and lengths: src/include/catalog/pg_type.dat of PostgreSQL 15.
types! {
    BOOL = 16 "bool" 1 1000 "_bool" "boolean";
    BYTEA = 17 "bytea" -1 1001 "_bytea" "bytea";
    CHAR = 18 "char" 1 1002 "_char" "\"char\"";
    NAME = 19 "name" 64 1003 "_name" "name";
    INT8 = 20 "int8" 8 1016 "_int8" "bigint";
    INT2 = 21 "int2" 2 1005 "_int2" "smallint";
    INT2VECTOR = 22 "int2vector" -1 1006 "_int2vector" "int2vector";
    INT4 = 23 "int4" 4 1007 "_int4" "integer";
    REGPROC = 24 "regproc" 4 1008 "_regproc" "regproc";
    TEXT = 25 "text" -1 1009 "_text" "text";
    OID = 26 "oid" 4 1028 "_oid" "oid";
    OIDVECTOR = 30 "oidvector" -1 1013 "_oidvector" "oidvector";
    JSON = 114 "json" -1 199 "_json" "json";
    XML = 142 "xml" -1 143 "_xml" "xml";
    CIDR = 650 "cidr" -1 651 "_cidr" "cidr";
    FLOAT4 = 700 "float4" 4 1021 "_float4" "real";
    FLOAT8 = 701 "float8" 8 1022 "_float8" "double precision";
    MACADDR8 = 774 "macaddr8" 8 775 "_macaddr8" "macaddr8";
    MONEY = 790 "money" 8 791 "_money" "money";
    MACADDR = 829 "macaddr" 6 1040 "_macaddr" "macaddr";
    INET = 869 "inet" -1 1041 "_inet" "inet";
    BPCHAR = 1042 "bpchar" -1 1014 "_bpchar" "character";
    VARCHAR = 1043 "varchar" -1 1015 "_varchar" "character varying";
    DATE = 1082 "date" 4 1182 "_date" "date";
    TIME = 1083 "time" 8 1183 "_time" "time without time zone";
    TIMESTAMP = 1114 "timestamp" 8 1115 "_timestamp" "timestamp without time zone";
    TIMESTAMPTZ = 1184 "timestamptz" 8 1185 "_timestamptz" "timestamp with time zone";
    INTERVAL = 1186 "interval" 16 1187 "_interval" "interval";
    TIMETZ = 1266 "timetz" 12 1270 "_timetz" "time with time zone";
    BIT = 1560 "bit" -1 1561 "_bit" "bit";
    VARBIT = 1562 "varbit" -1 1563 "_varbit" "bit varying";
    NUMERIC = 1700 "numeric" -1 1231 "_numeric" "numeric";
    REGCLASS = 2205 "regclass" 4 2210 "_regclass" "regclass";
    REGTYPE = 2206 "regtype" 4 2211 "_regtype" "regtype";
    REGNAMESPACE = 4089 "regnamespace" 4 4090 "_regnamespace" "regnamespace";
    REGROLE = 4096 "regrole" 4 4097 "_regrole" "regrole";
    UUID = 2950 "uuid" 16 2951 "_uuid" "uuid";
    JSONB = 3802 "jsonb" -1 3807 "_jsonb" "jsonb";
    INT4RANGE = 3904 "int4range" -1 3905 "_int4range" "int4range";
    NUMRANGE = 3906 "numrange" -1 3907 "_numrange" "numrange";
    TSRANGE = 3908 "tsrange" -1 3909 "_tsrange" "tsrange";
    TSTZRANGE = 3910 "tstzrange" -1 3911 "_tstzrange" "tstzrange";
    DATERANGE = 3912 "daterange" -1 3913 "_daterange" "daterange";
    INT8RANGE = 3926 "int8range" -1 3927 "_int8range" "int8range";
}

impl PgType {
    /// The type of an OID, if it is one that Fjord knows.
    pub fn by_oid(oid: u32) -> Option<PgType> {
        PG_TYPES.iter().copied().find(|t| t.oid == oid)
    }
    /// The type of a `typname`.
    pub fn by_name(name: &str) -> Option<PgType> {
        PG_TYPES.iter().copied().find(|t| t.name == name)
    }
    /// The array type over this one.
    pub fn array(self) -> Option<PgType> {
        PgType::by_oid(self.array_oid)
    }
    /// The element type of an array.
    pub fn element(self) -> Option<PgType> {
        PgType::by_oid(self.element_oid)
    }
    /// The type of a field: by its metadata, else the default of its Arrow type. Types that Postgres lacks become the nearest that holds them
    /// without loss (unsigned 64 bit: numeric), structs and maps their JSON.
    /// A cast leaves the metadata of its operand in its field: what cannot be of the Arrow type is not believed.
    pub fn of(field: &Field) -> PgType {
        let default = PgType::of_arrow(field.data_type());
        match field.metadata().get(PG_TYPE).and_then(|n| PgType::by_name(n)) {
            Some(named) if named == default || field.data_type().is_null() => named,
            Some(INT2 | INT4 | INT8 | FLOAT4 | FLOAT8 | BOOL | DATE | TIMESTAMP | TIMESTAMPTZ) => default,
            // Numbers are texts where they have more digits than a decimal.
            Some(NUMERIC) if matches!(default, INT2 | INT4 | INT8 | FLOAT4 | FLOAT8) => default,
            Some(TEXT | VARCHAR | BPCHAR) if default != TEXT => default,
            Some(named) => named,
            None => default,
        }
    }
    /// The default type of an Arrow type.
    pub fn of_arrow(t: &DataType) -> PgType {
        match t {
            DataType::Boolean => BOOL,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => INT2,
            DataType::Int32 | DataType::UInt16 => INT4,
            DataType::Int64 | DataType::UInt32 => INT8,
            DataType::UInt64 | DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
                NUMERIC
            }
            DataType::Float16 | DataType::Float32 => FLOAT4,
            DataType::Float64 => FLOAT8,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => BYTEA,
            DataType::Date32 | DataType::Date64 => DATE,
            DataType::Time32(_) | DataType::Time64(_) => TIME,
            DataType::Timestamp(_, None) => TIMESTAMP,
            DataType::Timestamp(_, Some(_)) => TIMESTAMPTZ,
            DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
            DataType::List(f)
            | DataType::LargeList(f)
            | DataType::ListView(f)
            | DataType::LargeListView(f)
            | DataType::FixedSizeList(f, _) => {
                // An array of arrays has the array type of its innermost element, as in Postgres.
                let inner = PgType::of(f);
                if inner.element_oid != 0 { inner } else { inner.array().unwrap_or(JSON) }
            }
            DataType::Dictionary(_, v) => PgType::of_arrow(v),
            DataType::RunEndEncoded(_, v) => PgType::of(v),
            DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => JSON,
            DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => TEXT,
        }
    }
    /// The Arrow type in which a parameter or a cast of this type is held. Numeric without precision is `Decimal256(76, 38)`.
    pub fn to_arrow(self) -> DataType {
        if let Some(e) = self.element() {
            return DataType::List(std::sync::Arc::new(
                Field::new("item", e.to_arrow(), true).with_metadata([(PG_TYPE.to_string(), e.name.to_string())].into()),
            ));
        }
        match self {
            BOOL => DataType::Boolean,
            BYTEA => DataType::Binary,
            INT8 => DataType::Int64,
            INT2 => DataType::Int16,
            INT4 => DataType::Int32,
            OID | REGCLASS | REGTYPE | REGPROC | REGNAMESPACE | REGROLE => DataType::UInt32,
            FLOAT4 => DataType::Float32,
            FLOAT8 => DataType::Float64,
            DATE => DataType::Date32,
            TIME => DataType::Time64(TimeUnit::Microsecond),
            TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
            TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
            NUMERIC => DataType::Decimal256(76, 38),
            // Lists that count from 0; pg_catalog alone has them.
            INT2VECTOR => DataType::new_list(DataType::Int16, true),
            OIDVECTOR => DataType::new_list(DataType::UInt32, true),
            _ => DataType::Utf8,
        }
    }
}

/// The element type of the vectors of pg_catalog: lists that count from 0, written `1 2 3`. `None` for any other type.
pub fn vector_element(pg: PgType) -> Option<PgType> {
    match pg {
        INT2VECTOR => Some(INT2),
        OIDVECTOR => Some(OID),
        _ => None,
    }
}

/// A field that carries its Postgres type.
pub fn field(name: impl Into<String>, data_type: DataType, nullable: bool, pg: PgType) -> Field {
    Field::new(name, data_type, nullable).with_metadata([(PG_TYPE.to_string(), pg.name.to_string())].into())
}
