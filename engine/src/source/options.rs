//! Connector options: one typed table per connector type.
//!
//! The table validates CREATE and ALTER, and renders `sys.connector_options`, SHOW CONNECTOR TYPES and the docs pages.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::error::{Result, SqlError, SqlState};

/// One option of a connector type.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    /// The name, lower snake case.
    pub name: &'static str,
    /// What values it takes.
    pub kind: OptionKind,
    /// The value where none is given, as a user would write it.
    pub default: Option<&'static str>,
    /// CREATE fails without it.
    pub required: bool,
    /// One line of documentation, with units and range.
    pub doc: &'static str,
}

/// What values an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// Any text.
    Text,
    /// A secret: `SECRET name` always works; a literal is stored encrypted or refused.
    Secret,
    /// A whole number from min to max.
    Integer(i64, i64),
    /// true or false.
    Boolean,
    /// `'500ms'`, `'5s'`, `'2min'`, `'1h'`; a bare number is seconds.
    Duration,
    /// `'64MB'`; a bare number is bytes.
    Size,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A comma-separated list of texts.
    List,
}

impl fmt::Display for OptionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionKind::Text => f.write_str("text"),
            OptionKind::Secret => f.write_str("secret"),
            OptionKind::Integer(a, b) => write!(f, "integer {a}..{b}"),
            OptionKind::Boolean => f.write_str("boolean"),
            OptionKind::Duration => f.write_str("duration"),
            OptionKind::Size => f.write_str("size"),
            OptionKind::OneOf(w) => f.write_str(&w.join(" | ")),
            OptionKind::List => f.write_str("list"),
        }
    }
}

/// A value that prints as `***` wherever it goes. Only [`Secret::expose`] gives it out: called in the moment of connecting, nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Validated option values of one connector, defaults filled in, secrets resolved. Debug shows no secret.
#[derive(Debug, Clone, Default)]
pub struct OptionValues {
    plain: BTreeMap<String, String>,
    secret: BTreeMap<String, Secret>,
    /// Link-local and metadata addresses may be connected to.
    allow_link_local: bool,
}

/// Which addresses a source may connect to.
#[derive(Debug, Clone, Copy, Default)]
pub struct AddressGuard {
    allow_link_local: bool,
}

impl AddressGuard {
    /// 42501 for an address that is denied; `host` is what the user wrote.
    pub fn check(self, host: &str, address: IpAddr) -> Result<()> {
        if self.allow_link_local || !crate::catalog::address_denied(address) {
            return Ok(());
        }
        Err(crate::catalog::address_refused(host))
    }
}

impl OptionValues {
    /// Checks `given` against the table: unknown names (with the nearest known one), missing required ones, values of the wrong kind. `secrets`
    /// holds the resolved values of `SECRET name` and of literals of secret options.
    pub fn validate(
        connector_type: &str,
        specs: &[OptionSpec],
        given: &BTreeMap<String, String>,
        secrets: BTreeMap<String, Secret>,
    ) -> Result<OptionValues> {
        for name in given.keys().chain(secrets.keys()) {
            if !specs.iter().any(|s| s.name == name) {
                let mut e = SqlError::new(
                    SqlState::FDW_INVALID_OPTION_NAME,
                    format!("connector type \"{connector_type}\" has no option \"{name}\""),
                );
                let near = specs.iter().map(|s| (distance(name, s.name), s.name)).min();
                e = match near {
                    Some((d, n)) if d <= 3 => e.hint(format!("Did you mean \"{n}\"?")),
                    _ => e.hint(format!("Options: {}.", specs.iter().map(|s| s.name).collect::<Vec<_>>().join(", "))),
                };
                return Err(e);
            }
        }
        let mut plain = BTreeMap::new();
        for spec in specs {
            let value = given.get(spec.name).cloned();
            if spec.required && value.is_none() && !secrets.contains_key(spec.name) {
                return Err(SqlError::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("option \"{}\" of connector type \"{connector_type}\" is required", spec.name),
                )
                .hint(format!("{}: {}", spec.name, spec.doc)));
            }
            // `SECRET name` may stand for any option; its value must fit too, and no message may show it.
            if let Some(v) = secrets.get(spec.name) {
                check(spec, v.expose()).map_err(|e| SqlError {
                    message: format!("the secret given for option \"{}\" does not fit: it takes {}", spec.name, spec.kind),
                    ..e
                })?;
                continue;
            }
            if let Some(v) = value.or_else(|| spec.default.map(str::to_string)) {
                check(spec, &v)?;
                plain.insert(spec.name.to_string(), v);
            }
        }
        Ok(OptionValues { plain, secret: secrets, allow_link_local: false })
    }

    /// The same for a source that may connect to link-local and metadata addresses.
    #[must_use]
    pub fn with_link_local(self, allow_link_local: bool) -> OptionValues {
        OptionValues { allow_link_local, ..self }
    }

    /// Whether the source may connect to an address. Asked of the very address that is then connected to: a name may resolve to another one by then.
    pub fn address_guard(&self) -> AddressGuard {
        AddressGuard { allow_link_local: self.allow_link_local }
    }

    /// A text, if given or defaulted; also where it was given as `SECRET name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.plain.get(name).map(String::as_str).or_else(|| self.secret.get(name).map(Secret::expose))
    }
    /// A secret, if given. A plain value of that name is taken as one too.
    pub fn secret(&self, name: &str) -> Option<Secret> {
        self.secret.get(name).cloned().or_else(|| self.plain.get(name).map(Secret::new))
    }
    /// A whole number.
    pub fn integer(&self, name: &str) -> Option<i64> {
        self.text(name).and_then(|v| v.trim().parse().ok())
    }
    /// A boolean; absent is false.
    pub fn boolean(&self, name: &str) -> bool {
        self.text(name).and_then(parse_bool).unwrap_or(false)
    }
    /// A duration.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        self.text(name).and_then(parse_duration)
    }
    /// A size in bytes.
    pub fn size(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(parse_size)
    }
    /// A list, trimmed, without empty items.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.text(name).map(|v| v.split(',').map(|s| s.trim().to_string()).filter(|s| !s.is_empty()).collect()).unwrap_or_default()
    }
}

fn check(spec: &OptionSpec, value: &str) -> Result<()> {
    let good = match spec.kind {
        OptionKind::Text | OptionKind::Secret | OptionKind::List => true,
        OptionKind::Integer(min, max) => value.trim().parse::<i64>().is_ok_and(|v| (min..=max).contains(&v)),
        OptionKind::Boolean => parse_bool(value).is_some(),
        OptionKind::Duration => parse_duration(value).is_some(),
        OptionKind::Size => parse_size(value).is_some(),
        OptionKind::OneOf(words) => words.contains(&value),
    };
    if good {
        return Ok(());
    }
    Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("option \"{}\" cannot be '{value}': it takes {}", spec.name, spec.kind))
        .hint(spec.doc.to_string()))
}

/// Postgres's spellings of a boolean.
pub(crate) fn parse_bool(v: &str) -> Option<bool> {
    match v.trim().to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" | "t" | "y" => Some(true),
        "false" | "off" | "no" | "0" | "f" | "n" => Some(false),
        _ => None,
    }
}

/// A duration with unit (`us`, `ms`, `s`, `min` or `m`, `h`, `d`); a bare number is seconds.
pub fn parse_duration(v: &str) -> Option<Duration> {
    let v = v.trim();
    let split = v.find(|c: char| !c.is_ascii_digit()).unwrap_or(v.len());
    let n: u64 = v[..split].parse().ok()?;
    let micros: u64 = match v[split..].trim() {
        "us" => 1,
        "ms" => 1_000,
        "" | "s" => 1_000_000,
        "m" | "min" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    n.checked_mul(micros).map(Duration::from_micros)
}

/// A size with unit (`kB`, `MB`, `GB`, `TB`, powers of 1024 as in Postgres); a bare number is bytes.
pub(crate) fn parse_size(v: &str) -> Option<u64> {
    let v = v.trim();
    let split = v.find(|c: char| !c.is_ascii_digit()).unwrap_or(v.len());
    let n: u64 = v[..split].parse().ok()?;
    let shift = match v[split..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "kb" => 10,
        "mb" => 20,
        "gb" => 30,
        "tb" => 40,
        _ => return None,
    };
    n.checked_mul(1u64 << shift)
}

/// Levenshtein distance, for "did you mean".
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let next = (diagonal + usize::from(ca != *cb)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SPECS: &[OptionSpec] = &[
        OptionSpec { name: "host", kind: OptionKind::Text, default: None, required: true, doc: "The server." },
        OptionSpec { name: "port", kind: OptionKind::Integer(1, 65535), default: Some("5432"), required: false, doc: "1 to 65535." },
        OptionSpec { name: "password", kind: OptionKind::Secret, default: None, required: false, doc: "A secret." },
    ];

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn unknown_option_names_the_nearest() {
        let e = OptionValues::validate("postgres", SPECS, &given(&[("hots", "x")]), BTreeMap::new()).unwrap_err();
        assert_eq!(e.state, SqlState::FDW_INVALID_OPTION_NAME);
        assert_eq!(e.hint.as_deref(), Some("Did you mean \"host\"?"));
    }

    #[test]
    fn defaults_ranges_and_required() {
        let v = OptionValues::validate("postgres", SPECS, &given(&[("host", "h")]), BTreeMap::new()).unwrap();
        assert_eq!(v.integer("port"), Some(5432));
        assert!(OptionValues::validate("postgres", SPECS, &given(&[("host", "h"), ("port", "70000")]), BTreeMap::new()).is_err());
        assert!(OptionValues::validate("postgres", SPECS, &given(&[]), BTreeMap::new()).is_err());
    }

    #[test]
    fn debug_hides_secrets() {
        let secrets = BTreeMap::from([("password".to_string(), Secret::new("hunter2"))]);
        let v = OptionValues::validate("postgres", SPECS, &given(&[("host", "h")]), secrets).unwrap();
        assert!(!format!("{v:?}").contains("hunter2"));
        assert_eq!(v.secret("password").unwrap().expose(), "hunter2");
    }

    #[test]
    fn units() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("5"), Some(Duration::from_secs(5)));
        assert_eq!(parse_duration("5 parsecs"), None);
        assert_eq!(parse_size("64MB"), Some(64 << 20));
    }
}
