//! The files of `xtask/guards`: how one guard is taken out, and which tests then fail.
//!
//! ```text
//! # Anything about it.
//! about: columns of one name: a filter lands on the right one
//! test: fjord-engine a_filter_never_lands_on_another_column
//! file: engine/src/federation/barrier.rs
//! <<<<
//! let wrapped = !unique;
//! ====
//! let wrapped = !unique && !OUT;
//! >>>>
//! ```
//!
//! The file's name is the guard's. `test` is a package, or a package's test program (`fjord-sqllogictests::guards`), and a function. There may be several
//! tests, files, and texts for a file. A text is found as it stands, line by line, indentation aside, and exactly once. `OUT` in what is put in its place is
//! true where the guard is to be left out.

use std::fmt;
use std::path::{Path, PathBuf};

use fjord_harness::{Error, Result};

/// How one guard is taken out.
#[derive(Debug, PartialEq)]
pub struct Entry {
    pub name: String,
    pub about: String,
    pub tests: Vec<Test>,
    pub edits: Vec<Edit>,
}

/// A text of a file and what replaces it.
#[derive(Debug, PartialEq)]
pub struct Edit {
    pub file: PathBuf,
    pub find: String,
    pub put: String,
}

/// A test that fails without the guard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    package: String,
    /// A file of the package's `tests`; otherwise it is a unit test.
    program: Option<String>,
    function: String,
}

impl Test {
    /// What cargo builds and runs for it.
    pub fn selection(&self) -> Vec<String> {
        let package = ["--package".to_string(), self.package.clone()];
        let program = match &self.program {
            Some(p) => vec!["--test".to_string(), p.clone()],
            None => vec!["--lib".to_string()],
        };
        package.into_iter().chain(program).collect()
    }
    /// nextest's expression for it.
    pub fn filter(&self) -> String {
        format!("test(/(^|::){}$/)", self.function)
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.program {
            Some(p) => write!(f, "{}::{p} {}", self.package, self.function),
            None => write!(f, "{} {}", self.package, self.function),
        }
    }
}

/// All entries of a folder, by name.
pub fn read(folder: &Path) -> Result<Vec<Entry>> {
    let mut all = vec![];
    for file in std::fs::read_dir(folder).map_err(Error::at(folder.display()))? {
        let path = file?.path();
        let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default().to_string();
        let text = std::fs::read_to_string(&path).map_err(Error::at(path.display()))?;
        all.push(parse(&name, &text).map_err(Error::at(path.display()))?);
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn parse(name: &str, text: &str) -> Result<Entry> {
    let mut entry = Entry { name: name.to_string(), about: String::new(), tests: vec![], edits: vec![] };
    let mut file: Option<PathBuf> = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        match line.split_once(": ") {
            _ if line.trim().is_empty() || line.starts_with('#') => {}
            _ if line == "<<<<" => {
                let file = file.clone().ok_or_else(|| Error::new("a text without a file"))?;
                let find = until(&mut lines, "====")?;
                entry.edits.push(Edit { file, find, put: until(&mut lines, ">>>>")? });
            }
            Some(("about", about)) => entry.about = about.to_string(),
            Some(("test", t)) => entry.tests.push(test(t)?),
            Some(("file", f)) => file = Some(f.into()),
            _ => return Err(Error::new(format!("not understood: {line}"))),
        }
    }
    if entry.about.is_empty() || entry.tests.is_empty() || !entry.edits.iter().any(|e| e.put.contains("OUT")) {
        return Err(Error::new("an entry has about, test, file and a text that speaks of OUT"));
    }
    Ok(entry)
}

fn until<'a>(lines: &mut impl Iterator<Item = &'a str>, end: &str) -> Result<String> {
    let mut text = String::new();
    for line in lines {
        if line == end {
            return Ok(text);
        }
        text.push_str(line);
        text.push('\n');
    }
    Err(Error::new(format!("no {end}")))
}

fn test(text: &str) -> Result<Test> {
    let (place, function) = text.split_once(' ').ok_or_else(|| Error::new(format!("a test is a package and a function: {text}")))?;
    let (package, program) = place.split_once("::").map_or((place, None), |(p, t)| (p, Some(t.to_string())));
    Ok(Test { package: package.to_string(), program, function: function.to_string() })
}

impl Edit {
    /// The text with the guard behind a switch.
    ///
    /// # Errors
    /// It is not there, or more than once.
    pub fn applied(&self, text: &str, switch: &str) -> Result<String> {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let wanted: Vec<&str> = self.find.lines().map(str::trim).collect();
        let here = |from: &usize| lines[*from..*from + wanted.len()].iter().map(|l| l.trim()).eq(wanted.iter().copied());
        let found: Vec<usize> = (0..(lines.len() + 1).saturating_sub(wanted.len())).filter(here).collect();
        let [at] = found.as_slice() else {
            let times = if found.is_empty() { "no longer found".to_string() } else { format!("found {} times", found.len()) };
            return Err(Error::new(format!("{}: this text is {times}:\n{}", self.file.display(), self.find)));
        };
        let put = self.put.replace("OUT", switch);
        Ok([lines[..*at].concat(), put, lines[*at + wanted.len()..].concat()].concat())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEXT: &str =
        "# Why.\nabout: it\ntest: a::b c\ntest: d e\nfile: x/y.rs\n<<<<\nif a {\n    b();\n====\nif a && !OUT {\n    b();\n>>>>\n";

    #[test]
    fn an_entry_is_read() {
        let e = parse("n", TEXT).unwrap();
        assert_eq!((e.about.as_str(), e.tests.len(), e.edits.len()), ("it", 2, 1));
        assert_eq!(e.tests[0].selection(), ["--package", "a", "--test", "b"]);
        assert_eq!(e.tests[1].selection(), ["--package", "d", "--lib"]);
        for wrong in ["about: it\n", &TEXT.replace("OUT", "true"), &TEXT.replace(">>>>", ""), &TEXT.replace("file: x/y.rs", "")] {
            assert!(parse("n", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_text_is_replaced_where_it_is_found_once() {
        let e = &parse("n", TEXT).unwrap().edits[0];
        assert_eq!(
            e.applied("fn f() {\n    if a {\n        b();\n    }\n}\n", "x()").unwrap(),
            "fn f() {\nif a && !x() {\n    b();\n    }\n}\n"
        );
        for other in ["if a {\n  c();\n", "if a {\nb();\nif a {\nb();\n", ""] {
            assert!(e.applied(other, "x()").is_err(), "{other}");
        }
    }
}
