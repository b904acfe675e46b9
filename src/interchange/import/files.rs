//! Which files a path stands for, and of what kind they are.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::Unreadable;
use crate::interchange::ReadError;
use crate::interchange::aof;

/// Bytes of a manifest that are read: a line per file, and few of them.
const MAX_MANIFEST: u64 = 1 << 20;

/// Files that belong together, with their lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Files {
    /// An RDB file, which may have commands behind its end.
    Rdb(PathBuf, u64),
    /// Append-only files, in order.
    Aof(Vec<(PathBuf, u64)>),
}

impl Files {
    /// What `path` is: an RDB file, an append-only file, a manifest, a directory with a manifest,
    /// or Redis' own directory.
    pub(super) fn find(path: &Path) -> Result<Self, Unreadable> {
        if metadata(path)?.is_dir() { in_directory(path) } else { file(path) }
    }

    /// The length of all of them.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Rdb(_, bytes) => *bytes,
            Self::Aof(parts) => parts.iter().map(|(_, bytes)| bytes).sum(),
        }
    }
}

fn metadata(path: &Path) -> Result<fs::Metadata, Unreadable> {
    fs::metadata(path).map_err(|source| unreadable(path, source))
}

fn unreadable(path: &Path, source: io::Error) -> Unreadable {
    Unreadable { path: path.to_owned(), error: ReadError::Io { offset: 0, source } }
}

fn unknown(path: &Path, what: impl Into<String>) -> Unreadable {
    let what = what.into();
    Unreadable { path: path.to_owned(), error: ReadError::Unknown { offset: 0, what } }
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "manifest")
}

fn file(path: &Path) -> Result<Files, Unreadable> {
    if is_manifest(path) {
        return manifest(path);
    }
    let bytes = metadata(path)?.len();
    let mut first = Vec::new();
    let file = File::open(path).map_err(|source| unreadable(path, source))?;
    file.take(9).read_to_end(&mut first).map_err(|source| unreadable(path, source))?;
    match first.first() {
        Some(b'*' | b'#') => Ok(Files::Aof(vec![(path.to_owned(), bytes)])),
        // What is neither is refused by the reader, with the reason.
        _ => Ok(Files::Rdb(path.to_owned(), bytes)),
    }
}

fn manifest(path: &Path) -> Result<Files, Unreadable> {
    let mut text = String::new();
    let file = File::open(path).map_err(|source| unreadable(path, source))?;
    file.take(MAX_MANIFEST).read_to_string(&mut text).map_err(|source| unreadable(path, source))?;
    let names = aof::parts(&text).map_err(|error| unknown(path, error.to_string()))?;
    if names.is_empty() {
        return Err(unknown(path, "it names no file"));
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    let parts = names.into_iter().map(|name| {
        let part = dir.join(name);
        let bytes = metadata(&part)?.len();
        Ok((part, bytes))
    });
    Ok(Files::Aof(parts.collect::<Result<_, _>>()?))
}

/// Redis loads the append-only file if that is switched on, and the RDB file otherwise. Which one
/// it is cannot be seen from the files.
fn in_directory(dir: &Path) -> Result<Files, Unreadable> {
    let mut manifests = Vec::new();
    for dir in [dir.to_owned(), dir.join("appendonlydir")] {
        match fs::read_dir(&dir) {
            Ok(entries) => {
                for entry in entries {
                    let path = entry.map_err(|source| unreadable(&dir, source))?.path();
                    if is_manifest(&path) {
                        manifests.push(path);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(unreadable(&dir, source)),
        }
    }
    let others = ["appendonly.aof", "dump.rdb"].map(|name| dir.join(name));
    manifests.extend(others.into_iter().filter(|path| path.exists()));
    match &manifests[..] {
        [] => Err(unknown(dir, "there is no manifest, no appendonly.aof and no dump.rdb in it")),
        [one] => file(one),
        [one, .., other] => {
            let (one, other) = (one.display(), other.display());
            Err(unknown(dir, format!("there are {one} and {other}: name the one to import")))
        }
    }
}
