//! Files that settings name and that are read with them: password files, certificates.
//!
//! They are read when the configuration is, so that what depends on them is validated with it:
//! a file that is wrong changes nothing, as a wrong key does not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::keys::{KEYS, TABLES};
use super::secret::Secret;
use super::sources::Values;
use super::value::{Kind, Value};

/// What was read, by the key (or the table) that names the file, and its path.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NamedFiles(BTreeMap<(&'static str, PathBuf), Result<Secret, String>>);

impl NamedFiles {
    /// Every file that the values name, read by `read`, which is given the most bytes to read.
    pub fn read(values: &Values, read: impl Fn(&Path, u64) -> std::io::Result<String>) -> Self {
        let mut files = BTreeMap::new();
        for (key, path, max) in named(values) {
            let found = read(&path, max)
                .map(Secret::new)
                .map_err(|e| format!("{} cannot be read: {e}", path.display()));
            files.insert((key, path), found);
        }
        Self(files)
    }

    /// The content of a file, if it could be read.
    #[must_use]
    pub fn get(&self, key: &'static str, path: &str) -> Option<&str> {
        let found = self.0.get(&(key, PathBuf::from(path)))?;
        found.as_ref().ok().map(Secret::expose)
    }

    /// Each file that could not be read: who names it, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().filter_map(|((key, _), found)| Some((*key, found.as_ref().err()?.as_str())))
    }

    /// Who names a file whose content is another in `new`, in order and each once.
    #[must_use]
    pub fn differ(&self, new: &Self) -> Vec<&'static str> {
        let differs = |file| self.0.get(file) != new.0.get(file);
        let mut keys: Vec<&'static str> =
            self.0.keys().chain(new.0.keys()).filter(|f| differs(f)).map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The paths, for whoever watches them.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(|(_, path)| path.as_path())
    }
}

/// Every file that the values name: by whom, where, and how much of it is read at most.
fn named(values: &Values) -> Vec<(&'static str, PathBuf, u64)> {
    let mut named = Vec::new();
    let mut add = |by: &'static str, kind: Kind, value: Option<&Value>| {
        if let (Kind::File { max }, Some(Value::Text(path))) = (kind, value)
            && !path.is_empty()
        {
            named.push((by, PathBuf::from(path), max));
        }
    };
    for key in KEYS.iter() {
        add(key.path, key.kind, values.get(key.path));
    }
    for table in TABLES {
        let Some(Value::Rows(rows)) = values.get(table.name) else { continue };
        for row in rows {
            for field in table.fields {
                add(table.name, field.kind, row.get(field.name));
            }
        }
    }
    named
}
