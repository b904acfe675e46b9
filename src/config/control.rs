//! The running configuration: reload, CONFIG GET, CONFIG SET, CONFIG REWRITE.
//!
//! New settings are offered to every [`Applier`] before any takes effect. One that refuses
//! leaves everything as it was: a bad configuration never replaces a running good one. The
//! methods that touch files block; call them where blocking is allowed
//! (`tokio::task::spawn_blocking`).

mod redis_names;
mod rewrite;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::diff::{Change, diff};
use super::keys::{self, Key};
use super::load::{Input, Loaded, Loader};
use super::problem::ConfigErrors;
use super::settings::Settings;
use super::sources::Overrides;
use crate::glob::Glob;

pub use rewrite::{RewriteError, Rewritten};

/// What makes prepared settings take effect. Dropped unused, it must undo the preparation.
pub type Commit = Box<dyn FnOnce() + Send>;

/// A part of the daemon that new settings must pass before they take effect.
pub trait Applier: Send + Sync + 'static {
    /// What it is called in an error.
    fn name(&self) -> &str;

    /// Prepares what `changes` need (opens the new listener, checks the new file) without
    /// touching what runs, and returns what switches over.
    ///
    /// MUST NOT call back into [`ConfigControl`], whose lock is held. The commit MUST NOT fail.
    ///
    /// # Errors
    /// Why the new settings cannot be had; nothing changes then.
    fn prepare(
        &self,
        old: &Arc<Settings>,
        new: &Arc<Settings>,
        changes: &[Change],
    ) -> Result<Commit, String>;
}

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReloadOutcome {
    /// What took effect.
    pub changes: Vec<Change>,
    /// What differs but waits for a restart.
    pub needs_restart: Vec<Change>,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration is wrong.
    #[error(transparent)]
    Invalid(#[from] ConfigErrors),
    /// A part of the daemon could not take it.
    #[error("{applier} cannot take the new configuration: {why}")]
    Refused {
        /// Which part.
        applier: String,
        /// Why.
        why: String,
    },
}

/// Why CONFIG SET changed nothing, in Redis' words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// No such name.
    #[error("ERR Unknown option or number of arguments for CONFIG SET - '{0}'")]
    Unknown(String),
    /// A name that exists, and what is wrong with setting it so.
    #[error("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")]
    Failed {
        /// The name as given.
        name: String,
        /// What is wrong.
        why: String,
    },
}

/// The one owner of the running configuration.
pub struct ConfigControl {
    loader: Loader,
    inner: Mutex<Inner>,
    published: watch::Sender<Arc<Settings>>,
}

struct Inner {
    input: Input,
    loaded: Loaded,
    overrides: Overrides,
    appliers: Vec<Arc<dyn Applier>>,
}

impl std::fmt::Debug for ConfigControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigControl").field("loader", &self.loader).finish_non_exhaustive()
    }
}

impl ConfigControl {
    /// Loads for the first time. Blocks on files.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration.
    pub fn start(loader: Loader) -> Result<Self, ConfigErrors> {
        let input = loader.read()?;
        let loaded = loader.assemble(&input, &Overrides::new(), None)?;
        let published = watch::Sender::new(Arc::new(loaded.settings.clone()));
        let inner = Inner { input, loaded, overrides: Overrides::new(), appliers: Vec::new() };
        Ok(Self { loader, inner: Mutex::new(inner), published })
    }

    /// The settings in effect.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.published.borrow())
    }

    /// Follows the settings in effect.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Settings>> {
        self.published.subscribe()
    }

    /// Adds a part that must agree to changes from now on.
    pub fn add_applier(&self, applier: Arc<dyn Applier>) {
        self.lock().appliers.push(applier);
    }

    /// The file in use, if there is one.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        self.lock().loaded.file.clone()
    }

    /// The files whose change calls for a reload.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.loader.files(&self.settings())
    }

    /// Reads everything again and applies what differs. What CONFIG SET changed stays. Blocks.
    ///
    /// # Errors
    /// Why nothing changed.
    pub fn reload(&self) -> Result<ReloadOutcome, ReloadError> {
        let mut inner = self.lock();
        let input = self.loader.read()?;
        let running = self.settings();
        let loaded = self.loader.assemble(&input, &inner.overrides, Some(&running))?;
        let changes = self.switch(&mut inner, loaded)?;
        inner.input = input;
        Ok(ReloadOutcome { changes, needs_restart: inner.loaded.needs_restart.clone() })
    }

    /// CONFIG GET: every name, Seawall's or Redis', that matches one of the patterns, with its
    /// value. Redis' `requirepass` gives the password away as in Redis; Seawall's does not.
    #[must_use]
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(&'static str, String)> {
        let settings = self.settings();
        // Names are in lower case; patterns may be in any.
        let globs: Vec<Glob> =
            patterns.iter().map(|pattern| Glob::new(&pattern.to_ascii_lowercase())).collect();
        let wanted = |name: &str| globs.iter().any(|glob| glob.matches(name.as_bytes()));
        redis_names::all(&settings).into_iter().filter(|(name, _)| wanted(name)).collect()
    }

    /// CONFIG SET: all pairs of name and value, or none. Returns what took effect.
    ///
    /// # Errors
    /// [`SetError`], whose text is the reply.
    pub fn set(&self, pairs: &[(&[u8], &[u8])]) -> Result<Vec<Change>, SetError> {
        let mut inner = self.lock();
        let mut overrides = inner.overrides.clone();
        let mut first: Vec<(&'static str, String)> = Vec::new();
        for (name, value) in pairs {
            let shown = printable(name);
            let (key, text) = parse_pair(name, value, &shown)?;
            if first.iter().any(|(path, _)| *path == key.path) {
                return Err(SetError::Failed { name: shown, why: "duplicate parameter".into() });
            }
            overrides.insert(key.path, text);
            first.push((key.path, shown));
        }
        let failed = |path: Option<&str>, why: String| {
            let named = first.iter().find(|(p, _)| Some(*p) == path);
            let why = match (named, path) {
                (None, Some(other)) => format!("{other} {why}"),
                _ => why,
            };
            let named = named.or_else(|| first.first());
            let name = named.map_or_else(String::new, |(_, name)| name.clone());
            SetError::Failed { name, why: printable(why.as_bytes()) }
        };
        let running = self.settings();
        let loaded = match self.loader.assemble(&inner.input, &overrides, Some(&running)) {
            Ok(loaded) => loaded,
            Err(ConfigErrors(problems)) => {
                let problem = problems.into_iter().next();
                let (key, why) = problem.map_or((None, String::new()), |p| (p.key, p.message));
                return Err(failed(key.as_deref(), why));
            }
        };
        let changes = self.switch(&mut inner, loaded).map_err(|e| failed(None, e.to_string()))?;
        inner.overrides = overrides;
        Ok(changes)
    }

    /// CONFIG REWRITE: writes what CONFIG SET changed into the file. Blocks.
    ///
    /// # Errors
    /// [`RewriteError`], whose text is the reply; the file is as it was.
    pub fn rewrite(&self) -> Result<Rewritten, RewriteError> {
        let mut inner = self.lock();
        rewrite::rewrite(&self.loader, &mut inner)
    }

    /// Offers new settings to all appliers, then commits them all, or none.
    fn switch(&self, inner: &mut Inner, loaded: Loaded) -> Result<Vec<Change>, ReloadError> {
        let old = self.settings();
        let changes = diff(&old, &loaded.settings);
        if !changes.is_empty() {
            let new = Arc::new(loaded.settings.clone());
            let mut commits = Vec::with_capacity(inner.appliers.len());
            for applier in &inner.appliers {
                match applier.prepare(&old, &new, &changes) {
                    Ok(commit) => commits.push(commit),
                    Err(why) => {
                        // Undone in reverse order, as they were made.
                        while commits.pop().is_some() {}
                        return Err(ReloadError::Refused {
                            applier: applier.name().to_owned(),
                            why,
                        });
                    }
                }
            }
            for commit in commits {
                commit();
            }
            self.published.send_replace(new);
        }
        inner.loaded = loaded;
        Ok(changes)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in an applier leaves the old settings: every field is replaced whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key that a pair names, and the value in the key's own text form.
fn parse_pair(name: &[u8], value: &[u8], shown: &str) -> Result<(&'static Key, String), SetError> {
    let failed = |why: &str| SetError::Failed { name: shown.to_owned(), why: why.to_owned() };
    let unknown = || SetError::Unknown(shown.to_owned());
    let lower = std::str::from_utf8(name).map_err(|_| unknown())?.to_ascii_lowercase();
    if redis_names::is_fixed(&lower) {
        return Err(failed("can't set immutable config"));
    }
    let redis = keys::KEYS
        .iter()
        .find_map(|k| k.redis.iter().find(|r| r.name == lower).map(|r| (*k, Some(r.mapping))));
    let (key, mapping) =
        redis.or_else(|| keys::find(&lower).map(|k| (k, None))).ok_or_else(unknown)?;
    if key.protected {
        return Err(failed("can't set protected config"));
    }
    if !key.settable() {
        return Err(failed("can't set immutable config"));
    }
    let value = std::str::from_utf8(value).map_err(|_| failed("argument must be valid UTF-8"))?;
    let text = match mapping {
        Some(mapping) => redis_names::from_redis(mapping, value).map_err(|why| failed(&why))?,
        None => value.to_owned(),
    };
    Ok((key, text))
}

/// Text that a reply line can hold: no line breaks, and not without end.
fn printable(bytes: &[u8]) -> String {
    const MAX: usize = 512;
    String::from_utf8_lossy(bytes)
        .chars()
        .take(MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests;
