//! What a big table consists of at the source, and how its pages are cut into ranges for several readers.

use std::collections::VecDeque;

use fjord_engine::Result;
use tokio_postgres::SimpleQueryMessage;

use crate::render::{table_name, text_literal};

/// Ranges for each reader, so that one that is slow does not hold up the others,
const RANGES_PER_READER: u64 = 4;
/// but none of less than so many pages (8 MiB).
const RANGE_PAGES_MIN: u64 = 1_024;
/// Each range is a query over all leaves: with many of them the source would spend its time on plans.
const LEAVES_MAX: usize = 256;

/// Pages from the first up to, and without, the second; without a second up to the end.
pub(super) type Range = (u64, Option<u64>);

/// The files of a table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// Pages of the table, or of each leaf.
    pub pages: Vec<u64>,
    /// The leaves of a partitioned table, by their OIDs. Empty for others.
    pub leaves: Vec<u32>,
}

/// What the source says of a table.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It may be read in ranges.
    Ranges(Stored),
    /// It is read as a whole: through an index, or it is no plain heap.
    Whole,
    /// Its files are not those of the snapshot, or it is younger.
    Rewritten,
}

impl Stored {
    /// The questions about the table of a query. EXPLAIN locks it as the query itself will, and tells whether the source would read it through: through
    /// an index it is quick. `pg_partition_tree` locks the leaves, before their files are looked at; a table that is no root has none but itself.
    pub(super) fn questions(query: &str, schema: &str, table: &str) -> Result<String> {
        let name = text_literal(&table_name(schema, table)?)?;
        Ok(format!(
            "EXPLAIN (COSTS OFF) {query}; \
             SELECT CASE WHEN t.oid = c.oid THEN 'table' ELSE 'leaf' END, c.relkind, \
             a.amname = 'heap' AND NOT c.relhassubclass AND c.relfilenode <> 0, c.relfilenode = pg_catalog.pg_relation_filenode(c.oid), \
             pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::pg_catalog.int8, c.oid \
             FROM (SELECT {name}::pg_catalog.regclass::pg_catalog.oid AS oid) t \
             CROSS JOIN LATERAL (SELECT t.oid AS leaf UNION SELECT p.relid FROM pg_catalog.pg_partition_tree(t.oid) p WHERE p.isleaf) l \
             JOIN pg_catalog.pg_class c ON c.oid = l.leaf LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam"
        ))
    }

    /// The answers.
    pub(super) fn of(answers: &[SimpleQueryMessage]) -> Told {
        let rows = answers.iter().filter_map(|m| if let SimpleQueryMessage::Row(r) = m { Some(r) } else { None });
        let rows: Vec<Vec<Option<&str>>> = rows.map(|r| (0..r.len()).map(|i| r.try_get(i).ok().flatten()).collect()).collect();
        Stored::read(&rows)
    }

    fn read(rows: &[Vec<Option<&str>>]) -> Told {
        let plan = || rows.iter().filter(|r| r.len() == 1).filter_map(|r| r[0]);
        let about = |what: &str| rows.iter().filter(|r| r.len() == 6 && r[0] == Some(what)).collect::<Vec<_>>();
        let table = about("table");
        // Without a row the table is younger than the snapshot.
        let Some(table) = table.first() else { return Told::Rewritten };
        let partitioned = table[1] == Some("p");
        // A leaf that is a root without leaves has no file.
        let files = if partitioned { about("leaf").into_iter().filter(|l| l[1] != Some("p")).collect() } else { vec![*table] };
        let plain = files.iter().all(|f| matches!(f[1], Some("r" | "m")) && f[2] == Some("t"));
        let node = |line: &'_ str| line.trim_start_matches([' ', '-', '>']).trim_start_matches("Parallel ").to_string();
        let through = plan().any(|l| node(l).starts_with("Seq Scan on"))
            && !plan().any(|l| node(l).starts_with("Index") || node(l).starts_with("Bitmap"));
        if files.is_empty() || files.len() > LEAVES_MAX || !plain {
            return Told::Whole;
        }
        if files.iter().any(|f| f[3] != Some("t")) {
            return Told::Rewritten;
        }
        let pages: Option<Vec<u64>> = files.iter().map(|f| f[4]?.parse().ok()).collect();
        let oids: Option<Vec<u32>> = files.iter().map(|f| f[5]?.parse().ok()).collect();
        match (pages, oids) {
            (Some(pages), Some(oids)) if through => Told::Ranges(Stored { pages, leaves: if partitioned { oids } else { vec![] } }),
            _ => Told::Whole,
        }
    }
}

/// Ranges that each take about as many pages, counted over all files; the last has no end. Empty where one reader is as good.
pub(super) fn ranges(pages: &[u64], readers: usize) -> VecDeque<Range> {
    let all: u64 = pages.iter().sum();
    let size = all.div_ceil((readers as u64 * RANGES_PER_READER).max(1)).max(RANGE_PAGES_MIN);
    let count = all / size;
    if count < 2 || readers < 2 {
        return VecDeque::new();
    }
    let mut from = 0;
    let mut out = VecDeque::new();
    let end = pages.iter().copied().max().unwrap_or(0);
    for i in 1..count {
        let to = cut(pages, i * size);
        // Of files of one page there is nothing to cut.
        if to > from && to < end {
            out.push_back((from, Some(to)));
            from = to;
        }
    }
    if out.is_empty() {
        return out;
    }
    out.push_back((from, None));
    out
}

/// The page up to which all files together have at least so many pages.
fn cut(pages: &[u64], wanted: u64) -> u64 {
    let before = |page: u64| pages.iter().map(|p| *p.min(&page)).sum::<u64>();
    let (mut low, mut high) = (0, pages.iter().copied().max().unwrap_or(0));
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) < wanted { low = middle + 1 } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_all_pages_once() {
        for pages in [0, 1, 2_047, 2_048, 5_000, 100_000, u64::from(u32::MAX)] {
            for readers in 0..9 {
                for files in [vec![pages], vec![pages, 0, pages / 3, 1], vec![pages / 50; 50]] {
                    let ranges = ranges(&files, readers);
                    assert!(ranges.len() != 1 && ranges.len() <= readers * 4, "{pages} {readers}");
                    let mut next = Some(0);
                    for (from, to) in &ranges {
                        assert_eq!(Some(*from), next, "{pages} {readers}");
                        let taken = |to: u64| files.iter().map(|p| (*p).min(to) - (*p).min(*from)).sum::<u64>();
                        // A page of each file more or less: they are cut at the same page.
                        assert!(to.is_none_or(|t| t > *from && taken(t) + files.len() as u64 >= RANGE_PAGES_MIN), "{files:?} {readers}");
                        next = *to;
                    }
                    assert_eq!(next.is_none(), !ranges.is_empty());
                }
            }
        }
        assert!(ranges(&[2_047], 2).is_empty());
        assert_eq!(ranges(&[2_048], 2).len(), 2);
        assert!(ranges(&[1; 5_000], 4).is_empty());
        // Half of a range's pages are those of the small file, as long as it has some.
        assert_eq!(
            ranges(&[2_000, 8_000], 2),
            VecDeque::from([
                (0, Some(625)),
                (625, Some(1_250)),
                (1_250, Some(1_875)),
                (1_875, Some(3_000)),
                (3_000, Some(4_250)),
                (4_250, Some(5_500)),
                (5_500, Some(6_750)),
                (6_750, None)
            ])
        );
    }

    #[test]
    fn what_is_no_plain_heap_is_read_as_a_whole() {
        let row = |r: &[&'static str]| r.iter().map(|v| Some(*v)).collect::<Vec<_>>();
        let seq = row(&["Seq Scan on t"]);
        let table = row(&["table", "r", "t", "t", "5000", "7"]);
        let root = vec![Some("table"), Some("p"), None, None, None, Some("7")];
        let leaf = row(&["leaf", "r", "t", "t", "3000", "8"]);
        let ranges = |pages: &[u64], leaves: &[u32]| Told::Ranges(Stored { pages: pages.to_vec(), leaves: leaves.to_vec() });
        assert_eq!(Stored::read(&[seq.clone(), table.clone()]), ranges(&[5_000], &[]));
        assert_eq!(Stored::read(&[seq.clone(), root.clone(), leaf.clone()]), ranges(&[3_000], &[8]));
        let empty_root = row(&["leaf", "p", "f", "f", "0", "9"]);
        assert_eq!(Stored::read(&[seq.clone(), root.clone(), leaf.clone(), empty_root]), ranges(&[3_000], &[8]));
        for other in [row(&["leaf", "f", "f", "f", "0", "9"]), row(&["leaf", "r", "f", "t", "9", "9"])] {
            assert_eq!(Stored::read(&[seq.clone(), root.clone(), leaf.clone(), other]), Told::Whole);
        }
        let rewritten = row(&["leaf", "r", "t", "f", "0", "9"]);
        assert_eq!(Stored::read(&[seq.clone(), root.clone(), leaf.clone(), rewritten]), Told::Rewritten);
        assert_eq!(Stored::read(std::slice::from_ref(&seq)), Told::Rewritten);
        assert_eq!(Stored::read(&[seq.clone(), root.clone()]), Told::Whole);
        let many = vec![leaf.clone(); LEAVES_MAX + 1];
        assert_eq!(Stored::read(&[vec![seq.clone(), root.clone()], many].concat()), Told::Whole);
        let index = row(&["  ->  Index Scan using i on t_1"]);
        assert_eq!(Stored::read(&[seq, index.clone(), root, leaf]), Told::Whole);
        assert_eq!(Stored::read(&[index, table]), Told::Whole);
    }
}
