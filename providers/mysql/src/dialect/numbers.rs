//! What numbers a column can hold, and whether a literal is one of them.
//!
//! The servers put a literal that is compared with a column into the column's own type, to look it up in an index: MariaDB finds the zeros for
//! `i = 0.3333`, and what is too large may become the largest. So a literal that the column could not hold exactly is not sent.

use arrow::datatypes::DataType;
use fjord_engine::pushdown::{Family, RemoteType, Value};

use super::cast::WIDE_FROM;

/// The name of the number at the source, without the widenings.
pub(super) fn own_name(ty: &RemoteType) -> &str {
    ty.name.strip_prefix(WIDE_FROM).unwrap_or(&ty.name)
}

/// It is unsigned at the source: arithmetic below zero raises there.
pub(super) fn is_unsigned(ty: &RemoteType) -> bool {
    matches!(ty.family, Family::UInt(_)) || own_name(ty).contains("unsigned") || own_name(ty).contains("zerofill")
}

/// The least and greatest integer that a type of this name holds; of more than its name says, all that 64 bits hold.
pub(super) fn range(ty: &RemoteType) -> (i128, i128) {
    let name = own_name(ty);
    let bits = match name {
        n if n.starts_with("tinyint") => 8,
        n if n.starts_with("smallint") => 16,
        n if n.starts_with("mediumint") => 24,
        n if n.starts_with("int") => 32,
        _ => 64,
    };
    match is_unsigned(ty) {
        true => (0, (1i128 << bits) - 1),
        false => (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1),
    }
}

/// Digits before and behind the point of a decimal column, where its name or its type says them.
fn digits(ty: &RemoteType) -> Option<(usize, usize)> {
    let name = own_name(ty);
    if let Some((p, s)) = name.strip_prefix("decimal(").and_then(|r| r.split(')').next()).and_then(|r| r.split_once(',')) {
        let (p, s): (usize, usize) = (p.trim().parse().ok()?, s.trim().parse().ok()?);
        return Some((p.saturating_sub(s), s));
    }
    match &ty.arrow {
        // Widened from what has no name: unknown.
        _ if ty.name.starts_with(WIDE_FROM) => None,
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => {
            let s = usize::try_from(*s).ok()?;
            Some((usize::from(*p).saturating_sub(s), s))
        }
        _ => None,
    }
}

/// Whether a column of this type could hold the literal exactly.
pub(super) fn holds(ty: &RemoteType, literal: &Value) -> Result<(), String> {
    let no = || Err("a number that the column could not hold exactly is compared here: the source would round it".to_string());
    let decimal = own_name(ty).starts_with("decimal") || matches!(ty.family, Family::Decimal(_)) && !own_name(ty).contains("int");
    let plain;
    let text = match literal {
        Value::Int(v) => {
            plain = v.to_string();
            plain.as_str()
        }
        Value::UInt(v) => {
            plain = v.to_string();
            plain.as_str()
        }
        Value::Decimal(d) => d.as_str(),
        _ => return Ok(()),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0').len();
    if decimal {
        let count = whole.trim_start_matches(['-', '0']).len();
        return match digits(ty) {
            Some((before, behind)) if count <= before && fraction <= behind && (!whole.starts_with('-') || !is_unsigned(ty)) => Ok(()),
            _ => no(),
        };
    }
    let (least, greatest) = range(ty);
    match whole.parse::<i128>() {
        Ok(v) if fraction == 0 && v >= least && v <= greatest => Ok(()),
        _ => no(),
    }
}

/// Whether a moment has no finer parts than the type holds (`datetime(3)`), which would be rounded.
pub(super) fn fine_enough(ty: &RemoteType, micros: i64) -> Result<(), String> {
    let digits: u32 = ty.name.split_once('(').and_then(|(_, r)| r.split(')').next()).and_then(|d| d.parse().ok()).unwrap_or(0);
    let unit = 10i64.pow(6 - digits.min(6));
    match micros % unit == 0 {
        true => Ok(()),
        false => Err("a moment finer than the column holds is compared here: the source would round it".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ty(name: &str, family: Family, arrow: DataType) -> RemoteType {
        RemoteType { name: name.into(), family, arrow, nullable: true, text: None }
    }

    #[test]
    fn only_what_a_column_can_hold_is_sent() {
        let int = ty("int(11)", Family::Int(32), DataType::Int32);
        assert!(holds(&int, &Value::Int(5)).is_ok() && holds(&int, &Value::Int(1 << 31)).is_err());
        let wide = ty("wide from int(11)", Family::Decimal(Some((20, 10))), DataType::Decimal128(20, 10));
        assert!(holds(&wide, &Value::Decimal("5.0000000000".into())).is_ok());
        assert!(holds(&wide, &Value::Decimal("0.3333333333".into())).is_err());
        let unsigned = ty("bigint(20) unsigned", Family::UInt(64), DataType::UInt64);
        assert!(holds(&unsigned, &Value::UInt(u64::MAX)).is_ok() && holds(&unsigned, &Value::Int(-1)).is_err());
        let medium = ty("mediumint(9)", Family::Int(32), DataType::Int32);
        assert!(holds(&medium, &Value::Int(8_388_607)).is_ok() && holds(&medium, &Value::Int(8_388_608)).is_err());
        let decimal = ty("decimal(5,2)", Family::Decimal(Some((5, 2))), DataType::Decimal128(5, 2));
        assert!(holds(&decimal, &Value::Decimal("-999.99".into())).is_ok() && holds(&decimal, &Value::Decimal("0.10000".into())).is_ok());
        assert!(holds(&decimal, &Value::Decimal("1000".into())).is_err() && holds(&decimal, &Value::Decimal("0.005".into())).is_err());
        assert!(fine_enough(&ty("datetime", Family::Timestamp, DataType::Date32), 1_000_000).is_ok());
        assert!(fine_enough(&ty("datetime(3)", Family::Timestamp, DataType::Date32), 1_500).is_err());
    }
}
