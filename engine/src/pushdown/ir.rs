//! The remote query IR: a small relational algebra over one connector, positional and serialisable.
//!
//! Columns are ordinals of the input, never names: two columns of one name cannot be confused. A renderer numbers them (`c0`, `c1`, ...). Values
//! are typed; user text never gets into a [`Rel`] other than as a [`Value`] or as a table or column name that introspection gave.

use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};

/// How a type's equality relates to the bytes of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Equality {
    /// Equal exactly when the bytes are.
    Bytewise,
    /// Equal bytes are equal, but other bytes may be equal too (case, accents, padding).
    Coarser,
    /// Not known.
    Unknown,
}

/// How a type's order relates to the bytes of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Order {
    /// The order of the UTF-8 bytes.
    Bytes,
    /// Another (a locale's, an enum's).
    Other,
}

/// What is known of a text expression's collation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TextFacts {
    /// Equality against bytes.
    pub equality: Equality,
    /// Order against bytes.
    pub order: Order,
    /// Comparison ignores trailing blanks.
    pub pads: bool,
    /// The collation's name, for reasons; expressions of two different collations do not meet without an explicit one.
    pub collation: String,
}

/// The kind of a remote type, as far as pushdown tells types apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Family {
    /// Boolean.
    Bool,
    /// Signed integer of so many bits.
    Int(u8),
    /// Unsigned integer of so many bits.
    UInt(u8),
    /// Float of so many bits.
    Float(u8),
    /// Decimal(precision, scale); `None`: unconstrained.
    Decimal(Option<(u8, i8)>),
    /// Variable-length text.
    Text,
    /// Fixed-length, blank-padded text.
    Bpchar,
    /// Case-insensitive text type.
    Citext,
    /// An enum with the labels known at introspection.
    Enum(Vec<String>),
    /// Bytes.
    Bytes,
    /// Date.
    Date,
    /// Time of day.
    Time,
    /// Timestamp without zone.
    Timestamp,
    /// Timestamp with zone (an instant).
    TimestampTz,
    /// Interval.
    Interval,
    /// UUID, read as canonical lower-case text.
    Uuid,
    /// JSON text.
    Json,
    /// Binary JSON, read as its canonical text.
    Jsonb,
    /// Array of an element type.
    Array(Box<RemoteType>),
    /// Anything else, read through its text form: nothing but `IS [NOT] NULL` is pushed.
    Other,
}

/// The type of a remote expression: what it is at the source, and as what it arrives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RemoteType {
    /// The source's own type name (`varchar`, `citext`, `mood`), schema-qualified where it is not built in; for casts and reasons.
    pub name: String,
    /// The kind.
    pub family: Family,
    /// The Arrow type in which it arrives.
    pub arrow: DataType,
    /// May be NULL.
    pub nullable: bool,
    /// Collation facts of a text.
    pub text: Option<TextFacts>,
}

/// A literal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// NULL.
    Null,
    /// Boolean.
    Bool(bool),
    /// Any signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A float, by its bits so that NaN and -0.0 survive.
    Float32(u32),
    /// A double, by its bits.
    Float64(u64),
    /// A decimal in plain digits (`-12.50`).
    Decimal(String),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01T00:00, no zone.
    Timestamp(i64),
    /// Microseconds since 1970-01-01T00:00Z.
    TimestampTz(i64),
    /// Months, days, microseconds.
    Interval(i32, i32, i64),
    /// An array.
    List(Vec<Value>),
}

/// An operator or function. The dialect judges each by its exact signature.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Op {
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
    /// IS DISTINCT FROM
    IsDistinctFrom,
    /// IS NOT DISTINCT FROM
    IsNotDistinctFrom,
    /// AND, two or more
    And,
    /// OR, two or more
    Or,
    /// NOT
    Not,
    /// IS NULL
    IsNull,
    /// IS NOT NULL
    IsNotNull,
    /// IS TRUE
    IsTrue,
    /// IS FALSE
    IsFalse,
    /// IS UNKNOWN
    IsUnknown,
    /// IS NOT TRUE
    IsNotTrue,
    /// IS NOT FALSE
    IsNotFalse,
    /// IS NOT UNKNOWN
    IsNotUnknown,
    /// first IN (rest)
    In,
    /// first NOT IN (rest)
    NotIn,
    /// LIKE, escape is backslash
    Like,
    /// NOT LIKE
    NotLike,
    /// ILIKE
    ILike,
    /// NOT ILIKE
    NotILike,
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
    /// Unary minus
    Negate,
    /// `&` of integers
    BitAnd,
    /// `|` of integers
    BitOr,
    /// Bitwise exclusive or of integers
    BitXor,
    /// Text concatenation
    Concat,
    /// CAST to the judged result type
    Cast,
    /// CASE WHEN a THEN b [WHEN ...] [ELSE z]: pairs, then the optional else
    Case,
    /// COALESCE
    Coalesce,
    /// NULLIF
    NullIf,
    /// A scalar function by DataFusion's name
    Function(String),
    /// What only a dialect makes, when it rewrites (`collate_c`, `as_text`): its own renderer knows it.
    Source(String),
}

/// A typed scalar expression over the columns of the input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Scalar {
    /// Column by ordinal.
    Column(usize),
    /// A literal of a type.
    Literal(Value, RemoteType),
    /// An operator applied.
    Call {
        /// What.
        op: Op,
        /// On what.
        args: Vec<Scalar>,
        /// The result's type.
        ty: RemoteType,
    },
}

/// A column of a scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanColumn {
    /// Its name at the source.
    pub name: String,
    /// Its type.
    pub ty: RemoteType,
}

/// An aggregate function.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AggregateFunction {
    /// COUNT(*)
    CountStar,
    /// COUNT(x)
    Count,
    /// SUM
    Sum,
    /// MIN
    Min,
    /// MAX
    Max,
    /// AVG
    Avg,
    /// BOOL_AND
    BoolAnd,
    /// BOOL_OR
    BoolOr,
    /// Another, by DataFusion's name.
    Other(String),
}

/// An aggregate as it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// The function.
    pub function: AggregateFunction,
    /// Its arguments.
    pub args: Vec<Scalar>,
    /// DISTINCT.
    pub distinct: bool,
    /// FILTER (WHERE ...).
    pub filter: Option<Scalar>,
    /// The type in which it must arrive; the renderer casts where the source's own differs.
    pub ty: RemoteType,
}

/// A sort key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SortKey {
    /// The expression, already rewritten to byte order where it is a text.
    pub expr: Scalar,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST.
    pub nulls_first: bool,
}

/// The kind of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JoinKind {
    /// INNER
    Inner,
    /// LEFT
    Left,
    /// RIGHT
    Right,
    /// FULL
    Full,
    /// EXISTS: columns of the left side only
    Semi,
    /// NOT EXISTS: columns of the left side only
    Anti,
    /// EXISTS as a value: columns of the left side, then true or false, never NULL
    Mark,
}

/// A relational expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Rel {
    /// Some columns of a table.
    Scan {
        /// Schema at the source.
        schema: String,
        /// Table at the source.
        table: String,
        /// Output columns, in order.
        columns: Vec<ScanColumn>,
    },
    /// WHERE.
    Filter {
        /// From.
        input: Box<Rel>,
        /// A boolean.
        predicate: Scalar,
    },
    /// SELECT list.
    Project {
        /// From.
        input: Box<Rel>,
        /// Output columns.
        exprs: Vec<Scalar>,
    },
    /// GROUP BY: output is the keys, then the aggregates.
    Aggregate {
        /// From.
        input: Box<Rel>,
        /// Keys, already rewritten to byte equality. Empty: one row.
        keys: Vec<Scalar>,
        /// Aggregates.
        aggregates: Vec<Aggregate>,
    },
    /// GROUP BY GROUPING SETS: output is the keys (NULL where the set lacks them), the grouping id, then the aggregates.
    GroupingSets {
        /// From.
        input: Box<Rel>,
        /// Keys, already rewritten to byte equality; no two of them use the same column, none is a constant.
        keys: Vec<Scalar>,
        /// The sets, as ordinals of keys; no two are the same.
        sets: Vec<Vec<usize>>,
        /// The type of the grouping id: a bit for each key that the set lacks, the last key's is the least.
        id: RemoteType,
        /// Aggregates.
        aggregates: Vec<Aggregate>,
    },
    /// SELECT DISTINCT over all columns (already byte equality).
    Distinct {
        /// From.
        input: Box<Rel>,
    },
    /// ORDER BY.
    Sort {
        /// From.
        input: Box<Rel>,
        /// Keys.
        keys: Vec<SortKey>,
    },
    /// LIMIT and OFFSET.
    Limit {
        /// From.
        input: Box<Rel>,
        /// OFFSET.
        skip: u64,
        /// LIMIT.
        fetch: Option<u64>,
    },
    /// A join: output is left's columns, then right's (Semi, Anti: left's; Mark: left's, then the mark).
    Join {
        /// Left.
        left: Box<Rel>,
        /// Right.
        right: Box<Rel>,
        /// Kind.
        kind: JoinKind,
        /// ON, over left's columns then right's. `None`: cross.
        on: Option<Scalar>,
    },
    /// UNION ALL of inputs of equal width.
    Union {
        /// From.
        inputs: Vec<Rel>,
    },
}

impl Scalar {
    /// The type, given the input's column types.
    pub fn ty(&self, input: &[RemoteType]) -> Option<RemoteType> {
        match self {
            Scalar::Column(i) => input.get(*i).cloned(),
            Scalar::Literal(_, ty) | Scalar::Call { ty, .. } => Some(ty.clone()),
        }
    }
    /// Applies `op`.
    pub fn call(op: Op, args: Vec<Scalar>, ty: RemoteType) -> Scalar {
        Scalar::Call { op, args, ty }
    }
    /// Replaces each column by what `f` gives for it.
    pub fn map_columns(&self, f: &mut dyn FnMut(usize) -> Scalar) -> Scalar {
        match self {
            Scalar::Column(i) => f(*i),
            Scalar::Literal(..) => self.clone(),
            Scalar::Call { op, args, ty } => {
                Scalar::Call { op: op.clone(), args: args.iter().map(|a| a.map_columns(f)).collect(), ty: ty.clone() }
            }
        }
    }
}

impl RemoteType {
    /// A boolean.
    pub fn boolean(nullable: bool) -> RemoteType {
        RemoteType { name: "boolean".into(), family: Family::Bool, arrow: DataType::Boolean, nullable, text: None }
    }
}

impl Rel {
    /// The types of the output columns.
    pub fn types(&self) -> Vec<RemoteType> {
        match self {
            Rel::Scan { columns, .. } => columns.iter().map(|c| c.ty.clone()).collect(),
            Rel::Filter { input, .. } | Rel::Distinct { input } | Rel::Sort { input, .. } | Rel::Limit { input, .. } => input.types(),
            Rel::Project { input, exprs } => {
                let types = input.types();
                exprs.iter().filter_map(|e| e.ty(&types)).collect()
            }
            Rel::Aggregate { input, keys, aggregates } => {
                let types = input.types();
                keys.iter().filter_map(|k| k.ty(&types)).chain(aggregates.iter().map(|a| a.ty.clone())).collect()
            }
            Rel::GroupingSets { input, keys, id, aggregates, .. } => {
                let types = input.types();
                let keys = keys.iter().filter_map(|k| k.ty(&types)).map(|t| RemoteType { nullable: true, ..t });
                keys.chain([id.clone()]).chain(aggregates.iter().map(|a| a.ty.clone())).collect()
            }
            Rel::Join { left, right, kind, .. } => {
                let mut types = left.types();
                match kind {
                    JoinKind::Semi | JoinKind::Anti => {}
                    JoinKind::Mark => types.push(RemoteType::boolean(false)),
                    _ => types.extend(right.types()),
                }
                let left_width = left.types().len();
                for (i, t) in types.iter_mut().enumerate() {
                    let padded = match kind {
                        JoinKind::Left => i >= left_width,
                        JoinKind::Right => i < left_width,
                        JoinKind::Full => true,
                        _ => false,
                    };
                    t.nullable |= padded;
                }
                types
            }
            Rel::Union { inputs } => inputs.first().map(Rel::types).unwrap_or_default(),
        }
    }
    /// The tables read, as (schema, table), in order of first mention.
    pub fn tables(&self) -> Vec<(String, String)> {
        fn walk(rel: &Rel, out: &mut Vec<(String, String)>) {
            match rel {
                Rel::Scan { schema, table, .. } => {
                    let t = (schema.clone(), table.clone());
                    if !out.contains(&t) {
                        out.push(t);
                    }
                }
                Rel::Filter { input, .. }
                | Rel::Project { input, .. }
                | Rel::Aggregate { input, .. }
                | Rel::GroupingSets { input, .. }
                | Rel::Distinct { input }
                | Rel::Sort { input, .. }
                | Rel::Limit { input, .. } => walk(input, out),
                Rel::Join { left, right, .. } => {
                    walk(left, out);
                    walk(right, out);
                }
                Rel::Union { inputs } => inputs.iter().for_each(|i| walk(i, out)),
            }
        }
        let mut out = vec![];
        walk(self, &mut out);
        out
    }
}
