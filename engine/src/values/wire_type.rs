//! The Postgres type a column of Arrow values is announced with.

use crate::pgtype::{self, PG_TYPMOD, PgType};
use arrow::datatypes::{DataType, Field};

use super::array::ListRef;
use super::cell::is_reg;

/// The type a column is announced with: the field's Postgres type where its Arrow values can be written as that type in text *and* binary, else the
/// default of its Arrow type. So a type that Fjord holds as text without knowing its binary form (a range, money) is announced as text.
pub fn wire_type(field: &Field) -> PgType {
    let pg = PgType::of(field);
    if is_written(field.data_type(), pg) { pg } else { default_type(field.data_type()) }
}

/// `atttypmod`, -1 where there is none.
pub fn typmod(field: &Field) -> i32 {
    field.metadata().get(PG_TYPMOD).and_then(|m| m.parse().ok()).unwrap_or(-1)
}

fn default_type(t: &DataType) -> PgType {
    match t {
        DataType::Dictionary(_, v) => default_type(v),
        DataType::RunEndEncoded(_, v) => wire_type(v),
        _ => match ListRef::element_of(t) {
            Some(element) => {
                let inner = wire_type(element);
                if inner.element_oid != 0 { inner } else { inner.array().unwrap_or(pgtype::JSON) }
            }
            None => PgType::of_arrow(t),
        },
    }
}

/// The pairs of Arrow and Postgres types that `cell` writes.
fn is_written(t: &DataType, pg: PgType) -> bool {
    match t {
        DataType::Null => true,
        DataType::Dictionary(_, v) => is_written(v, pg),
        DataType::RunEndEncoded(_, v) => is_written(v.data_type(), pg),
        DataType::Boolean => pg == pgtype::BOOL,
        t if t.is_integer() => is_reg(pg) || [pgtype::INT2, pgtype::INT4, pgtype::INT8, pgtype::OID, pgtype::NUMERIC].contains(&pg),
        DataType::Float16 | DataType::Float32 => [pgtype::FLOAT4, pgtype::FLOAT8].contains(&pg),
        DataType::Float64 => pg == pgtype::FLOAT8,
        t if t.is_decimal() => pg == pgtype::NUMERIC,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if is_reg(pg) => true,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => [
            pgtype::TEXT,
            pgtype::VARCHAR,
            pgtype::BPCHAR,
            pgtype::NAME,
            pgtype::CHAR,
            pgtype::XML,
            pgtype::JSON,
            pgtype::JSONB,
            pgtype::UUID,
            pgtype::INET,
            pgtype::CIDR,
            pgtype::MACADDR,
            pgtype::MACADDR8,
            pgtype::BIT,
            pgtype::VARBIT,
            pgtype::TIMETZ,
            pgtype::NUMERIC,
        ]
        .contains(&pg),
        DataType::FixedSizeBinary(16) => [pgtype::BYTEA, pgtype::UUID].contains(&pg),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => pg == pgtype::BYTEA,
        DataType::Date32 | DataType::Date64 => pg == pgtype::DATE,
        DataType::Time32(_) | DataType::Time64(_) => pg == pgtype::TIME,
        DataType::Timestamp(_, zone) => pg == if zone.is_some() { pgtype::TIMESTAMPTZ } else { pgtype::TIMESTAMP },
        DataType::Interval(_) | DataType::Duration(_) => pg == pgtype::INTERVAL,
        DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => [pgtype::JSON, pgtype::JSONB].contains(&pg),
        _ => match ListRef::element_of(t) {
            Some(e) if e.data_type().is_integer() && pgtype::vector_element(pg).is_some() => true,
            Some(_) if [pgtype::JSON, pgtype::JSONB].contains(&pg) => true,
            Some(element) => {
                let mut inner = element;
                while let Some(deeper) = ListRef::element_of(inner.data_type()) {
                    inner = deeper;
                }
                pg.element().is_some_and(|e| is_written(inner.data_type(), e))
            }
            None => false,
        },
    }
}
