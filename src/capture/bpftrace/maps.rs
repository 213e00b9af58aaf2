//! The maps of a text, and which of several prints of one counts.
//!
//! bpftrace never clears a map on its own, so a later print of a run holds what an earlier one
//! did: the last counts, as in the reference's parser. Where a map was cleared between two prints,
//! or a text holds several runs, counts go back or a new run announces itself; what was counted
//! before is then added.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::lines::{Bucket, Line, parse};

/// Most buckets of one print; bpftrace itself takes no more than 1000.
const MOST_BUCKETS: usize = 4096;

/// A bucket's ends as printed.
type Range = (Option<i64>, Option<i64>);

/// Where reading ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// Everything a text says.
#[derive(Clone, Debug, Default)]
pub struct Maps {
    histograms: BTreeMap<String, Counted>,
    /// The last print of each single value.
    values: BTreeMap<String, String>,
    /// Entries of maps with keys in the last print of each: leftovers of the script's bookkeeping.
    entries: BTreeMap<String, u64>,
    /// Histograms of maps with keys, and their values.
    keyed_histograms: BTreeMap<String, u64>,
    /// Where reading ended early.
    pub cut: Option<Cut>,
    /// The histogram after whose last bucket the text ends, without the empty line that follows.
    pub open: Option<String>,
}

/// A histogram over all of its prints.
#[derive(Clone, Debug, Default)]
struct Counted {
    before: BTreeMap<Range, u64>,
    last: BTreeMap<Range, u64>,
    run: usize,
    restarts: u64,
}

/// The print being read.
struct Print {
    name: String,
    keyed: bool,
    line: usize,
    buckets: Vec<Bucket>,
}

impl Maps {
    /// Reads a text up to its end, or to the first line that is broken.
    pub fn of(text: &str) -> Self {
        let mut maps = Self::default();
        if let Err(cut) = maps.fill(text) {
            maps.cut = Some(cut);
        }
        maps
    }

    /// The buckets of a histogram, ascending, and how often its counts began anew; none when it
    /// was not printed or is empty.
    pub fn histogram(&self, name: &str) -> Option<(Vec<(Range, u64)>, u64)> {
        let counted = self.histograms.get(name)?;
        let mut sum = counted.before.clone();
        for (range, count) in &counted.last {
            let sum = sum.entry(*range).or_default();
            *sum = sum.saturating_add(*count);
        }
        let mut buckets: Vec<_> = sum.into_iter().filter(|(_, count)| *count > 0).collect();
        buckets.sort_by_key(|((low, _), _)| low.unwrap_or(i64::MIN));
        (!buckets.is_empty()).then_some((buckets, counted.restarts))
    }

    /// A single value, if it is a number.
    pub fn value(&self, name: &str) -> Option<i64> {
        self.values.get(name)?.parse().ok()
    }

    /// Entries of a map with keys.
    pub fn entries(&self, name: &str) -> u64 {
        self.entries.get(name).copied().unwrap_or(0)
    }

    /// Every map, as `@name`.
    pub fn names(&self) -> Vec<String> {
        let all = self.histograms.keys().chain(self.values.keys());
        let all: BTreeSet<_> = all.chain(self.entries.keys()).chain(self.keyed_histograms.keys()).collect();
        all.into_iter().map(|name| format!("@{name}")).collect()
    }

    /// What is there beside the known maps, in words.
    pub fn unknown(&self, known: impl Fn(&str) -> bool) -> Vec<String> {
        let plain = self.histograms.iter().filter(|(name, _)| !known(name)).map(|(name, counted)| {
            let all = counted.before.values().chain(counted.last.values());
            let values = all.fold(0u64, |sum, count| sum.saturating_add(*count));
            format!("@{name} (a histogram of {values} values)")
        });
        let keyed = self.keyed_histograms.iter();
        let keyed = keyed.map(|(name, values)| format!("@{name}[…] (histograms of {values} values)"));
        let values =
            self.values.iter().filter(|(name, _)| !known(name)).map(|(name, value)| format!("@{name}: {value}"));
        let entries = self.entries.iter().filter(|(name, _)| !known(name));
        plain.chain(keyed).chain(values).chain(entries.map(|(name, n)| format!("@{name}[…] ({n} entries)"))).collect()
    }

    fn fill(&mut self, text: &str) -> Result<(), Cut> {
        let mut run = 0;
        let mut open: Option<Print> = None;
        // The map whose entries are being listed.
        let mut listed = "";
        for (at, line) in text.lines().enumerate() {
            let cut = |why: String| Cut { line: at + 1, why };
            let line = parse(line).map_err(cut)?;
            if let Line::Bucket(bucket) = line {
                let print = open.as_mut().ok_or_else(|| cut("a bucket without a map's name above it".to_owned()))?;
                print.add(bucket).map_err(cut)?;
                continue;
            }
            if line == Line::Other {
                continue;
            }
            if let Some(print) = open.take() {
                self.close(print, run)?;
            }
            match line {
                Line::Start => run += 1,
                Line::Head { name, keyed } => {
                    open = Some(Print { name: name.to_owned(), keyed, line: at + 1, buckets: Vec::new() });
                }
                Line::Value { name, keyed: false, value } => {
                    self.values.insert(name.to_owned(), value.to_owned());
                }
                Line::Value { name, keyed: true, .. } => {
                    let entries = self.entries.entry(name.to_owned()).or_default();
                    *entries = if listed == name { *entries + 1 } else { 1 };
                    listed = name;
                    continue;
                }
                Line::Blank | Line::Bucket(_) | Line::Other => {}
            }
            listed = "";
        }
        if let Some(print) = open {
            self.open = Some(print.name.clone());
            self.close(print, run)?;
        } else if !text.ends_with('\n') && text.lines().last().is_some_and(|line| line.trim_start().starts_with('@')) {
            let why = "the text ends in it, without an end of line".to_owned();
            return Err(Cut { line: text.lines().count(), why });
        }
        Ok(())
    }

    fn close(&mut self, print: Print, run: usize) -> Result<(), Cut> {
        let Print { name, keyed, line, buckets } = print;
        let values: u64 = buckets.iter().fold(0, |sum, bucket| sum.saturating_add(bucket.count));
        if values > 0 && !buckets.iter().any(|bucket| bucket.full) {
            let why = format!("@{name} has no bucket with a full bar: the one with the most values is missing");
            return Err(Cut { line, why });
        }
        if keyed {
            let sum = self.keyed_histograms.entry(name).or_default();
            *sum = sum.saturating_add(values);
            return Ok(());
        }
        let print = buckets.into_iter().map(|bucket| ((bucket.low, bucket.high), bucket.count)).collect();
        self.histograms.entry(name).or_default().print(print, run);
        Ok(())
    }
}

impl Print {
    fn add(&mut self, bucket: Bucket) -> Result<(), String> {
        let follows = self.buckets.last().is_none_or(|last| match (last.high, bucket.low) {
            (Some(high), Some(low)) => high <= low,
            _ => false,
        });
        if !follows {
            return Err(format!("a bucket of @{} that does not lie above the one before it", self.name));
        }
        if self.buckets.len() == MOST_BUCKETS {
            return Err(format!("@{} has more than {MOST_BUCKETS} buckets; bpftrace makes 1000 at most", self.name));
        }
        self.buckets.push(bucket);
        Ok(())
    }
}

impl Counted {
    fn print(&mut self, print: BTreeMap<Range, u64>, run: usize) {
        let holds_last = self.last.iter().all(|(range, count)| print.get(range).is_some_and(|now| now >= count));
        if !self.last.is_empty() && (run != self.run || !holds_last) {
            for (range, count) in std::mem::take(&mut self.last) {
                let sum = self.before.entry(range).or_default();
                *sum = sum.saturating_add(count);
            }
            self.restarts += 1;
        }
        self.last = print;
        self.run = run;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "|@@@@|";

    fn count(text: &str) -> (u64, u64) {
        let maps = Maps::of(text);
        assert_eq!(maps.cut, None, "{text}");
        let (buckets, restarts) = maps.histogram("x").expect("it was printed");
        (buckets.iter().map(|bucket| bucket.1).sum(), restarts)
    }

    #[test]
    fn the_last_print_holds_the_earlier_ones() {
        let text = format!("@x: \n[1]  5 {FULL}\n\n@x: \n[0]  1 |  |\n[1]  7 {FULL}\n\n");
        assert_eq!(count(&text), (8, 0));
    }

    #[test]
    fn prints_of_a_cleared_map_and_of_two_runs_add_up() {
        let cleared = format!("@x: \n[1]  5 {FULL}\n\n@x: \n[1]  3 {FULL}\n\n@x: \n[2, 4)  9 {FULL}\n\n");
        assert_eq!(count(&cleared), (17, 2));
        let start = "Attaching 16 probes...";
        let runs = format!("{start}\n@x: \n[1]  5 {FULL}\n\n{start}\n@x: \n[1]  6 {FULL}\n\n");
        assert_eq!(count(&runs), (11, 1));
    }

    #[test]
    fn leftovers_are_counted_in_the_last_print() {
        let maps = Maps::of("@d[1, 2]: 5\n@d[1, 3]: 6\n\n@inflight_read: 4\n@d[1, 9]: 7\n");
        assert_eq!((maps.entries("d"), maps.value("inflight_read")), (1, Some(4)));
    }

    #[test]
    fn what_is_broken_names_its_line_and_keeps_what_came_before() {
        for (broken, says) in [
            ("[4, 8)   5 |@@", "line 6: `[4, 8)   5 |@@` is no whole bucket"),
            ("[1]   5 |@@@@|", "line 6: a bucket of @y that does not lie above"),
            ("@z", "line 6: `@z` is a map without"),
        ] {
            let maps = Maps::of(&format!("@x: \n[1]  5 {FULL}\n\n@y: \n[2, 4)  5 {FULL}\n{broken}"));
            let cut = maps.cut.as_ref().expect(broken).to_string();
            assert!(cut.starts_with(says), "{cut}");
            assert!(maps.histogram("x").is_some());
            assert!(maps.histogram("y").is_none(), "a histogram that may be cut is left out");
        }
        let headless = Maps::of("[1]  5 |@@@@|\n").cut.expect("no name").to_string();
        assert!(headless.starts_with("line 1: a bucket without"), "{headless}");
    }

    #[test]
    fn a_missing_largest_bucket_shows() {
        let cut = Maps::of("@x: \n[1]  5 |@@  |\n\n").cut.expect("the bar says so");
        assert_eq!((cut.line, cut.why.contains("@x")), (1, true));
    }

    #[test]
    fn an_end_within_a_value_is_told() {
        let cut = Maps::of("@d[1, 2]: 5\n@d[1, 3]: 69").cut.expect("its digits may go on");
        assert_eq!(cut.line, 2);
        assert_eq!(Maps::of("@d[1, 2]: 5\n@d[1, 3]: 69\n").cut, None);
    }

    #[test]
    fn an_end_right_after_a_bucket_is_told() {
        assert_eq!(Maps::of(&format!("@x: \n[1]  5 {FULL}\n")).open.as_deref(), Some("x"));
        assert_eq!(Maps::of(&format!("@x: \n[1]  5 {FULL}\n\n")).open, None);
    }
}
