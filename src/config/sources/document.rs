//! The configuration file: a base, and profiles over it.
//!
//! Every profile is checked, keys and values, also those that are not chosen: a profile that only fails in the
//! night when it is needed is no use.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use figment::value::{Dict, Tag, Value as Raw};
use toml_edit::{Document, Item, TableLike, Value};

use super::super::keys::{self, Field, SECTIONS, Table};
use super::super::problem::{Problem, Source};
use super::super::value::Kind;
use super::{Layer, unknown};

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct FileLayers {
    /// Whether it is TOML at all.
    pub(super) parsed: bool,
    /// The values outside profiles.
    pub(super) base: Layer,
    /// The values of each profile.
    pub(super) profiles: BTreeMap<String, Layer>,
}

/// Reads a file's text. What is wrong in it goes to `problems`.
pub(super) fn read(path: &Path, text: &str, problems: &mut Vec<Problem>) -> FileLayers {
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(e) => {
            let line = e.span().map(|span| line_of(text, &span));
            problems.push(Problem {
                source: Source::File(path.to_owned(), line),
                key: None,
                message: format!("not TOML: {}", e.message().trim_end()),
            });
            return FileLayers::default();
        }
    };
    let mut reader = Reader { path, text, profile: None, problems };
    let mut found = FileLayers {
        parsed: true,
        base: Layer::new(format!("file {}", path.display()), false),
        profiles: BTreeMap::new(),
    };
    let root = document.as_table();
    reader.sections(root, &mut found.base);

    let Some(profiles) = root.get("profiles") else { return found };
    let Some(table) = profiles.as_table_like() else {
        let source = reader.source(profiles.span());
        reader.report(source, "profiles", "is not a table; write [profiles.<name>.<section>]");
        return found;
    };
    for (name, item) in table.iter() {
        let mut layer = Layer::new(format!("profile {name}"), false);
        reader.profile = Some(name.to_owned());
        match item.as_table_like() {
            Some(sections) => reader.sections(sections, &mut layer),
            None => {
                let source = reader.source(item.span());
                reader.report(source, &format!("profiles.{name}"), "is not a table");
            }
        }
        found.profiles.insert(name.to_owned(), layer);
    }
    found
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    profile: Option<String>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn sections(&mut self, root: &dyn TableLike, layer: &mut Layer) {
        for (section, item) in root.iter() {
            if section == "profiles" && self.profile.is_none() {
                continue;
            }
            let source = self.source(span_of(root, section, item));
            if let Some(table) = keys::find_table(section) {
                self.rows(table, item, source, layer);
                continue;
            }
            if !SECTIONS.iter().any(|s| s.name == section) {
                self.report(source, section, &unknown_section(section, item));
                continue;
            }
            match item.as_table_like() {
                Some(table) => self.keys(section, table, layer),
                None => self.report(source, section, &format!("is a section; write [{section}]")),
            }
        }
    }

    fn keys(&mut self, section: &str, table: &dyn TableLike, layer: &mut Layer) {
        for (name, item) in table.iter() {
            let path = format!("{section}.{name}");
            let source = self.source(span_of(table, name, item));
            let Some(key) = keys::find(&path) else {
                self.report(source, &path, &unknown(&path, str::to_owned));
                continue;
            };
            match raw_of(&key.kind, item) {
                Ok(raw) => layer.insert(key, raw, source, self.problems),
                Err(message) => self.report(source, &path, &message),
            }
        }
    }

    /// Takes the rows of a table, if all of them are right; what is wrong is said of each.
    fn rows(&mut self, table: &'static Table, item: &Item, source: Source, layer: &mut Layer) {
        let rows: Vec<(&dyn TableLike, Option<Range<usize>>)> = match item {
            Item::ArrayOfTables(rows) => {
                rows.iter().map(|row| (row as &dyn TableLike, row.span())).collect()
            }
            Item::Value(Value::Array(rows)) => rows
                .iter()
                .filter_map(|row| Some((row.as_inline_table()? as &dyn TableLike, row.span())))
                .collect(),
            _ => Vec::new(),
        };
        let listed = item.as_array_of_tables().map(toml_edit::ArrayOfTables::len);
        let listed = listed.or_else(|| item.as_array().map(toml_edit::Array::len));
        if listed != Some(rows.len()) {
            let what = format!("is a list of tables; write [[{}]] for each", table.name);
            return self.report(source, table.name, &what);
        }
        let before = self.problems.len();
        let mut found: Vec<Raw> = Vec::with_capacity(rows.len());
        for (row, span) in rows {
            let source = self.source(span);
            let Some(fields) = self.fields(table, row) else { continue };
            // Every field is right by itself; left are those that are missing, and names given
            // twice.
            found.push(Raw::Dict(Tag::Default, fields));
            if let Err(why) = table.read(&Raw::Array(Tag::Default, found.clone())) {
                self.report(source, table.name, &why);
                found.pop();
            }
        }
        if self.problems.len() == before {
            layer.entries.insert(table.name, (Raw::Array(Tag::Default, found), source));
        }
    }

    /// The fields of one row; `None` if one of them is wrong.
    fn fields(&mut self, table: &'static Table, row: &dyn TableLike) -> Option<Dict> {
        let (mut fields, mut right) = (Dict::new(), true);
        for (name, item) in row.iter() {
            let read = table.field(name).and_then(|field: &Field| {
                let raw = raw_of(&field.kind, item)?;
                field.kind.read_toml(&raw).map(|_| raw)
            });
            match read {
                Ok(raw) => {
                    fields.insert(name.to_owned(), raw);
                }
                Err(why) => {
                    let source = self.source(span_of(row, name, item));
                    self.report(source, &format!("{}.{name}", table.name), &why);
                    right = false;
                }
            }
        }
        right.then_some(fields)
    }

    fn source(&self, span: Option<Range<usize>>) -> Source {
        let line = span.map(|span| line_of(self.text, &span));
        match &self.profile {
            None => Source::File(self.path.to_owned(), line),
            Some(name) => Source::Profile(self.path.to_owned(), name.clone(), line),
        }
    }

    fn report(&mut self, source: Source, key: &str, message: &str) {
        let key = Some(key.to_owned());
        self.problems.push(Problem { source, key, message: message.to_owned() });
    }
}

fn unknown_section(wrong: &str, item: &Item) -> String {
    let section = keys::nearest(wrong, SECTIONS.iter().map(|s| s.name));
    match section {
        Some(near) => format!("unknown section; did you mean [{near}]?"),
        None if item.is_table_like() => format!(
            "unknown section; there are {}",
            SECTIONS.iter().map(|s| s.name).collect::<Vec<_>>().join(", ")
        ),
        None => unknown(wrong, str::to_owned),
    }
}

fn raw_of(kind: &Kind, item: &Item) -> Result<Raw, String> {
    let wrong = |what: &str| format!("{what} is not {}", kind.noun());
    match item {
        Item::Value(value) => toml_to_raw(value).map_err(|what| wrong(&what)),
        Item::None => Err(wrong("nothing")),
        Item::Table(_) => Err(wrong("a table")),
        Item::ArrayOfTables(_) => Err(wrong("a list of tables")),
    }
}

fn span_of(table: &dyn TableLike, name: &str, item: &Item) -> Option<Range<usize>> {
    table.key(name).and_then(toml_edit::Key::span).or_else(|| item.span())
}

/// A TOML value as figment knows it. Dates have no place in the configuration.
///
/// # Errors
/// What it is instead.
pub(in super::super) fn toml_to_raw(value: &Value) -> Result<Raw, String> {
    Ok(match value {
        Value::String(s) => Raw::from(s.value().as_str()),
        Value::Integer(n) => Raw::from(*n.value()),
        Value::Float(n) => Raw::from(*n.value()),
        Value::Boolean(b) => Raw::from(*b.value()),
        Value::Datetime(_) => return Err("a date".to_owned()),
        Value::Array(items) => {
            let items: Result<Vec<Raw>, String> = items.iter().map(toml_to_raw).collect();
            Raw::Array(Tag::Default, items?)
        }
        Value::InlineTable(_) => Raw::Dict(Tag::Default, Dict::new()),
    })
}

/// The line, from 1, on which a span begins.
fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1
}
