//! Names like the one that was not found, for hints.

/// Candidates compared at most: a hint is not worth scanning a source of a million tables.
const CANDIDATES_MAX: usize = 20_000;

/// Up to three candidates that are at most a third of the name's length (at least 2) edits away, the nearest first. Case counts as no edit.
pub(crate) fn near<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted: Vec<char> = name.to_lowercase().chars().take(64).collect();
    let limit = (wanted.len() / 3).max(2);
    let mut found: Vec<(usize, &str)> = candidates
        .take(CANDIDATES_MAX)
        .filter_map(|c| {
            let chars: Vec<char> = c.to_lowercase().chars().take(64).collect();
            if chars.len().abs_diff(wanted.len()) > limit {
                return None;
            }
            let d = distance(&wanted, &chars);
            (d <= limit && d < wanted.len().max(1)).then_some((d, c))
        })
        .collect();
    found.sort();
    found.dedup();
    found.into_iter().take(3).map(|(_, c)| c.to_string()).collect()
}

/// Levenshtein distance by one row.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn finds_typos_and_nothing_else() {
        let names = ["orders", "order_items", "users", "Users", "x"];
        assert_eq!(near("ordres", names.into_iter()), ["orders"]);
        assert_eq!(near("USERS", names.into_iter()), ["Users", "users"]);
        assert!(near("payments", names.into_iter()).is_empty());
        assert!(near("y", names.into_iter()).is_empty());
    }
}
