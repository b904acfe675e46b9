//! The whole way: sources in, settings or problems out.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod agreement;
mod diffing;
mod properties;
mod sources;
mod validation;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::load::{Loaded, Loader};
use super::machine::Machine;
use super::problem::ConfigErrors;
use super::sources::FileChoice;

/// A machine with 1 GB and four cores.
pub(super) const MACHINE: Machine = Machine { memory: Some(1_000_000_000), cores: 4 };

pub(super) fn env(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect()
}

pub(super) fn loader(file: &Path, pairs: &[(&str, &str)]) -> Loader {
    Loader::from_parts(FileChoice::Named(file.to_owned()), env(pairs), MACHINE)
}

/// Writes `text` to a file of its own and loads it.
pub(super) fn load(text: &str, pairs: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("seawall.toml");
    std::fs::write(&file, text).expect("a file");
    loader(&file, pairs).load()
}

pub(super) fn defaults() -> Loaded {
    Loader::from_parts(FileChoice::FirstOf(Vec::new()), Vec::new(), MACHINE)
        .load()
        .expect("the defaults are valid")
}

/// The problems without the path of the temporary directory.
pub(super) fn problems(result: Result<Loaded, ConfigErrors>) -> Vec<String> {
    let errors = result.expect_err("a configuration with problems");
    errors
        .0
        .iter()
        .map(|p| {
            let shown = p.to_string();
            match shown.find("seawall.toml") {
                Some(at) if shown.starts_with('/') => shown[at..].to_owned(),
                _ => shown,
            }
        })
        .collect()
}

pub(super) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
