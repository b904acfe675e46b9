//! CONFIG REWRITE: what CONFIG SET changed goes into the file; comments and order stay.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use seawall_actors::durable::NewFile;
use toml_edit::{DocumentMut, Item, TableLike};

use super::super::keys::{self, Key};
use super::super::load::{Loader, MAX_FILE, read_text};
use super::super::problem::{ConfigErrors, Source};
use super::super::sources::Overrides;
use super::Inner;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The file.
    pub file: PathBuf,
    /// The keys that were written.
    pub keys: Vec<&'static str>,
    /// Those of them that an environment variable sets otherwise at the next start.
    pub shadowed: Vec<&'static str>,
}

/// Why nothing was written, in words fit for a reply.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// There is no file to write to.
    #[error("ERR The server is running without a config file")]
    NoFile,
    /// The file could not be read or replaced.
    #[error("ERR Rewriting config file: {0}")]
    Io(#[from] std::io::Error),
    /// What is in the file now, or would be, is wrong.
    #[error("ERR Rewriting config file: the file would not be valid: {0}")]
    Invalid(String),
}

pub(super) fn rewrite(loader: &Loader, inner: &mut Inner) -> Result<Rewritten, RewriteError> {
    let Some((file, _)) = inner.input.file.clone() else { return Err(RewriteError::NoFile) };
    // What is on disk counts, not what was read: someone may have edited it since.
    let text = read_text(&file, MAX_FILE)?;
    let profile = inner.loaded.profile.clone();
    let edited = edit(&text, profile.as_deref(), &inner.overrides)?;

    let mut input = inner.input.clone();
    input.file = Some((file.clone(), edited.clone()));
    let (kept, written) = check(loader, inner, &input)?;
    if edited != text {
        replace(&file, edited.as_bytes())?;
    }
    let shadowed = kept.keys().copied().collect();
    inner.input = input;
    // From now on the file says so, and a later edit of the file must win.
    inner.overrides = kept;
    Ok(Rewritten { file, keys: written, shadowed })
}

/// The edited file alone must be valid. Returns the overrides that must stay, because the
/// environment would win over the file, and the keys that were written.
fn check(
    loader: &Loader,
    inner: &Inner,
    input: &super::super::load::Input,
) -> Result<(Overrides, Vec<&'static str>), RewriteError> {
    let loaded = loader
        .assemble(input, &Overrides::new(), None)
        .map_err(|e: ConfigErrors| RewriteError::Invalid(e.to_string().replace('\n', "; ")))?;
    let from_env = |path: &&'static str| matches!(loaded.origins.get(*path), Some(Source::Env(_)));
    let kept = inner.overrides.iter().filter(|(path, _)| from_env(path));
    let kept = kept.map(|(path, text)| (*path, text.clone())).collect();
    Ok((kept, inner.overrides.keys().copied().collect()))
}

/// The text with the overrides in it. A key that the chosen profile sets is changed there,
/// where it counts.
fn edit(text: &str, profile: Option<&str>, overrides: &Overrides) -> Result<String, RewriteError> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|e: toml_edit::TomlError| RewriteError::Invalid(e.message().to_owned()))?;
    for (path, value) in overrides {
        let Some(key) = keys::find(path) else { continue };
        let value = key
            .kind
            .read_text(value)
            .map_err(|why| RewriteError::Invalid(format!("{path}: {why}")))?
            .to_toml();
        let in_profile = profile
            .and_then(|name| child(child(document.as_table_mut(), "profiles")?, name))
            .filter(|p| has(*p, key));
        // Borrowed anew: the base table is needed only if the profile does not have the key.
        let put_there = match in_profile {
            Some(table) => put(table, key, value),
            None => put(document.as_table_mut(), key, value),
        };
        put_there
            .ok_or_else(|| RewriteError::Invalid(format!("[{}] is not a table", key.section())))?;
    }
    Ok(document.to_string())
}

fn child<'a>(table: &'a mut dyn TableLike, name: &str) -> Option<&'a mut dyn TableLike> {
    table.get_mut(name)?.as_table_like_mut()
}

fn has(table: &dyn TableLike, key: &Key) -> bool {
    let section = table.get(key.section()).and_then(Item::as_table_like);
    section.is_some_and(|s| s.contains_key(key.name()))
}

/// Replaces a value but not the comment beside it.
fn put(root: &mut dyn TableLike, key: &Key, mut value: toml_edit::Value) -> Option<()> {
    let section = root.entry(key.section()).or_insert_with(toml_edit::table);
    let table = section.as_table_like_mut()?;
    match table.get_mut(key.name()) {
        Some(Item::Value(old)) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        _ => {
            table.insert(key.name(), Item::Value(value));
        }
    }
    Some(())
}

/// Replaces a file whole: a crash leaves the old one or the new one. Follows a symbolic link,
/// and keeps the permissions, for a password may be in it.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let target = fs::canonicalize(file)?;
    let permissions = fs::metadata(&target)?.permissions();
    let fresh = NewFile::create_private(&target)?;
    (&fresh).write_all(bytes)?;
    fresh.set_permissions(permissions)?;
    fresh.publish()
}
