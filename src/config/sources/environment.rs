//! Environment variables: `SEAWALL__CACHE__MAX_MEMORY=2GB`, and `SEAWALL_PROFILE`.
//!
//! Every value is taken as text and read by its key's kind: figment's own provider would make a
//! number of the password `0123`.

use std::ffi::OsString;

use figment::value::Value as Raw;

use super::super::keys::{self, Key};
use super::super::problem::{Problem, Source};
use super::{Layer, PROFILE_VARIABLE, unknown};

const PREFIX: &str = "SEAWALL__";

/// The chosen profile; an empty variable chooses none.
pub(super) fn profile(env: &[(OsString, OsString)], problems: &mut Vec<Problem>) -> Option<String> {
    let (_, value) = env.iter().find(|(name, _)| name == PROFILE_VARIABLE)?;
    let Some(value) = value.to_str() else {
        problems.push(Problem {
            source: Source::Env(PROFILE_VARIABLE.to_owned()),
            key: None,
            message: "is not UTF-8".to_owned(),
        });
        return None;
    };
    (!value.is_empty()).then(|| value.to_owned())
}

/// The variables that set keys.
pub(super) fn layer(env: &[(OsString, OsString)], problems: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer::new("environment", true);
    for (name, value) in env {
        let shown = name.to_string_lossy();
        let Some(rest) = shown.strip_prefix(PREFIX) else { continue };
        let mut report = |key: Option<&Key>, message: String| {
            let key = key.map(|k| k.path.to_owned());
            problems.push(Problem { source: Source::Env(shown.to_string()), key, message });
        };
        let path = rest.to_ascii_lowercase().replacen("__", ".", 1);
        if let Some(table) = path.split('.').next().and_then(keys::find_table) {
            let name = table.name;
            report(None, format!("[[{name}]] cannot be set here; write it into the file"));
            continue;
        }
        let Some(key) = keys::find(&path) else {
            let env_name = |near| keys::find(near).map_or_else(String::new, Key::env_name);
            report(None, unknown(&path, env_name));
            continue;
        };
        let Some(text) = value.to_str() else {
            report(Some(key), "is not UTF-8".to_owned());
            continue;
        };
        layer.insert(key, Raw::from(text), Source::Env(shown.to_string()), problems);
    }
    layer
}
