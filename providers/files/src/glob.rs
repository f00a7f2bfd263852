//! Globs over relative paths: `*` and `?` within one folder, `**` over any, `[a-z]`, `[!a]` and `{csv,json}`.

/// Steps of matching, at most, for one path: a pattern of many stars must not take for ever.
const STEPS_MAX: u32 = 100_000;

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob(Vec<String>);

impl Glob {
    /// Text has a special character.
    pub(crate) fn is_glob(text: &str) -> bool {
        text.contains(['*', '?', '[', '{'])
    }

    /// A pattern; `{a,b}` are alternatives, at most 64 of them.
    pub(crate) fn new(text: &str) -> Option<Glob> {
        let mut done = vec![];
        let mut todo = vec![text.to_string()];
        while let Some(t) = todo.pop() {
            let Some(open) = t.find('{') else {
                done.push(t);
                continue;
            };
            let close = open + t[open..].find('}')?;
            for word in t[open + 1..close].split(',') {
                todo.push(format!("{}{word}{}", &t[..open], &t[close + 1..]));
            }
            if todo.len() + done.len() > 64 {
                return None;
            }
        }
        done.iter().all(|d| d.matches('[').count() <= d.matches(']').count()).then_some(Glob(done))
    }

    /// A whole relative path matches.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let path: Vec<char> = path.chars().collect();
        self.0.iter().any(|p| {
            let pattern: Vec<char> = p.chars().collect();
            walk(&pattern, &path, &mut 0)
        })
    }
}

fn walk(pattern: &[char], path: &[char], steps: &mut u32) -> bool {
    *steps += 1;
    if *steps > STEPS_MAX {
        return false;
    }
    match pattern {
        [] => path.is_empty(),
        ['*', '*', '/', rest @ ..] => {
            // Nothing, or any number of whole folders.
            walk(rest, path, steps) || (0..path.len()).filter(|i| path[*i] == '/').any(|i| walk(rest, &path[i + 1..], steps))
        }
        ['*', '*', rest @ ..] => (0..=path.len()).any(|i| walk(rest, &path[i..], steps)),
        ['*', rest @ ..] => {
            let end = path.iter().position(|c| *c == '/').unwrap_or(path.len());
            (0..=end).any(|i| walk(rest, &path[i..], steps))
        }
        ['?', rest @ ..] => path.split_first().is_some_and(|(c, more)| *c != '/' && walk(rest, more, steps)),
        ['[', rest @ ..] => {
            let (Some(close), Some((c, more))) = (rest.iter().skip(1).position(|c| *c == ']').map(|i| i + 1), path.split_first()) else {
                return false;
            };
            let (class, rest) = (&rest[..close], &rest[close + 1..]);
            let (negated, class) = match class {
                ['!' | '^', more @ ..] => (true, more),
                _ => (false, class),
            };
            *c != '/' && in_class(*c, class) != negated && walk(rest, more, steps)
        }
        [one, rest @ ..] => path.split_first().is_some_and(|(c, more)| c == one && walk(rest, more, steps)),
    }
}

fn in_class(c: char, class: &[char]) -> bool {
    let mut i = 0;
    while i < class.len() {
        if i + 2 < class.len() && class[i + 1] == '-' {
            if class[i] <= c && c <= class[i + 2] {
                return true;
            }
            i += 3;
        } else if class[i] == c {
            return true;
        } else {
            i += 1;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn patterns() {
        let m = |p: &str, t: &str| Glob::new(p).unwrap().matches(t);
        assert!(m("*.parquet", "a.parquet"));
        assert!(!m("*.parquet", "x/a.parquet"));
        assert!(m("**/*.parquet", "x/y/a.parquet") && m("**/*.parquet", "a.parquet"));
        assert!(m("year=*/a?.csv", "year=2024/a1.csv"));
        assert!(m("[a-c]*.{csv,json}", "b1.json") && !m("[!a-c]*.csv", "b1.csv"));
        assert!(Glob::new("{a").is_none() && Glob::new("[a").is_none());
        assert!(!m(&"*a".repeat(40), &"a".repeat(39)), "ends");
        assert!(!m(&"**a".repeat(30), &"b".repeat(2000)), "bounded");
    }
}
