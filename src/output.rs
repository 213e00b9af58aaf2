//! Files that kvtrace writes: to a temporary name, renamed when complete, never over somebody
//! else's work, owned by whoever called `sudo`.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::error::{Error, Kind, Result, plain};

/// Whether a file that does not look like ours may be replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Only files of the same kind that kvtrace wrote are replaced.
    #[default]
    Ours,
    /// Anything is replaced (`--overwrite`).
    Anything,
}

/// A file being written. It appears under its name only on [`Output::finish`]; dropped before
/// that, it leaves nothing behind.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    temporary: PathBuf,
    schema: String,
    overwrite: Overwrite,
    file: File,
    closed: bool,
}

impl Output {
    /// Opens `path` for writing a file of `schema` (`kvtrace.replay/1`).
    ///
    /// # Errors
    /// When the file exists and is not ours or of another kind, or the folder cannot be written.
    pub fn create(path: &Path, schema: &str, overwrite: Overwrite) -> Result<Self> {
        check_replaceable(path, schema, overwrite)?;
        let temporary = sibling(path, |name| format!(".{name}.kvtrace-{}", std::process::id()))?;
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)
            .map_err(|e| Error::writing(path, &e))?;
        // Whoever finds the file later can tell by the lock whether its writer lives, on another host
        // or in another container too. A filesystem without locks leaves the process's number.
        let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        give_to_invoker(&temporary);
        Ok(Self { path: path.to_owned(), temporary, schema: schema.to_owned(), overwrite, file, closed: false })
    }

    /// The final name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another handle on the file being written, for writers that want to own theirs.
    pub fn handle(&self) -> Result<File> {
        self.file.try_clone().map_err(|e| Error::writing(&self.path, &e))
    }

    /// The file is complete: it gets its name.
    pub fn finish(self) -> Result<()> {
        let path = self.path.clone();
        self.rename_to(&path)
    }

    /// The run was interrupted: the file is kept as [`Output::partial_name`], which is returned.
    pub fn keep_partial(self) -> Result<PathBuf> {
        let partial = self.partial_name()?;
        self.rename_to(&partial)?;
        Ok(partial)
    }

    /// `<stem>.partial.<ext>`, with a number where somebody else's file has that name.
    pub fn partial_name(&self) -> Result<PathBuf> {
        let numbered = (2..100).map(|number| format!(".partial{number}"));
        let names = std::iter::once(".partial".to_owned()).chain(numbered);
        let may_be_used = |path: &PathBuf| check_replaceable(path, &self.schema, self.overwrite).is_ok();
        let taken = || Error::usage(format!("{} and 98 others are taken", partial_path(&self.path).display()));
        names.map(|mark| marked(&self.path, &mark)).find(may_be_used).ok_or_else(taken)
    }

    fn rename_to(mut self, path: &Path) -> Result<()> {
        self.file.flush().and_then(|()| fs::rename(&self.temporary, path)).map_err(|e| Error::writing(path, &e))?;
        self.closed = true;
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.file.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.closed {
            // Nothing can be done about a temporary file that will not go; its name says whose it is.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Whether nobody holds a temporary file of ours that is still there: its writer is gone.
pub fn is_abandoned(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Writes a whole small file of `schema`, or standard output when `path` is `-`.
pub fn write_all(path: &Path, schema: &str, overwrite: Overwrite, data: &[u8]) -> Result<()> {
    if is_standard(path) {
        return to_stdout(data);
    }
    let mut output = Output::create(path, schema, overwrite)?;
    output.write_all(data).map_err(|e| Error::writing(path, &e))?;
    output.finish()
}

/// Writes to standard output; a reader that went away is not an error.
pub fn to_stdout(data: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(data).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io(format!("cannot write to standard output: {}", plain(&e))))
        }
        _ => Ok(()),
    }
}

/// Writes a part of something long to standard output.
///
/// # Errors
/// When it cannot be written. That its reader went away is one of them ([`Kind::ReaderGone`]):
/// making the rest would be in vain.
pub fn stream_to_stdout(data: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(data).and_then(|()| out.flush()).map_err(|e| match e.kind() {
        io::ErrorKind::BrokenPipe => {
            Error::new(Kind::ReaderGone, "whoever read standard output went away; the rest is left out")
        }
        _ => Error::io(format!("cannot write to standard output: {}", plain(&e))),
    })
}

/// Serialises a value as JSON for people and programs, with a final newline: a line for each
/// field of an object, arrays of numbers on one line.
pub fn to_json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, FlatArrays::default());
    value.serialize(&mut serializer).expect("our result types have string keys and serialise");
    text.push(b'\n');
    text
}

/// serde_json's pretty form but for arrays, which hold thousands of bucket edges here.
#[derive(Default)]
struct FlatArrays {
    depth: usize,
    filled: bool,
}

impl FlatArrays {
    fn new_line<W: ?Sized + Write>(&self, out: &mut W) -> io::Result<()> {
        write!(out, "\n{:indent$}", "", indent = 2 * self.depth)
    }
}

impl serde_json::ser::Formatter for FlatArrays {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        out.write_all(b"{")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if !first {
            out.write_all(b",")?;
        }
        self.new_line(out)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _out: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth -= 1;
        if self.filled {
            self.new_line(out)?;
        }
        out.write_all(b"}")
    }
}

/// Whether a path means standard input or output.
pub fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// `v1.0.csv.zst` → `v1.0`: the file name without what says its format (a leading dot belongs to
/// the name).
pub fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if let Some(stem) = name.strip_suffix(".requests.parquet") {
        return stem.to_owned();
    }
    let unpacked = name.strip_suffix(".zst").unwrap_or(&name);
    let is_format = |extension: &str| extension.starts_with(|c: char| c.is_ascii_alphabetic());
    match unpacked.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && is_format(extension) => stem.to_owned(),
        _ => unpacked.to_owned(),
    }
}

/// `dir/t.csv.zst` → `dir/t.partial.csv.zst`.
pub fn partial_path(path: &Path) -> PathBuf {
    marked(path, ".partial")
}

fn marked(path: &Path, mark: &str) -> PathBuf {
    let stem = stem(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}{mark}{}", &name[stem.len()..]))
}

/// A companion of `path`: `dir/t.csv.zst` and `requests.parquet` → `dir/t.requests.parquet`.
pub fn companion(path: &Path, suffix: &str) -> PathBuf {
    path.with_file_name(format!("{}.{suffix}", stem(path)))
}

/// Creates a folder and its parents for outputs, owned by whoever called `sudo`.
pub fn create_dir(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        create_dir(parent)?;
    }
    fs::create_dir(path).map_err(|e| Error::writing(path, &e))?;
    give_to_invoker(path);
    Ok(())
}

/// Fails when `path` exists and may not be replaced by a file of `schema`, or when its folder does
/// not exist.
pub fn check_replaceable(path: &Path, schema: &str, overwrite: Overwrite) -> Result<()> {
    let Ok(facts) = fs::metadata(path) else { return check_folder(path) };
    if facts.is_dir() {
        return Err(Error::usage(format!("{} is a directory; name a file in it", path.display())));
    }
    // A finished file takes the place of what has its name: a device's node would be gone for everybody.
    if !facts.is_file() {
        return Err(Error::usage(format!(
            "{} is a device, a pipe or a socket, which a result would replace; name a file",
            path.display()
        )));
    }
    if overwrite == Overwrite::Anything {
        return Ok(());
    }
    let what = match schema_of(path, kind(schema)) {
        Some(found) if kind(&found) == kind(schema) => return Ok(()),
        Some(found) => format!("is a {found} file"),
        None => "was not written by kvtrace".to_owned(),
    };
    Err(Error::usage(format!("{} exists and {what}; choose another name or add --overwrite", path.display())))
}

fn check_folder(path: &Path) -> Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        None => Ok(()),
        Some(folder) => Err(Error::usage(format!(
            "cannot write {}: there is no folder {}; make it first (mkdir -p)",
            path.display(),
            folder.display()
        ))),
    }
}

/// `kvtrace.replay` of `kvtrace.replay/1`.
fn kind(schema: &str) -> &str {
    schema.split_once('/').map_or(schema, |(kind, _)| kind)
}

/// The sidecar that holds the metadata of a plain CSV: `t.csv` → `t.csv.meta.json`.
pub fn sidecar_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".meta.json");
    PathBuf::from(name)
}

fn sibling(path: &Path, rename: impl Fn(&str) -> String) -> Result<PathBuf> {
    match path.file_name() {
        Some(name) => Ok(path.with_file_name(rename(&name.to_string_lossy()))),
        None => Err(Error::usage(format!("`{}` does not name a file", path.display()))),
    }
}

/// The schema that a file or its sidecar carries, if it is ours. Text names it near its start;
/// binary formats near their end, where `preferred` wins when several are named.
fn schema_of(path: &Path, preferred: &str) -> Option<String> {
    let of = |path: &Path| -> io::Result<Option<String>> {
        const HEAD: u64 = 4 << 10;
        const TAIL: u64 = 64 << 10;
        let mut file = File::open(path)?;
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(HEAD).read_to_end(&mut head)?;
        if let Some(first) = first_schema(&head) {
            return Ok(Some(first));
        }
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut tail = Vec::new();
        file.take(TAIL).read_to_end(&mut tail)?;
        Ok(schemas_in(&tail).find(|found| kind(found) == preferred).or_else(|| schemas_in(&tail).last()))
    };
    of(path).ok().flatten().or_else(|| of(&sidecar_path(path)).ok().flatten())
}

/// The first schema that some bytes name.
pub fn first_schema(data: &[u8]) -> Option<String> {
    schemas_in(data).next()
}

/// Every `kvtrace.<kind>/<version>` in some bytes.
fn schemas_in(data: &[u8]) -> impl Iterator<Item = String> + '_ {
    const NAME: &[u8] = b"kvtrace.";
    data.windows(NAME.len()).enumerate().filter(|(_, w)| *w == NAME).filter_map(|(at, _)| {
        let rest = &data[at + NAME.len()..];
        let letters = rest.iter().take_while(|b| b.is_ascii_lowercase()).count();
        let digits = rest.get(letters + 1..)?.iter().take_while(|b| b.is_ascii_digit()).count();
        let whole = letters > 0 && rest[letters] == b'/' && digits > 0;
        whole.then(|| format!("kvtrace.{}", String::from_utf8_lossy(&rest[..letters + 1 + digits])))
    })
}

/// Under `sudo`, a file belongs to the user who called it. Failing to give it away is no reason
/// to fail the run.
pub fn give_to_invoker(path: &Path) {
    let id = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    if let (Some(uid), Some(gid)) = (id("SUDO_UID"), id("SUDO_GID")) {
        let _ = std::os::unix::fs::chown(path, Some(uid), Some(gid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_device_or_pipe_is_replaced_whatever_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _held = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [Path::new("/dev/null"), &socket] {
            for overwrite in [Overwrite::Ours, Overwrite::Anything] {
                let refused = check_replaceable(path, "kvtrace.job/1", overwrite).unwrap_err().to_string();
                assert!(refused.contains("name a file"), "{refused}");
            }
        }
    }

    #[test]
    fn names_of_companions() {
        let path = Path::new("dir/t.csv.zst");
        assert_eq!(partial_path(path), Path::new("dir/t.partial.csv.zst"));
        assert_eq!(companion(path, "requests.parquet"), Path::new("dir/t.requests.parquet"));
        for (name, expected) in [
            ("plain", "plain"),
            ("v1.0", "v1.0"),
            ("z.seed1.csv", "z.seed1"),
            ("t.requests.parquet", "t"),
            ("t.partial.csv.zst", "t.partial"),
            (".csv", ".csv"),
        ] {
            assert_eq!(stem(Path::new(name)), expected);
        }
    }

    #[test]
    fn a_strangers_partial_file_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        fs::write(dir.path().join("out.partial.json"), "my notes").unwrap();
        let mut output = Output::create(&path, "kvtrace.replay/1", Overwrite::Ours).unwrap();
        output.write_all(b"half").unwrap();
        assert_eq!(output.keep_partial().unwrap(), dir.path().join("out.partial2.json"));
        assert_eq!(fs::read(dir.path().join("out.partial.json")).unwrap(), b"my notes");
    }

    #[test]
    fn an_unfinished_output_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        let mut output = Output::create(&path, "kvtrace.replay/1", Overwrite::Ours).unwrap();
        output.write_all(b"half").unwrap();
        drop(output);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn json_is_readable_and_means_the_same() {
        let value = serde_json::json!({"a": [[1, 2], [3]], "b": {"c": {}, "d": [{"e": null}]}, "f": "x"});
        let text = String::from_utf8(to_json(&value)).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        assert!(text.starts_with("{\n  \"a\": [[1, 2], [3]],\n  \"b\": {\n    \"c\": {},\n"), "{text}");
    }

    #[test]
    fn strangers_files_are_kept_and_ours_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        let write = |data: &[u8]| write_all(&path, "kvtrace.replay/1", Overwrite::Ours, data);
        fs::write(&path, "precious").unwrap();
        let refusal = write(b"new").unwrap_err();
        assert!(refusal.to_string().contains("--overwrite"), "{refusal}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::write(&path, r#"{"schema":"kvtrace.replay/1","block":{"schema":"kvtrace.block/1"}}"#).unwrap();
        let other = write_all(&path, "kvtrace.block/1", Overwrite::Ours, b"new").unwrap_err();
        assert!(other.to_string().contains("is a kvtrace.replay/1 file"), "{other}");
        write(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
