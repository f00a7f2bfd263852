//! SET values: which settings exist, their defaults, what values they take.
//!
//! The known ones are Postgres's own (clients set them at startup and read them back) and `fjord.*`. A name with a dot that nobody knows is kept,
//! as Postgres keeps it; any other unknown name is 42704 (<https://www.postgresql.org/docs/15/runtime-config-custom.html>).

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Result, SqlError, SqlState};

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingKind {
    /// on/off in all of Postgres's spellings; shown as `on` and `off`.
    Bool,
    /// A whole number from min to max.
    Integer(i64, i64),
    /// Milliseconds, with Postgres's units (`5s`, `2min`); 0 is off.
    Milliseconds,
    /// Bytes, with Postgres's units (`64MB`, `4GB`).
    Bytes,
    /// One of these words, in any case.
    OneOf(&'static [&'static str]),
    /// A time zone name or offset.
    TimeZone,
    /// Any text.
    Text,
    /// Cannot be set.
    ReadOnly,
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct SettingSpec {
    /// As Postgres spells it (`DateStyle`); found in any case.
    pub name: &'static str,
    /// The value of a new session.
    pub default: &'static str,
    /// What values it takes.
    pub kind: SettingKind,
    /// One line.
    pub doc: &'static str,
}

const fn spec(name: &'static str, default: &'static str, kind: SettingKind, doc: &'static str) -> SettingSpec {
    SettingSpec { name, default, kind, doc }
}

use SettingKind::{Bool, Bytes, Integer, Milliseconds, OneOf, ReadOnly, Text, TimeZone};

const ISOLATION: &[&str] = &["serializable", "repeatable read", "read committed", "read uncommitted"];
const LEVELS: &[&str] =
    &["debug5", "debug4", "debug3", "debug2", "debug1", "debug", "log", "notice", "info", "warning", "error", "fatal", "panic"];

/// Every setting that Fjord knows, sorted by lower-case name.
pub const SETTINGS: &[SettingSpec] = &[
    spec("application_name", "", Text, "The client's name for itself."),
    spec("bytea_output", "hex", OneOf(&["hex", "escape"]), "How bytea is printed."),
    spec("client_encoding", "UTF8", Text, "The client's character set: only UTF8."),
    spec("client_min_messages", "notice", OneOf(LEVELS), "The least severe message that is sent."),
    spec("DateStyle", "ISO, MDY", Text, "How dates are printed: only ISO."),
    spec("default_table_access_method", "heap", Text, "Kept for clients (SQLAlchemy compares tables with it)."),
    spec("default_transaction_isolation", "read committed", OneOf(ISOLATION), "Isolation of new transactions."),
    spec("default_transaction_read_only", "on", Bool, "Fjord reads; it does not write to sources."),
    spec("extra_float_digits", "1", Integer(-15, 3), "Digits of floats; from 1 up the shortest exact form."),
    spec(
        "fjord.dynamic_filter_wait",
        "200",
        Milliseconds,
        "How long a remote query waits for a join's keys before it is sent without them.",
    ),
    spec("fjord.dynamic_filters", "on", Bool, "Send the keys of a join's build side to the source of the other side."),
    spec(
        "fjord.max_parallel_reads",
        "0",
        Integer(0, 64),
        "Most connections that read one big table together, within what the connector allows; 0 leaves it to the connector.",
    ),
    spec("fjord.plan_cache", "on", Bool, "Keep plans of statements that come again, with other values too. Off: plan each time."),
    spec("fjord.pushdown", "on", Bool, "Push work into sources. Off: rows are pulled and all work is local."),
    spec(
        "fjord.snapshot",
        "connector",
        OneOf(&["connector", "off", "query"]),
        "query: all remote queries of a statement to one connector see one state of it; connector: as its option says.",
    ),
    spec(
        "fjord.spill_after",
        "30s",
        Milliseconds,
        "When a client has taken no rows for so long, the rest goes to disk, so that no source waits; 0 is never.",
    ),
    spec("fjord.spill_size_max", "4GB", Bytes, "Most rows of a statement on disk; beyond, the source waits for the client."),
    spec("fjord.verify", "off", Bool, "Run each query pushed and local; an error at the end of the rows where the answers differ."),
    spec("idle_in_transaction_session_timeout", "0", Milliseconds, "Ends a session that idles in a transaction."),
    spec("idle_session_timeout", "0", Milliseconds, "Ends an idle session."),
    spec("in_hot_standby", "off", ReadOnly, "Never: Fjord is no standby."),
    spec("integer_datetimes", "on", ReadOnly, "Timestamps are 64-bit integers."),
    spec("IntervalStyle", "postgres", OneOf(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]), "How intervals are printed."),
    spec("is_superuser", "off", ReadOnly, "Whether the role may do everything."),
    spec("jit", "off", Bool, "Kept for clients (asyncpg turns it off and on)."),
    spec("lc_collate", "C", ReadOnly, "Text compares by its bytes."),
    spec("lc_ctype", "C", ReadOnly, "Character classes."),
    spec("lc_messages", "C", Text, "The language of messages."),
    spec("lc_monetary", "C", Text, "The locale of money."),
    spec("lc_numeric", "C", Text, "The locale of numbers."),
    spec("lc_time", "C", Text, "The locale of dates."),
    spec("lock_timeout", "0", Milliseconds, "Kept for clients; Fjord takes no locks."),
    spec("max_identifier_length", "63", ReadOnly, "Bytes of a name that Postgres keeps."),
    spec("max_index_keys", "32", ReadOnly, "Kept for clients."),
    spec("row_security", "on", Bool, "Kept for clients; row security is the source's."),
    spec("search_path", "\"$user\", public", Text, "Schemas in which a bare name is looked up."),
    spec("server_encoding", "UTF8", ReadOnly, "The server's character set."),
    spec("server_version", concat!("15.0 (Fjord ", env!("CARGO_PKG_VERSION"), ")"), ReadOnly, "The Postgres that Fjord speaks like."),
    spec("server_version_num", "150000", ReadOnly, "The same as a number."),
    spec("session_authorization", "", ReadOnly, "The role that connected."),
    spec("standard_conforming_strings", "on", Bool, "A backslash in a string is a backslash; cannot be turned off."),
    spec("statement_timeout", "0", Milliseconds, "Ends a statement (planning and all rows) after this time; 0 is never."),
    spec("synchronous_commit", "on", Text, "Kept for clients."),
    spec("TimeZone", "UTC", TimeZone, "The zone in which instants are printed and days are cut."),
    spec("transaction_isolation", "read committed", OneOf(ISOLATION), "Isolation of the present transaction."),
    spec("transaction_read_only", "on", Bool, "The present transaction writes nothing."),
    spec("xmloption", "content", OneOf(&["content", "document"]), "Kept for clients."),
];

/// SET values of a session, by lower-case name. Names with a dot that nobody knows are kept (as Postgres does); others are 42704.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    values: BTreeMap<String, String>,
}

impl Settings {
    /// The description of a setting.
    pub fn spec(name: &str) -> Option<&'static SettingSpec> {
        SETTINGS.iter().find(|s| s.name.eq_ignore_ascii_case(name))
    }
    /// A value: what was set, else the default; `None` for an unknown name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let lower = name.to_ascii_lowercase();
        self.values.get(&lower).map(String::as_str).or_else(|| Settings::spec(&lower).map(|s| s.default))
    }
    /// A value, or 42704.
    pub fn show(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| unknown(name))
    }
    /// Checks and sets a value. `DEFAULT` resets it.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let lower = name.to_ascii_lowercase();
        let Some(spec) = Settings::spec(&lower) else {
            if !lower.contains('.') || lower.starts_with("fjord.") {
                return Err(unknown(name));
            }
            self.values.insert(lower, value.to_string());
            return Ok(());
        };
        if value.eq_ignore_ascii_case("default") && spec.kind != Text {
            return self.reset(name);
        }
        let value = check(spec, value)?;
        self.values.insert(lower, value);
        Ok(())
    }
    /// Sets what no client may set: `session_authorization`, `is_superuser`.
    pub fn force(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_ascii_lowercase(), value.to_string());
    }
    /// Back to the default.
    pub fn reset(&mut self, name: &str) -> Result<()> {
        let lower = name.to_ascii_lowercase();
        match Settings::spec(&lower) {
            Some(s) if s.kind == ReadOnly => Err(read_only(s.name)),
            None if !lower.contains('.') => Err(unknown(name)),
            _ => {
                self.values.remove(&lower);
                Ok(())
            }
        }
    }
    /// Everything back to the default, as RESET ALL does: not what the connection itself is, nor what the client
    /// called itself at startup.
    pub fn reset_all(&mut self) {
        self.values.retain(|k, _| k == "application_name" || Settings::spec(k).is_some_and(|s| s.kind == ReadOnly));
    }
    /// All settings: name, value, description; for SHOW ALL.
    pub fn all(&self) -> Vec<(String, String, String)> {
        let mut all: Vec<_> =
            SETTINGS.iter().map(|s| (s.name.to_string(), self.get(s.name).unwrap_or_default().to_string(), s.doc.to_string())).collect();
        all.extend(self.values.iter().filter(|(k, _)| Settings::spec(k).is_none()).map(|(k, v)| (k.clone(), v.clone(), String::new())));
        all.sort_by_key(|(n, ..)| n.to_ascii_lowercase());
        all
    }
    /// A boolean setting.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name) == Some("on")
    }
    /// A duration; `None` where it is 0 (off).
    pub fn duration(&self, name: &str) -> Option<Duration> {
        self.get(name).and_then(parse_milliseconds).filter(|ms| *ms > 0).map(Duration::from_millis)
    }
    /// A size in bytes.
    pub fn bytes(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(parse_bytes)
    }
    /// The schemas of `search_path`, `$user` replaced.
    pub fn search_path(&self, user: &str) -> Vec<String> {
        let text = self.get("search_path").unwrap_or_default();
        split_names(text).into_iter().map(|s| if s == "$user" { user.to_string() } else { s }).collect()
    }
}

fn unknown(name: &str) -> SqlError {
    let near = crate::federation::near(name, SETTINGS.iter().map(|s| s.name));
    let e = SqlError::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""));
    match near.first() {
        Some(n) => e.hint(format!("Did you mean \"{n}\"?")),
        None => e.hint("SHOW ALL lists every setting."),
    }
}

fn read_only(name: &str) -> SqlError {
    SqlError::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, format!("parameter \"{name}\" cannot be changed"))
}

fn invalid(spec: &SettingSpec, value: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid value for parameter \"{}\": \"{value}\"", spec.name))
}

fn check(spec: &SettingSpec, value: &str) -> Result<String> {
    match spec.kind {
        ReadOnly => Err(read_only(spec.name)),
        Bool => {
            let v = parse_bool(value)
                .ok_or_else(|| invalid(spec, value).hint(format!("parameter \"{}\" requires a Boolean value", spec.name)))?;
            if spec.name == "standard_conforming_strings" && !v {
                return Err(SqlError::unsupported("standard_conforming_strings cannot be off").hint("Write E'...' for escapes."));
            }
            if matches!(spec.name, "transaction_read_only" | "default_transaction_read_only") {
                // Clients say READ WRITE by habit; there is nothing to write to, so it is accepted and the truth stays `on`.
                return Ok("on".into());
            }
            Ok(if v { "on" } else { "off" }.into())
        }
        Integer(min, max) => match value.trim().parse::<i64>() {
            Ok(v) if (min..=max).contains(&v) => Ok(v.to_string()),
            Ok(v) => Err(SqlError::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("{v} is outside the valid range for parameter \"{}\" ({min} .. {max})", spec.name),
            )),
            Err(_) => Err(invalid(spec, value)),
        },
        Milliseconds => {
            let ms = parse_milliseconds(value)
                .ok_or_else(|| invalid(spec, value).hint("Valid units are \"us\", \"ms\", \"s\", \"min\", \"h\" and \"d\"."))?;
            Ok(show_milliseconds(ms))
        }
        Bytes => {
            let bytes =
                parse_bytes(value).ok_or_else(|| invalid(spec, value).hint("Valid units are \"B\", \"kB\", \"MB\", \"GB\" and \"TB\"."))?;
            Ok(show_bytes(bytes))
        }
        OneOf(words) => words
            .iter()
            .find(|w| w.eq_ignore_ascii_case(value.trim()))
            .map(|w| (*w).to_string())
            .ok_or_else(|| invalid(spec, value).hint(format!("Available values: {}.", words.join(", ")))),
        TimeZone => time_zone(value).ok_or_else(|| invalid(spec, value)),
        Text => check_text(spec, value),
    }
}

/// As Postgres reads a name of an encoding: letters and digits only (asyncpg sends `'utf-8'`, quotes and all).
fn encoding_name(value: &str) -> String {
    value.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

fn check_text(spec: &SettingSpec, value: &str) -> Result<String> {
    match spec.name {
        "client_encoding" => match encoding_name(value).as_str() {
            "UTF8" | "UNICODE" => Ok("UTF8".into()),
            // psycopg2 asks for SQL_ASCII where the client has no locale: bytes pass through, which they do anyway.
            _ => Err(SqlError::unsupported(format!("client_encoding \"{value}\" is not supported")).hint("Fjord speaks UTF8 only.")),
        },
        "DateStyle" => {
            let mut order = "MDY";
            for word in value.split(',').map(|w| w.trim().to_ascii_uppercase()) {
                match word.as_str() {
                    "ISO" | "" => {}
                    "MDY" | "US" | "NONEURO" | "NONEUROPEAN" => order = "MDY",
                    "DMY" | "EURO" | "EUROPEAN" => order = "DMY",
                    "YMD" => order = "YMD",
                    "SQL" | "POSTGRES" | "GERMAN" => {
                        return Err(SqlError::unsupported(format!("DateStyle \"{value}\" is not supported")).hint("Use ISO."));
                    }
                    _ => return Err(invalid(spec, value)),
                }
            }
            Ok(format!("ISO, {order}"))
        }
        _ => Ok(value.to_string()),
    }
}

fn parse_bool(value: &str) -> Option<bool> {
    let v = value.trim().to_ascii_lowercase();
    match v.as_str() {
        "1" | "on" => return Some(true),
        "0" | "of" | "off" => return Some(false),
        "" => return None,
        _ => {}
    }
    // Unique prefixes, as in parse_bool() of Postgres.
    [("true", true), ("yes", true), ("false", false), ("no", false)].iter().find(|(w, _)| w.starts_with(&v)).map(|(_, b)| *b)
}

fn parse_milliseconds(value: &str) -> Option<u64> {
    let v = value.trim();
    let split = v.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(v.len());
    let number: f64 = v[..split].parse().ok()?;
    let factor = match v[split..].trim() {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" => 1_000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let ms = (number * factor).round();
    // Postgres's own bound: INT_MAX milliseconds.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (0.0..=2_147_483_647.0).contains(&ms).then_some(ms as u64)
}

/// With the largest unit that divides it, as SHOW prints it.
fn show_milliseconds(ms: u64) -> String {
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)] {
        if ms > 0 && ms.is_multiple_of(size) {
            return format!("{}{unit}", ms / size);
        }
    }
    if ms == 0 { "0".into() } else { format!("{ms}ms") }
}

const SIZES: [(&str, u64); 4] = [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)];

fn parse_bytes(value: &str) -> Option<u64> {
    let v = value.trim();
    let split = v.find(|c: char| !c.is_ascii_digit()).unwrap_or(v.len());
    let number: u64 = v[..split].parse().ok()?;
    let factor = match v[split..].trim() {
        "" | "B" => 1,
        unit => SIZES.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.checked_mul(factor).filter(|b| i64::try_from(*b).is_ok())
}

/// With the largest unit that divides it.
fn show_bytes(bytes: u64) -> String {
    match SIZES.iter().find(|(_, size)| bytes > 0 && bytes.is_multiple_of(*size)) {
        Some((unit, size)) => format!("{}{unit}", bytes / size),
        None if bytes == 0 => "0".into(),
        None => format!("{bytes}B"),
    }
}

/// The canonical name of a zone: an IANA name in its own spelling, or `UTC`, or an offset as `+02:00`.
fn time_zone(value: &str) -> Option<String> {
    let v = value.trim().trim_matches('\'');
    if matches!(v.to_ascii_lowercase().as_str(), "utc" | "default" | "local" | "gmt" | "z" | "zulu" | "etc/utc") {
        return Some(if v.eq_ignore_ascii_case("etc/utc") { "Etc/UTC".into() } else { "UTC".into() });
    }
    if let Ok(hours) = v.parse::<f64>() {
        let minutes = (hours * 60.0).round();
        if minutes.abs() > 15.0 * 60.0 {
            return None;
        }
        #[allow(clippy::cast_possible_truncation)]
        let m = minutes as i64;
        return Some(format!("{}{:02}:{:02}", if m < 0 { '-' } else { '+' }, m.abs() / 60, m.abs() % 60));
    }
    if let Some(rest) = v.strip_prefix(['+', '-']) {
        let (h, m) = rest.split_once(':')?;
        let (h, m): (u32, u32) = (h.parse().ok()?, m.parse().ok()?);
        return (h <= 15 && m < 60).then(|| format!("{}{h:02}:{m:02}", &v[..1]));
    }
    if let Ok(tz) = chrono_tz::Tz::from_str(v) {
        return Some(tz.name().to_string());
    }
    chrono_tz::TZ_VARIANTS.iter().find(|t| t.name().eq_ignore_ascii_case(v)).map(|t| t.name().to_string())
}

/// Splits `a, "B c", d` into names: unquoted ones in lower case.
fn split_names(text: &str) -> Vec<String> {
    let (mut out, mut current, mut quoted, mut was_quoted) = (vec![], String::new(), false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                current.push('"');
            }
            '"' => {
                quoted = !quoted;
                was_quoted = true;
            }
            ',' if !quoted => {
                push_name(&mut out, &mut current, &mut was_quoted);
            }
            c if quoted => current.push(c),
            c if c.is_whitespace() || c == '\'' => {}
            c => current.extend(c.to_lowercase()),
        }
    }
    push_name(&mut out, &mut current, &mut was_quoted);
    out
}

fn push_name(out: &mut Vec<String>, current: &mut String, was_quoted: &mut bool) {
    if !current.is_empty() || *was_quoted {
        out.push(std::mem::take(current));
    }
    *was_quoted = false;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_and_canonical() {
        let mut s = Settings::default();
        for (name, value, shown) in [
            ("statement_timeout", "5s", "5s"),
            ("STATEMENT_TIMEOUT", "90000", "90s"),
            ("statement_timeout", "0", "0"),
            ("timezone", "europe/stockholm", "Europe/Stockholm"),
            ("TimeZone", "-5", "-05:00"),
            ("timezone", "utc", "UTC"),
            ("datestyle", "iso, dmy", "ISO, DMY"),
            ("fjord.pushdown", "false", "off"),
            ("extra_float_digits", "3", "3"),
            ("fjord.spill_size_max", "2048MB", "2GB"),
            ("fjord.spill_size_max", "1000", "1000B"),
            ("fjord.spill_after", "0", "0"),
            ("my.own", "x", "x"),
            ("transaction_isolation", "REPEATABLE READ", "repeatable read"),
        ] {
            s.set(name, value).unwrap();
            assert_eq!(s.get(name), Some(shown), "{name} = {value}");
        }
        for (name, value, state) in [
            ("nothing", "1", SqlState::UNDEFINED_OBJECT),
            ("fjord.pushdwn", "off", SqlState::UNDEFINED_OBJECT),
            ("server_version", "1", SqlState::CANT_CHANGE_RUNTIME_PARAM),
            ("statement_timeout", "5 parsecs", SqlState::INVALID_PARAMETER_VALUE),
            ("extra_float_digits", "9", SqlState::INVALID_PARAMETER_VALUE),
            ("fjord.spill_size_max", "4 gigs", SqlState::INVALID_PARAMETER_VALUE),
            ("fjord.spill_size_max", "9000000TB", SqlState::INVALID_PARAMETER_VALUE),
            ("timezone", "Mars/Olympus", SqlState::INVALID_PARAMETER_VALUE),
            ("standard_conforming_strings", "off", SqlState::FEATURE_NOT_SUPPORTED),
            ("client_encoding", "LATIN1", SqlState::FEATURE_NOT_SUPPORTED),
        ] {
            assert_eq!(s.set(name, value).unwrap_err().state, state, "{name} = {value}");
        }
        s.reset_all();
        assert_eq!(s.get("timezone"), Some("UTC"));
    }

    #[test]
    fn search_path_is_split_as_postgres_does() {
        let mut s = Settings::default();
        assert_eq!(s.search_path("ann"), ["ann", "public"]);
        s.set("search_path", "PG, \"Odd, one\", public").unwrap();
        assert_eq!(s.search_path("ann"), ["pg", "Odd, one", "public"]);
    }

    #[test]
    fn specs_are_sorted_and_valid() {
        let names: Vec<String> = SETTINGS.iter().map(|s| s.name.to_ascii_lowercase()).collect();
        for pair in names.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
        }
        for s in SETTINGS.iter().filter(|s| s.kind != ReadOnly) {
            assert!(check(s, s.default).is_ok() || s.kind == Text, "{}", s.name);
        }
    }
}
