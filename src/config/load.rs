//! Reads the sources. The only IO of the configuration, besides CONFIG REWRITE.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::diff::{Change, diff};
use super::files::NamedFiles;
use super::keys::{Apply, KEYS};
use super::machine::Machine;
use super::problem::{ConfigErrors, Problem, Source};
use super::settings::Settings;
use super::sources::{FileChoice, Merged, Overrides, Texts, merge};
use super::validate::validate;

/// The most bytes of a configuration file that are read.
pub const MAX_FILE: u64 = 1 << 20;

/// Where the configuration is read from, each time anew.
#[derive(Debug, Clone)]
pub struct Loader {
    file: FileChoice,
    env: Vec<(OsString, OsString)>,
    machine: Machine,
}

/// What was read.
#[derive(Debug, Clone)]
pub(super) struct Input {
    /// The file in use, and its text.
    pub(super) file: Option<(PathBuf, String)>,
    /// What is in the files that the settings name.
    named: NamedFiles,
}

/// A configuration that is right.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings in effect.
    pub settings: Settings,
    /// Where each key's value comes from.
    pub origins: BTreeMap<&'static str, Source>,
    /// The file in use.
    pub file: Option<PathBuf>,
    /// The profile in use.
    pub profile: Option<String>,
    /// Keys that differ from the running settings but wait for a restart.
    pub needs_restart: Vec<Change>,
}

impl Loader {
    /// Reads `--config FILE`, or where a file is looked for, over this process' environment.
    #[must_use]
    pub fn new(named: Option<PathBuf>) -> Self {
        Self::from_parts(
            FileChoice::from_option(named),
            std::env::vars_os().collect(),
            Machine::detect(),
        )
    }

    /// Reads what is passed in.
    #[must_use]
    pub fn from_parts(file: FileChoice, env: Vec<(OsString, OsString)>, machine: Machine) -> Self {
        Self { file, env, machine }
    }

    /// Reads and validates everything, as at the start of the daemon. Blocks on files.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn load(&self) -> Result<Loaded, ConfigErrors> {
        self.assemble(&self.read()?, &Overrides::new(), None)
    }

    /// The files whose change calls for a reload, given the settings in effect.
    #[must_use]
    pub fn files(&self, settings: &Settings) -> Vec<PathBuf> {
        let named = settings.files.paths().map(Path::to_owned);
        self.file.candidates().iter().cloned().chain(named).collect()
    }

    /// Reads the files. Blocks.
    pub(super) fn read(&self) -> Result<Input, ConfigErrors> {
        let file = self.read_file()?;
        let mut input = Input { file, named: NamedFiles::default() };
        let merged = merge(self.texts(&input, &Overrides::new()));
        input.named = NamedFiles::read(&merged.values, read_text);
        Ok(input)
    }

    fn read_file(&self) -> Result<Option<(PathBuf, String)>, ConfigErrors> {
        for path in self.file.candidates() {
            match read_text(path, MAX_FILE) {
                Ok(text) => return Ok(Some((path.clone(), text))),
                Err(e)
                    if e.kind() == ErrorKind::NotFound
                        && matches!(self.file, FileChoice::FirstOf(_)) => {}
                Err(e) => {
                    return Err(ConfigErrors(vec![Problem {
                        source: Source::File(path.clone(), None),
                        key: None,
                        message: format!("cannot be read: {e}"),
                    }]));
                }
            }
        }
        Ok(None)
    }

    fn texts<'a>(&'a self, input: &'a Input, overrides: &'a Overrides) -> Texts<'a> {
        Texts {
            file: input.file.as_ref().map(|(path, text)| (path.as_path(), text.as_str())),
            env: &self.env,
            overrides,
        }
    }

    /// From what was read to settings. `running` keeps its values where a change needs a
    /// restart. Pure.
    pub(super) fn assemble(
        &self,
        input: &Input,
        overrides: &Overrides,
        running: Option<&Settings>,
    ) -> Result<Loaded, ConfigErrors> {
        let Merged { values, origins, mut problems, profile } = merge(self.texts(input, overrides));
        let shards = running.map(|running| running.cache.shards);
        let settings = match validate(values.clone(), self.machine, shards, &input.named) {
            Ok(settings) if problems.is_empty() => settings,
            Ok(_) => return Err(ConfigErrors(problems)),
            Err(violations) => {
                // A rule over a key that is wrong by itself would only repeat it, or mislead.
                let bad = |k: &str| problems.iter().any(|p| p.key.as_deref() == Some(k));
                let more: Vec<Problem> = violations
                    .into_iter()
                    .filter(|v| !v.keys.iter().any(|k| bad(k)))
                    .map(|v| Problem {
                        source: blame(&v.keys, &origins),
                        key: v.keys.first().map(|k| (*k).to_owned()),
                        message: v.message,
                    })
                    .collect();
                problems.extend(more);
                return Err(ConfigErrors(problems));
            }
        };
        let file = input.file.as_ref().map(|(path, _)| path.clone());
        let mut loaded = Loaded { settings, origins, file, profile, needs_restart: Vec::new() };
        if let Some(running) = running {
            self.keep(&mut loaded, values, running, &input.named)?;
        }
        Ok(loaded)
    }

    /// Puts the running values back where only a restart can change them.
    fn keep(
        &self,
        loaded: &mut Loaded,
        mut values: super::sources::Values,
        running: &Settings,
        named: &NamedFiles,
    ) -> Result<(), ConfigErrors> {
        let restart = |change: &Change| change.apply == Apply::NeedsRestart;
        loaded.needs_restart =
            diff(running, &loaded.settings).into_iter().filter(restart).collect();
        if loaded.needs_restart.is_empty() {
            return Ok(());
        }
        for key in KEYS.iter().filter(|k| k.apply == Apply::NeedsRestart) {
            if let Some(value) = running.value(key.path) {
                values.insert(key.path, value.clone());
            }
        }
        loaded.settings = validate(values, self.machine, Some(running.cache.shards), named)
            .map_err(|violations| {
                ConfigErrors(
                    violations
                        .into_iter()
                        .map(|v| Problem {
                            source: blame(&v.keys, &loaded.origins),
                            key: v.keys.first().map(|k| (*k).to_owned()),
                            message: format!("{} (until the daemon is restarted)", v.message),
                        })
                        .collect(),
                )
            })?;
        Ok(())
    }
}

/// The source of the first key that is not a default: nobody wrote the default.
fn blame(keys: &[&'static str], origins: &BTreeMap<&'static str, Source>) -> Source {
    let sources = || keys.iter().filter_map(|k| origins.get(k));
    let written = sources().find(|s| **s != Source::Default);
    written.or_else(|| sources().next()).cloned().unwrap_or(Source::Default)
}

/// Reads a regular file of bounded size: a pipe would block, a device would never end.
pub(super) fn read_text(path: &Path, max: u64) -> std::io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        let why = format!("larger than {}", super::units::format_size(max));
        return Err(std::io::Error::new(ErrorKind::FileTooLarge, why));
    }
    String::from_utf8(bytes).map_err(|_| std::io::Error::new(ErrorKind::InvalidData, "not UTF-8"))
}
