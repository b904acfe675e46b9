//! What a reload changes. Pure.

use super::keys::{Apply, KEYS, Row, TABLES};
use super::settings::Settings;
use super::value::Value;

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
    for table in TABLES {
        let rows = |of: &Settings| of.values.get(table.name).cloned();
        if let (Some(from), Some(to)) = (rows(old), rows(new))
            && from != to
        {
            let (from, to) = shown_rows(&from, &to);
            changes.push(Change { key: table.name, from, to, apply: Apply::Live });
        }
    }
    for key in old.files.differ(&new.files) {
        // The same files with another content.
        if !changes.iter().any(|c| c.key == key) {
            changes.push(Change {
                key,
                from: "the old content".to_owned(),
                to: "the new content".to_owned(),
                apply: Apply::Live,
            });
        }
    }
    changes
}

/// The names of the rows before and after; a row that has changed is marked.
fn shown_rows(from: &Value, to: &Value) -> (String, String) {
    let (Value::Rows(old), Value::Rows(new)) = (from, to) else {
        return (from.to_shown(), to.to_shown());
    };
    let mark = |row: &Row| {
        let changed = old.iter().any(|other| other.name() == row.name() && other != row);
        if changed { format!("{} (changed)", row.name()) } else { row.name().to_owned() }
    };
    (from.to_shown(), new.iter().map(mark).collect::<Vec<_>>().join(" "))
}
