//! Tables of which a file may have any number: `[[users]]`, a row each.
//!
//! What a row may say follows from the table's list of fields, as what a section may say follows
//! from the keys. Only a file, or a profile in it, has rows; a profile that names any has them all.

use std::collections::BTreeMap;

use figment::value::{Dict, Value as Raw};

use super::{nearest, users};
use crate::config::value::{Kind, Value};

/// Every such table, in the order of the documentation.
pub static TABLES: &[&Table] = &[&users::TABLE];

/// An array of tables.
#[derive(Debug)]
pub struct Table {
    /// Its name, as in `[[users]]`.
    pub name: &'static str,
    /// What a row is, in a sentence or two.
    pub doc: &'static str,
    /// How many rows there may be.
    pub max: usize,
    /// What a row may say. The first field is the row's name: it is needed, and no two have the
    /// same.
    pub fields: &'static [Field],
    /// A row, for the commented file.
    pub example: &'static str,
}

/// What one field of a row may hold.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds, and its range.
    pub kind: Kind,
    /// The default, as TOML; `None`: every row must have it.
    pub default: Option<&'static str>,
    /// What it is for, in a sentence or two.
    pub doc: &'static str,
}

/// One row: a value for every field of its table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row {
    name: String,
    values: BTreeMap<&'static str, Value>,
}

/// The table of this name.
#[must_use]
pub fn find_table(name: &str) -> Option<&'static Table> {
    TABLES.iter().copied().find(|table| table.name == name)
}

impl Table {
    /// The field of this name.
    ///
    /// # Errors
    /// There is none; the text names the nearest, if one is near enough to be meant.
    pub fn field(&self, name: &str) -> Result<&'static Field, String> {
        if let Some(field) = self.fields.iter().find(|field| field.name == name) {
            return Ok(field);
        }
        Err(match nearest(name, self.fields.iter().map(|field| field.name)) {
            Some(near) => format!("unknown key; did you mean {near}?"),
            None => {
                let names: Vec<&str> = self.fields.iter().map(|field| field.name).collect();
                format!("unknown key; a row of [[{}]] has {}", self.name, names.join(", "))
            }
        })
    }

    /// Reads a row. Fields that it does not name have their defaults.
    ///
    /// # Errors
    /// The field that is wrong, and how.
    pub fn read_row(&self, found: &Dict) -> Result<Row, String> {
        let mut values = BTreeMap::new();
        for name in found.keys() {
            self.field(name).map_err(|why| format!("{name}: {why}"))?;
        }
        for field in self.fields {
            let value = match (found.get(field.name), field.default_value()) {
                (Some(raw), _) => {
                    field.kind.read_toml(raw).map_err(|why| format!("{}: {why}", field.name))?
                }
                (None, Some(default)) => default,
                (None, None) => {
                    return Err(format!("a row of [[{}]] needs {}", self.name, field.name));
                }
            };
            values.insert(field.name, value);
        }
        let name = self.fields.first().and_then(|field| values.get(field.name));
        Ok(Row { name: name.map(Value::to_shown).unwrap_or_default(), values })
    }

    /// Reads all rows.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(&self, raw: &Raw) -> Result<Value, String> {
        let Raw::Array(_, items) = raw else {
            return Err(format!("is a list of tables; write [[{}]] for each", self.name));
        };
        if items.len() > self.max {
            return Err(format!("has {} rows, and {} are the most", items.len(), self.max));
        }
        let mut rows: Vec<Row> = Vec::with_capacity(items.len());
        for item in items {
            let Raw::Dict(_, found) = item else {
                return Err(format!("is a list of tables; write [[{}]] for each", self.name));
            };
            let row = self.read_row(found)?;
            if rows.iter().any(|other| other.name == row.name) {
                return Err(format!("names {:?} twice", row.name));
            }
            rows.push(row);
        }
        Ok(Value::Rows(rows))
    }
}

impl Field {
    /// The default as a value. There is one for every default: a test reads them all.
    #[must_use]
    pub fn default_value(&self) -> Option<Value> {
        let toml: toml_edit::Value = self.default?.parse().ok()?;
        self.kind.read_toml(&crate::config::sources::toml_to_raw(&toml).ok()?).ok()
    }
}

impl Row {
    /// The row's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.values.get(field)
    }

    /// The text, word or path of a field; empty if the field holds none.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        match self.get(field) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// The truth value of a field; false if the field holds none.
    #[must_use]
    pub fn flag(&self, field: &str) -> bool {
        matches!(self.get(field), Some(Value::Bool(true)))
    }
}
