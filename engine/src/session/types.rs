//! SQL type names as Arrow types, Postgres's way.
//!
//! DataFusion reads `TIMESTAMP` as nanoseconds, which end in 2262 and are truncated when they meet a column of microseconds; `NUMERIC` as
//! numeric(38,10); and does not know `uuid` or `jsonb`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::planner::TypePlanner;
use sqlparser::ast::{self, CharacterLength, ExactNumberInfo, TimezoneInfo};

use crate::functions::LENGTH_HEADER;
use crate::pgtype::{self, PG_TYPES, PG_TYPMOD, PgType};

/// The type planner.
#[derive(Debug, Default)]
pub(crate) struct PostgresTypes {}

impl TypePlanner for PostgresTypes {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> DfResult<Option<FieldRef>> {
        // A field without name and metadata would mean "keep the source's": an int4 column cast to bigint would still be announced as int4. So it has
        // a name; and metadata only where the Arrow type alone would mean another type, because VALUES wants the same of all its rows.
        Ok(pg_type(sql_type).map(|(pg, arrow)| {
            if let Some(length) = length(sql_type) {
                let mut field = pgtype::field("", arrow, true, pg);
                field.metadata_mut().insert(PG_TYPMOD.to_string(), (length + LENGTH_HEADER).to_string());
                return Arc::new(field);
            }
            Arc::new(if PgType::of_arrow(&arrow) == pg { Field::new(pg.name, arrow, true) } else { pgtype::field("", arrow, true, pg) })
        }))
    }
}

/// The characters that `varchar(n)` and `char(n)` hold; `char` alone is `char(1)`.
fn length(t: &ast::DataType) -> Option<i64> {
    use ast::DataType as T;
    match t {
        T::Char(None) | T::Character(None) => Some(1),
        T::Varchar(Some(l)) | T::CharacterVarying(Some(l)) | T::CharVarying(Some(l)) | T::Char(Some(l)) | T::Character(Some(l)) => {
            match l {
                CharacterLength::IntegerLength { length, .. } => i64::try_from(*length).ok(),
                CharacterLength::Max => None,
            }
        }
        _ => None,
    }
}

/// The Postgres type a SQL type name means, and its Arrow type, where DataFusion's own reading is not right.
pub(crate) fn pg_type(t: &ast::DataType) -> Option<(PgType, DataType)> {
    use ast::DataType as T;
    let plain = |pg: PgType| Some((pg, pg.to_arrow()));
    match t {
        T::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) | T::Datetime(_) => plain(pgtype::TIMESTAMP),
        T::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => plain(pgtype::TIMESTAMPTZ),
        T::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => Some((pgtype::TIME, DataType::Time64(TimeUnit::Microsecond))),
        T::Numeric(ExactNumberInfo::None) | T::Decimal(ExactNumberInfo::None) | T::Dec(ExactNumberInfo::None) => plain(pgtype::NUMERIC),
        T::SmallInt(None) | T::Int2(None) => plain(pgtype::INT2),
        T::Int(None) | T::Integer(None) | T::Int4(None) => plain(pgtype::INT4),
        T::BigInt(None) | T::Int8(None) => plain(pgtype::INT8),
        T::Real | T::Float4 => plain(pgtype::FLOAT4),
        T::DoublePrecision | T::Float8 | T::Double(ExactNumberInfo::None) => plain(pgtype::FLOAT8),
        T::Boolean | T::Bool => plain(pgtype::BOOL),
        T::Date => plain(pgtype::DATE),
        T::Interval { fields: None, precision: None } => plain(pgtype::INTERVAL),
        T::Text => plain(pgtype::TEXT),
        T::Varchar(_) | T::CharacterVarying(_) | T::CharVarying(_) => plain(pgtype::VARCHAR),
        T::Char(_) | T::Character(_) => plain(pgtype::BPCHAR),
        T::Uuid => plain(pgtype::UUID),
        T::JSON => plain(pgtype::JSON),
        T::JSONB => plain(pgtype::JSONB),
        T::Bytea => plain(pgtype::BYTEA),
        T::Custom(name, modifiers) if modifiers.is_empty() => {
            let last = name.0.last()?.as_ident()?;
            let lower = last.value.to_lowercase();
            if name.0.len() > 2 || (name.0.len() == 2 && !name.0.first()?.as_ident()?.value.eq_ignore_ascii_case("pg_catalog")) {
                return None;
            }
            let found = PG_TYPES.iter().find(|t| t.name == lower).copied()?;
            plain(found)
        }
        T::Array(ast::ArrayElemTypeDef::SquareBracket(inner, _) | ast::ArrayElemTypeDef::AngleBracket(inner)) => {
            let (element, arrow) = pg_type(inner)?;
            let array = element.array()?;
            let item = Field::new("item", arrow, true).with_metadata([(pgtype::PG_TYPE.to_string(), element.name.to_string())].into());
            Some((array, DataType::List(Arc::new(item))))
        }
        _ => None,
    }
}
