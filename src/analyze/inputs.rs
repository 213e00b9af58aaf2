//! Which files an analysis reads, and what they are: paths, patterns, folders and hive partitions,
//! told apart by content. One analysis reads one kind of file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::live::{LiveKind, kind_of};
use crate::output;
use crate::trace::{REQUESTS_SCHEMA, parquet};
use crate::workload::trace_format;

use super::likeness;

/// How much of a file is looked at.
const HEAD: u64 = 64 << 10;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A trace, or what is to be read as one.
    Trace,
    /// The requests file of a trace.
    Requests,
    /// A trace of requests, as another system wrote it.
    RequestTrace,
    /// KV events.
    Events,
    /// LMCache's log of lookups.
    Lookups,
    /// JSON that kvtrace wrote.
    Result,
}

impl Kind {
    /// What such a file is, in words.
    pub fn words(self) -> &'static str {
        match self {
            Kind::Trace => "a trace",
            Kind::Requests => "the requests file of a trace",
            Kind::RequestTrace => "a trace of requests",
            Kind::Events => "a recording of KV events",
            Kind::Lookups => "LMCache's log of lookups",
            Kind::Result => "a result of kvtrace",
        }
    }
}

/// One input: a file, or the files that are its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As it was typed or found.
    pub name: String,
    /// Its files, in their order.
    pub parts: Vec<PathBuf>,
}

/// Finds the files that were typed, and what all of them are.
///
/// # Errors
/// When a path is not there, a pattern or a folder holds nothing, or files are of different kinds.
pub fn find(typed: &[PathBuf]) -> Result<(Kind, Vec<Source>)> {
    let mut sources = Vec::new();
    for path in typed {
        if path.is_dir() {
            sources.extend(of_folder(path)?);
        } else if !path.exists() && path.to_string_lossy().contains(['*', '?', '[']) {
            sources.extend(of_pattern(path)?);
        } else {
            sources.push(Source { name: path.display().to_string(), parts: vec![path.clone()] });
        }
    }
    let mut common: Option<(Kind, &Path)> = None;
    for path in sources.iter().flat_map(|source| &source.parts) {
        let kind = kind(path)?;
        let (first, of) = *common.get_or_insert((kind, path));
        if first != kind {
            return Err(Error::usage(format!(
                "{} is {}, but {} is {}; analyse them apart",
                of.display(),
                first.words(),
                path.display(),
                kind.words()
            )));
        }
    }
    let kind = common.ok_or_else(|| Error::usage("there is no input; name a file"))?.0;
    Ok((kind, sources))
}

/// What a file is. Anything that is not told from its beginning is left to the reader of traces,
/// which says what is wrong with it.
///
/// # Errors
/// When it cannot be read.
pub fn kind(path: &Path) -> Result<Kind> {
    if output::is_standard(path) || !path.is_file() {
        return Ok(Kind::Trace);
    }
    let mut file = File::open(path).map_err(|e| Error::reading(path, &e))?;
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(HEAD).read_to_end(&mut head).map_err(|e| Error::reading(path, &e))?;
    if head.starts_with(b"PAR1") {
        let footer = parquet::footer_value(file, &path.display().to_string(), REQUESTS_SCHEMA);
        return Ok(if matches!(footer, Ok(Some(_))) { Kind::Requests } else { Kind::Trace });
    }
    if head.starts_with(&zstd::zstd_safe::MAGICNUMBER.to_le_bytes()) {
        head = unpacked(path).unwrap_or_default();
    }
    if head.trim_ascii_start().starts_with(b"{") && likeness::names_our_schema(&head) {
        return Ok(Kind::Result);
    }
    Ok(match kind_of(&head) {
        Some(LiveKind::Lookups) => Kind::Lookups,
        Some(_) => Kind::Events,
        None if likeness::of(&head) == likeness::Likeness::Trace => Kind::Trace,
        None if trace_format(path).is_ok() => Kind::RequestTrace,
        None => Kind::Trace,
    })
}

/// The beginning of a packed file, as far as it can be unpacked.
fn unpacked(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut decoder = zstd::stream::read::Decoder::new(File::open(path)?)?.take(HEAD);
    match decoder.read_to_end(&mut head) {
        Err(e) if head.is_empty() => Err(e),
        _ => Ok(head),
    }
}

/// A pattern's files, those of one hive-partitioned folder together.
fn of_pattern(pattern: &Path) -> Result<Vec<Source>> {
    let text = pattern.to_string_lossy();
    let found = glob::glob(&text).map_err(|e| Error::usage(format!("{text} is not a pattern: {e}")))?;
    let mut files = Vec::new();
    for path in found {
        let path = path.map_err(|e| Error::reading(e.path(), e.error()))?;
        if path.is_file() && !is_companion(&path) {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Error::usage(format!("no file fits the pattern {text}")));
    }
    Ok(grouped(files))
}

/// A folder's files: the parts of one table where they are partitions or carry no metadata of
/// their own, else a trace each.
fn of_folder(folder: &Path) -> Result<Vec<Source>> {
    let mut files = Vec::new();
    walk(folder, &mut files)?;
    let is_table = |path: &PathBuf| ["parquet", "csv", "zst"].iter().any(|e| path.extension().is_some_and(|x| x == *e));
    let tables: Vec<PathBuf> = files.iter().filter(|path| is_table(path) && !is_companion(path)).cloned().collect();
    let nothing = || {
        Error::usage(format!(
            "{} is a directory without a trace, a trace of requests or a recording; name a file in it",
            folder.display()
        ))
    };
    if tables.is_empty() || kind(&tables[0])? != Kind::Trace {
        files.retain(|path| {
            !is_companion(path) && kind(path).is_ok_and(|kind| kind != Kind::Trace && kind != Kind::Result)
        });
        if files.is_empty() {
            return Err(nothing());
        }
        return Ok(grouped(files));
    }
    let sources = grouped(tables);
    let alone = sources.iter().all(|source| source.parts.len() == 1);
    let ours = |source: &Source| carries_metadata(&source.parts[0]);
    if !alone || sources.len() == 1 || sources.iter().any(ours) {
        return Ok(sources);
    }
    let parts = sources.into_iter().flat_map(|source| source.parts).collect();
    Ok(vec![Source { name: folder.display().to_string(), parts }])
}

fn carries_metadata(path: &Path) -> bool {
    let footer = || parquet::footer_value(File::open(path).ok()?, "", crate::trace::meta::TRACE_SCHEMA).ok()?;
    output::sidecar_path(path).exists() || path.extension().is_some_and(|e| e == "parquet") && footer().is_some()
}

/// Files that belong to others, and hidden ones.
fn is_companion(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(['.', '_']) || name.ends_with(".requests.parquet") || name.ends_with(".meta.json")
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable = |e| Error::reading(folder, &e);
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.is_dir() && !path.is_symlink() && is_partition(&path) {
            walk(&path, files)?;
        } else if path.is_file() && !hidden {
            files.push(path);
        }
    }
    Ok(())
}

/// `day=1`: a folder of a partition.
fn is_partition(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split_once('=').is_some_and(|(column, _)| !column.is_empty())
}

/// The files in their order, those below one folder of partitions as the parts of one source.
fn grouped(mut files: Vec<PathBuf>) -> Vec<Source> {
    files.sort_by_cached_key(|path| natural(&path.to_string_lossy()));
    let mut sources: Vec<Source> = Vec::new();
    let mut last_root = None;
    for path in files {
        let root = path.ancestors().filter(|above| is_partition(above) && *above != path).last();
        let root = root.and_then(Path::parent).map(Path::to_owned);
        match (&root, sources.last_mut()) {
            (Some(_), Some(source)) if root == last_root => source.parts.push(path),
            _ => {
                let name = root.as_ref().unwrap_or(&path).display().to_string();
                sources.push(Source { name, parts: vec![path] });
            }
        }
        last_root = root;
    }
    sources
}

/// Text by which `day=2` comes before `day=10`: runs of digits count as numbers.
fn natural(text: &str) -> Vec<(u64, String)> {
    let mut pieces: Vec<(u64, String)> = vec![(0, String::new())];
    let mut in_number = false;
    for c in text.chars() {
        let digit = c.to_digit(10);
        if digit.is_some() != in_number {
            in_number = digit.is_some();
            if in_number {
                pieces.push((0, String::new()));
            }
        }
        let last = pieces.len() - 1;
        match digit {
            Some(digit) => pieces[last].0 = pieces[last].0.saturating_mul(10).saturating_add(digit.into()),
            None => pieces[last].1.push(c),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_the_parts_of_one_source_in_the_order_of_their_numbers() {
        let paths = ["t/day=10/a.parquet", "t/day=2/a.parquet", "u/x.parquet", "t/day=1/h=3/a.parquet"];
        let sources = grouped(paths.map(PathBuf::from).to_vec());
        let parts: Vec<_> = sources[0].parts.iter().map(|path| path.display().to_string()).collect();
        assert_eq!(sources.len(), 2);
        assert_eq!((sources[0].name.as_str(), sources[1].name.as_str()), ("t", "u/x.parquet"));
        assert_eq!(parts, ["t/day=1/h=3/a.parquet", "t/day=2/a.parquet", "t/day=10/a.parquet"]);
    }
}
