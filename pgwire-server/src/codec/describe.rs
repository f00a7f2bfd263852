//! What RowDescription says of a result's columns.

use arrow::datatypes::Schema;
use fjord_engine::pgtype::PgType;
use fjord_engine::values::{Format, typmod, wire_type};
use pgwire::messages::data::FieldDescription;

/// The columns of RowDescription; `formats` has one entry per column.
pub fn describe(schema: &Schema, formats: &[Format]) -> Vec<FieldDescription> {
    schema
        .fields()
        .iter()
        .enumerate()
        .map(|(i, field)| {
            let pg = wire_type(field);
            // A typmod belongs to the type it was given with.
            let typmod = if pg == PgType::of(field) { typmod(field) } else { -1 };
            let format = formats.get(i).copied().unwrap_or_default();
            FieldDescription::new(field.name().clone(), 0, 0, pg.oid, pg.len, typmod, format.code())
        })
        .collect()
}
