//! Results on the Postgres wire: what RowDescription says ([`describe`]), DataRow ([`RowEncoder`]) and COPY ([`CopyEncoder`]) messages.
//!
//! How a value is written and read stands in [`fjord_engine::values`]; what is here puts values into rows (golden files: `tests/golden/`).

mod copy;
mod describe;
mod row;

pub use copy::{CopyEncoder, CopyFormat, CopyOptions};
pub use describe::describe;
pub use fjord_engine::values::{ByteaOutput, DateOrder, EncodeSettings, Format, Zone, decode_param, decode_params, wire_type};
pub use row::{BoundBatch, RowEncoder};
