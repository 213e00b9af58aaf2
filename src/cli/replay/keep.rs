//! A measured result is not lost: not to a second Ctrl-C, and not to an output that cannot be
//! written any more when the run has ended.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cli::terminal;
use crate::error::{Error, Result};
use crate::measure::BlockResult;
use crate::output::{self, Output};
use crate::replay::{Device, RunWatch};

/// Looks on like another, and from the moment the clock starts a second signal does not end the
/// process: the first one has the run end within seconds, with a result.
pub struct Patient<'a>(pub &'a mut dyn RunWatch);

impl RunWatch for Patient<'_> {
    fn begin(&mut self, devices: &[Device], pid: u32) -> Result<()> {
        terminal::keep_after_signals();
        self.0.begin(devices, pid)
    }

    fn end(&mut self) -> Result<Option<BlockResult>> {
        self.0.end()
    }
}

/// Gives a result its name, with `.partial` when it is not complete. Where it cannot be written
/// there, it goes to the temporary folder, or else to standard output, and the error says where.
///
/// # Errors
/// That it is not where it should be.
pub fn keep(mut file: Output, json: &[u8], complete: bool) -> Result<PathBuf> {
    let path = file.path().to_owned();
    let written = file.write_all(json).map_err(|e| Error::writing(&path, &e));
    let kept = written.and_then(|()| if complete { file.finish().map(|()| path.clone()) } else { file.keep_partial() });
    kept.or_else(|error| Err(Error::io(format!("{error}; {}", rescue(&path, json)?))))
}

/// Puts a result where there is room, and says where.
fn rescue(path: &Path, json: &[u8]) -> Result<String> {
    let rescued = std::env::temp_dir().join(format!("kvtrace-{}-{}.json", output::stem(path), std::process::id()));
    let open = File::options().write(true).create_new(true).open(&rescued);
    let written = open.and_then(|mut file| file.write_all(json).map_err(|e| (std::fs::remove_file(&rescued), e).1));
    if written.is_ok() {
        output::give_to_invoker(&rescued);
        return Ok(format!("the result is kept as {}", rescued.display()));
    }
    output::to_stdout(json)?;
    Ok("the result was printed on standard output instead".to_owned())
}

/// Removes what replays that were killed left beside `path`, and says so in a line for people; none
/// when there was nothing.
pub fn sweep(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    let start = format!(".{name}.kvtrace-");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let dead = entries.filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(&start).and_then(|pid| pid.parse::<u32>().ok());
        pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) && output::is_abandoned(&entry.path())
    });
    let (gone, stays): (Vec<_>, Vec<_>) =
        dead.map(|entry| entry.path()).partition(|path| std::fs::remove_file(path).is_ok());
    let list =
        |files: &[PathBuf]| files.iter().map(|path| format!("'{}'", path.display())).collect::<Vec<_>>().join(" ");
    let are = |files: &[PathBuf]| if files.len() == 1 { "is" } else { "are" };
    let removed = (!gone.is_empty()).then(|| format!("removed what a killed run left: {}", list(&gone)));
    let kept = (!stays.is_empty())
        .then(|| format!("{} {} left of a killed run; to remove: rm {}", list(&stays), are(&stays), list(&stays)));
    let said: Vec<_> = removed.into_iter().chain(kept).collect();
    (!said.is_empty()).then(|| said.join("; "))
}
