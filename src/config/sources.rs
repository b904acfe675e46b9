//! Where values come from: defaults, the file, its profile, the environment, CONFIG SET.
//!
//! Each source becomes a [`Layer`]; figment merges them, later ones over earlier ones, and says
//! for every value which layer it came from. Pure: texts and variables are passed in.

mod document;
mod environment;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value as Raw};
use figment::{Figment, Metadata, Profile, Provider};

use super::keys::{self, KEYS, Key, TABLES};
use super::problem::{Problem, Source};
use super::value::Value;

pub(super) use document::toml_to_raw;

/// The environment variable that chooses a profile.
pub const PROFILE_VARIABLE: &str = "SEAWALL_PROFILE";

/// Accepted values by key path, and rows by the name of their table. Holds every key and table.
pub type Values = BTreeMap<&'static str, Value>;

/// What CONFIG SET has changed since the start, by key path, in the text form of each kind.
pub type Overrides = BTreeMap<&'static str, String>;

/// What is merged: read once by the caller, so that merging needs no IO.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    /// The configuration file and what is in it, if there is one.
    pub file: Option<(&'a Path, &'a str)>,
    /// The environment, all of it; what is not Seawall's is passed over.
    pub env: &'a [(OsString, OsString)],
    /// What CONFIG SET has changed.
    pub overrides: &'a Overrides,
}

/// The values of all layers together.
#[derive(Debug)]
pub struct Merged {
    /// A value for every key; the default where the one given is wrong.
    pub values: Values,
    /// Where each value comes from.
    pub origins: BTreeMap<&'static str, Source>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
    /// The profile in use.
    pub profile: Option<String>,
}

/// The raw values of one source.
#[derive(Debug, Clone, Default)]
struct Layer {
    name: String,
    /// Whether the values are texts, whatever the key holds.
    texts: bool,
    entries: BTreeMap<&'static str, (Raw, Source)>,
}

impl Layer {
    fn new(name: impl Into<String>, texts: bool) -> Self {
        Self { name: name.into(), texts, entries: BTreeMap::new() }
    }

    /// Takes a value if its key accepts it, and reports it otherwise: at once, so that a wrong
    /// value is found also where a later layer would hide it.
    fn insert(&mut self, key: &Key, raw: Raw, source: Source, problems: &mut Vec<Problem>) {
        match self.read(key, &raw) {
            Ok(_) => {
                self.entries.insert(key.path, (raw, source));
            }
            Err(message) => {
                problems.push(Problem { source, key: Some(key.path.to_owned()), message });
            }
        }
    }

    /// Where the value of a key, or the rows of a table, are written.
    fn source(&self, path: &str) -> Source {
        self.entries.get(path).map_or(Source::Default, |(_, source)| source.clone())
    }

    fn read(&self, key: &Key, raw: &Raw) -> Result<Value, String> {
        match raw {
            Raw::String(_, text) if self.texts => key.kind.read_text(text),
            raw => key.kind.read_toml(raw),
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut root = Dict::new();
        for (path, (raw, _)) in &self.entries {
            let Some((section, name)) = path.split_once('.') else {
                // The rows of a table.
                root.insert((*path).to_owned(), raw.clone());
                continue;
            };
            let section = root.entry(section.to_owned()).or_insert_with(|| Raw::from(Dict::new()));
            if let Raw::Dict(_, dict) = section {
                dict.insert(name.to_owned(), raw.clone());
            }
        }
        Ok(Profile::Default.collect(root))
    }
}

/// Merges all layers and reads every value.
#[must_use]
pub fn merge(texts: Texts<'_>) -> Merged {
    let mut problems = Vec::new();
    let mut layers = Vec::new();
    let profile = environment::profile(texts.env, &mut problems);

    if let Some((path, text)) = texts.file {
        let mut document = document::read(path, text, &mut problems);
        layers.push(document.base);
        if let Some(name) = &profile {
            match document.profiles.remove(name) {
                Some(layer) => layers.push(layer),
                // A file that cannot be parsed has a problem already, and no profiles.
                None if document.parsed => {
                    problems.push(no_such_profile(path, name, document.profiles.keys()));
                }
                None => {}
            }
        }
    } else if let Some(name) = &profile {
        problems.push(Problem {
            source: Source::Env(PROFILE_VARIABLE.to_owned()),
            key: None,
            message: format!("there is no configuration file, so there is no profile {name:?}"),
        });
    }
    layers.push(environment::layer(texts.env, &mut problems));
    let mut overrides = Layer::new("CONFIG SET", true);
    for (path, text) in texts.overrides {
        if let Some(key) = keys::find(path) {
            overrides.insert(key, Raw::from(text.as_str()), Source::ConfigSet, &mut problems);
        }
    }
    layers.push(overrides);

    let (values, origins) = read(&layers);
    Merged { values, origins, problems, profile }
}

fn no_such_profile<'a>(
    path: &Path,
    name: &str,
    known: impl Iterator<Item = &'a String>,
) -> Problem {
    let known: Vec<&str> = known.map(String::as_str).collect();
    let has = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Problem {
        source: Source::Env(PROFILE_VARIABLE.to_owned()),
        key: None,
        message: format!("there is no profile {name:?} in {}; it has: {has}", path.display()),
    }
}

fn read(layers: &[Layer]) -> (Values, BTreeMap<&'static str, Source>) {
    let merged = layers.iter().fold(Figment::new(), |all, layer| all.merge(layer));
    let mut values = Values::new();
    let mut origins = BTreeMap::new();
    let found = |path: &str| {
        let raw = merged.find_value(path).ok()?;
        let name = &merged.get_metadata(raw.tag())?.name;
        let layer = layers.iter().find(|l| l.name == name.as_ref())?;
        Some((raw, layer))
    };
    for key in KEYS.iter() {
        let (value, source) = match found(key.path) {
            None => (None, Source::Default),
            Some((raw, layer)) => (layer.read(key, &raw).ok(), layer.source(key.path)),
        };
        if let Some(value) = value.or_else(|| key.default_value()) {
            values.insert(key.path, value);
        }
        origins.insert(key.path, source);
    }
    for table in TABLES {
        let (rows, source) = match found(table.name) {
            None => (None, Source::Default),
            Some((raw, layer)) => (table.read(&raw).ok(), layer.source(table.name)),
        };
        values.insert(table.name, rows.unwrap_or(Value::Rows(Vec::new())));
        origins.insert(table.name, source);
    }
    (values, origins)
}

/// `"unknown key"`, with the nearest one if there is one.
fn unknown(wrong: &str, shown: impl Fn(&'static str) -> String) -> String {
    match keys::nearest_path(wrong) {
        Some(near) => format!("unknown key; did you mean {}?", shown(near)),
        None => "unknown key; see docs/configuration.md".to_owned(),
    }
}

/// Which file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChoice {
    /// This one, which must be there.
    Named(PathBuf),
    /// The first of these that is there, or none.
    FirstOf(Vec<PathBuf>),
}

impl FileChoice {
    /// `--config FILE`, or else where a file is looked for.
    #[must_use]
    pub fn from_option(named: Option<PathBuf>) -> Self {
        named.map_or_else(
            || {
                Self::FirstOf(vec![
                    PathBuf::from("config/seawall.toml"),
                    PathBuf::from("/etc/seawall/seawall.toml"),
                ])
            },
            Self::Named,
        )
    }

    /// Every file that could be read.
    #[must_use]
    pub fn candidates(&self) -> &[PathBuf] {
        match self {
            Self::Named(path) => std::slice::from_ref(path),
            Self::FirstOf(paths) => paths,
        }
    }
}
