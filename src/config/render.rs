//! The table of keys as a commented TOML file and as documentation. Pure.

use std::fmt::Write as _;

use super::keys::{Apply, Field, KEYS, Key, SECTIONS, TABLES};
use super::load::Loaded;
use super::problem::Source;
use super::value::Value;

/// Where a comment wraps.
const COMMENT_WIDTH: usize = 96;

/// `config/seawall.toml`: every key with its default and a comment.
#[must_use]
pub fn default_file() -> String {
    let mut out = String::from(
        "# Every key of Seawall with its default. Without any file the daemon runs on exactly these.\n\
         # Durations: \"100ms\", \"30s\", \"24h\", \"365days\". Sizes: \"64KB\", \"100MB\" (powers of\n\
         # 1000), \"64KiB\", \"100MiB\" (powers of 1024).\n\
         # Each key can also be set by an environment variable, SEAWALL__<SECTION>__<KEY>, and in a\n\
         # profile, [profiles.<name>.<section>], which SEAWALL_PROFILE=<name> chooses.\n",
    );
    for section in SECTIONS {
        let _ = writeln!(out, "\n# {}\n[{}]", section.doc, section.name);
        for key in KEYS.iter().filter(|k| k.section() == section.name) {
            for line in wrap(&comment(key), COMMENT_WIDTH) {
                let _ = writeln!(out, "# {line}");
            }
            let _ = writeln!(out, "{} = {}", key.name(), key.default);
        }
    }
    for table in TABLES {
        out.push('\n');
        for line in wrap(table.doc, COMMENT_WIDTH) {
            let _ = writeln!(out, "# {line}");
        }
        for field in table.fields {
            let text = format!("{}: {} [{}]", field.name, field.doc, field.kind.range());
            for line in wrap(&text, COMMENT_WIDTH) {
                let _ = writeln!(out, "# {line}");
            }
        }
        for line in table.example.lines() {
            let _ = writeln!(out, "# {line}");
        }
    }
    out
}

fn comment(key: &Key) -> String {
    let change = match key.apply {
        Apply::Live => String::new(),
        Apply::NeedsRestart => " A change needs a restart.".to_owned(),
    };
    format!("{} [{}]{change}", key.doc, key.kind.range())
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(word.to_owned());
            } else {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
        }
    }
    lines
}

/// The key tables of `docs/configuration.md`, in Markdown.
#[must_use]
pub fn key_tables() -> String {
    let mut out = String::new();
    for section in SECTIONS {
        let _ = writeln!(out, "### `[{}]`\n\n{}\n", section.name, section.doc);
        out.push_str("| key | default | range | a change | Redis' name | what it is for |\n");
        out.push_str("|---|---|---|---|---|---|\n");
        for key in KEYS.iter().filter(|k| k.section() == section.name) {
            let redis: Vec<String> = key.redis.iter().map(|r| format!("`{}`", r.name)).collect();
            let change = match key.apply {
                Apply::Live => "live".to_owned(),
                Apply::NeedsRestart => "needs a restart".to_owned(),
            };
            let guard = if key.protected { ", not by CONFIG SET" } else { "" };
            let _ = writeln!(
                out,
                "| `{}` | `{}` | {} | {change}{guard} | {} | {} |",
                key.name(),
                key.default,
                key.kind.range(),
                redis.join(", "),
                key.doc
            );
        }
        out.push('\n');
    }
    for table in TABLES {
        let _ = writeln!(out, "### `[[{}]]`\n\n{}\n", table.name, table.doc);
        out.push_str("| key | default | range | what it is for |\n|---|---|---|---|\n");
        for Field { name, kind, default, doc } in table.fields {
            let default = default.map_or("needed".to_owned(), |default| format!("`{default}`"));
            let _ = writeln!(out, "| `{name}` | {default} | {} | {doc} |", kind.range());
        }
        let _ = writeln!(out, "\nA change is live. At most {} rows.\n", table.max);
    }
    out
}

/// The settings in effect as TOML, with the source of each value as a comment. Secrets hidden.
#[must_use]
pub fn effective(loaded: &Loaded) -> String {
    let mut out = String::new();
    for section in SECTIONS {
        if !out.is_empty() {
            out.push('\n');
        }
        let _ = writeln!(out, "[{}]", section.name);
        for key in KEYS.iter().filter(|k| k.section() == section.name) {
            let Some(value) = loaded.settings.value(key.path) else { continue };
            let source = loaded.origins.get(key.path).unwrap_or(&Source::Default);
            let line = format!("{} = {}", key.name(), value.to_toml_shown());
            let _ = writeln!(out, "{line:<40} # {source}");
        }
    }
    for table in TABLES {
        let Some(Value::Rows(rows)) = loaded.settings.value(table.name) else { continue };
        let source = loaded.origins.get(table.name).unwrap_or(&Source::Default);
        for row in rows {
            let _ = writeln!(out, "\n[[{}]] # {source}", table.name);
            for field in table.fields {
                let Some(value) = row.get(field.name) else { continue };
                let _ = writeln!(out, "{} = {}", field.name, value.to_toml_shown());
            }
        }
    }
    out
}
