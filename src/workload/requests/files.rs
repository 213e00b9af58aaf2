//! Which files are meant: paths, patterns and folders.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

use super::detect;

/// The files of a source, in the order in which they were typed; those of a pattern or a folder
/// sorted by name.
///
/// # Errors
/// A pattern that fits nothing, a folder without a trace of requests, a path that is not there.
pub fn expand(typed: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in typed {
        if path.is_dir() {
            files.extend(of_folder(path)?);
        } else if !path.exists() && is_pattern(path) {
            files.extend(of_pattern(path)?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

fn of_pattern(pattern: &Path) -> Result<Vec<PathBuf>> {
    let text = pattern.to_string_lossy();
    let found = glob::glob(&text).map_err(|e| Error::usage(format!("{text} is not a pattern: {e}")))?;
    let mut files = Vec::new();
    for path in found {
        let path = path.map_err(|e| Error::reading(e.path(), e.error()))?;
        if path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Error::usage(format!("no file fits the pattern {text}")));
    }
    files.sort();
    Ok(files)
}

/// The traces in a folder; what lies beside them (lengths of segments, readmes) is left out.
fn of_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |e| Error::reading(folder, &e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.is_file() && detect::is_trace(&path) {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Error::usage(format!("{} holds no trace of requests", folder.display())));
    }
    files.sort();
    Ok(files)
}
