//! What is wrong with a configuration, all of it at once.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The embedded default.
    Default,
    /// A configuration file, at a line (from 1) if it is known.
    File(PathBuf, Option<usize>),
    /// A profile in a configuration file.
    Profile(PathBuf, String, Option<usize>),
    /// An environment variable.
    Env(String),
    /// CONFIG SET.
    ConfigSet,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, None) => write!(f, "{}", path.display()),
            Self::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Self::Profile(path, name, None) => write!(f, "{} (profile {name})", path.display()),
            Self::Profile(path, name, Some(line)) => {
                write!(f, "{}:{line} (profile {name})", path.display())
            }
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::ConfigSet => f.write_str("CONFIG SET"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub source: Source,
    /// The key's path, if it is about one key.
    pub key: Option<String>,
    /// What, in plain words.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{}: {key}: {}", self.source, self.message),
            None => write!(f, "{}: {}", self.source, self.message),
        }
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.0))]
pub struct ConfigErrors(pub Vec<Problem>);

/// More than this many are counted, not listed: nobody reads on, and a log line must end.
const LISTED: usize = 50;

fn list(problems: &[Problem]) -> String {
    let mut lines: Vec<String> = problems.iter().take(LISTED).map(ToString::to_string).collect();
    if problems.len() > LISTED {
        lines.push(format!("and {} more", problems.len() - LISTED));
    }
    lines.join("\n")
}
