//! What a reload changes. Pure.

use super::keys::{Apply, KEYS};
use super::settings::Settings;

/// One key that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its path.
    pub key: &'static str,
    /// The old value, as shown to people: secrets are hidden.
    pub from: String,
    /// The new value, likewise.
    pub to: String,
    /// How it takes effect.
    pub apply: Apply,
}

/// Every key whose effective value differs, in the order of the table.
#[must_use]
pub fn diff(old: &Settings, new: &Settings) -> Vec<Change> {
    let mut changes: Vec<Change> = KEYS
        .iter()
        .filter_map(|key| {
            let (from, to) = (old.values.get(key.path)?, new.values.get(key.path)?);
            (from != to).then(|| Change {
                key: key.path,
                from: from.to_shown(),
                to: to.to_shown(),
                apply: key.apply,
            })
        })
        .collect();
    let passwords = ["server.requirepass", "server.requirepass_file"];
    let file_only = old.server.password != new.server.password
        && !changes.iter().any(|c| passwords.contains(&c.key));
    if file_only {
        // The same file with another content.
        changes.push(Change {
            key: "server.requirepass_file",
            from: "the old content".to_owned(),
            to: "the new content".to_owned(),
            apply: Apply::Live,
        });
    }
    changes
}
