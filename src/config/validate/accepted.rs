//! The accepted value of a key, by its kind. Pure.
//!
//! Every key is there with its kind: `merge` saw to that, and a test walks all of them. So the other
//! arms are never taken; they stand for a zero rather than for a panic.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::address::Address;
use crate::config::keys;
use crate::config::secret::Secret;
use crate::config::sources::Values;
use crate::config::value::Value;

pub(super) fn flag(values: &Values, path: &'static str) -> bool {
    debug_assert!(keys::find(path).is_some(), "{path} is not in the table");
    matches!(values.get(path), Some(Value::Bool(true)))
}

pub(super) fn int(values: &Values, path: &'static str) -> u64 {
    match values.get(path) {
        Some(Value::Int(n)) => *n,
        _ => 0,
    }
}

pub(super) fn size(values: &Values, path: &'static str) -> u64 {
    match values.get(path) {
        Some(Value::Bytes(n)) => *n,
        _ => 0,
    }
}

pub(super) fn duration(values: &Values, path: &'static str) -> Duration {
    match values.get(path) {
        Some(Value::Duration(d)) => *d,
        _ => Duration::ZERO,
    }
}

pub(super) fn bounded(values: &Values, path: &'static str) -> Option<Duration> {
    Some(duration(values, path)).filter(|d| !d.is_zero())
}

pub(super) fn text<'a>(values: &'a Values, path: &'static str) -> &'a str {
    match values.get(path) {
        Some(Value::Text(t)) => t,
        _ => "",
    }
}

pub(super) fn list<'a>(values: &'a Values, path: &'static str) -> &'a [String] {
    match values.get(path) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

pub(super) fn addresses(values: &Values, path: &'static str) -> impl Iterator<Item = Address> {
    list(values, path).iter().filter_map(|text| text.parse().ok())
}

pub(super) fn secret<'a>(values: &'a Values, path: &'static str) -> Option<&'a Secret> {
    match values.get(path) {
        Some(Value::Secret(secret)) if !secret.expose().is_empty() => Some(secret),
        _ => None,
    }
}

pub(super) fn path(values: &Values, path: &'static str) -> Option<PathBuf> {
    Some(text(values, path)).filter(|t| !t.is_empty()).map(PathBuf::from)
}

pub(super) fn nonzero(n: u64) -> Option<u64> {
    Some(n).filter(|n| *n > 0)
}

pub(super) fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
