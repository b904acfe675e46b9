//! From accepted values to [`Settings`]: the rules that look at more than one key. Pure.

mod accepted;
mod build;
mod redis;
mod tls;
mod users;

use seawall_actors::cache::store::Store;

use self::accepted::{flag, int, nonzero, secret, size, text};
use self::build::build;
use super::files::NamedFiles;
use super::keys;
use super::machine::Machine;
use super::secret::Secret;
use super::settings::Settings;
use super::sources::Values;
use super::value::Value;

/// Entries that `paranoia` allows.
pub const PARANOIA_ENTRIES: u64 = 10_000;
/// Bytes in all that `paranoia` allows.
pub const PARANOIA_MEMORY: u64 = 10_000_000;
/// Bytes in one value that `paranoia` allows.
pub const PARANOIA_VALUE: u64 = 1_000_000;

/// Room for the rest of a command beside its largest value.
const COMMAND_SLACK: u64 = 1_000_000;

/// Segments that the log must have room for: the one that is written, and what two snapshots do not
/// stand for yet.
const SEGMENTS_AT_LEAST: u64 = 4;

/// Room for the key and the value of a shard's first entry.
const FIRST_ENTRY: u64 = 64;

/// `"auto"` leaves each shard at least so many entries: the keys fall on the shards by chance, and
/// a share of this many is at most a few per cent off when the whole is full.
const LEAST_ENTRIES: u64 = 1000;

/// The value that has room in every shard under `"auto"` while nobody has said how large values
/// are. Far more than what is usually cached; the default of `max_value` is a guard, not a size
/// to expect, and sharing by it would leave one shard on every machine.
const USUAL_VALUE: u64 = 25_000_000;

/// A rule over several keys that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The keys it is about; the first one is to blame.
    pub keys: Vec<&'static str>,
    /// What is wrong, in plain words.
    pub message: String,
}

/// Applies the caps and the rules; all violations at once.
///
/// `values` holds every key of the table, each accepted by its kind. `running_shards` is how many
/// shards there are already: their number does not change while the daemon runs.
///
/// # Errors
/// Every broken rule.
pub fn validate(
    mut values: Values,
    machine: Machine,
    running_shards: Option<u16>,
    files: &NamedFiles,
) -> Result<Settings, Vec<Violation>> {
    let mut violations = Vec::new();
    let memory = resolve_memory(&values, machine, &mut violations);
    if flag(&values, "cache.paranoia") {
        cap(&mut values, memory);
    }
    let max_memory = match values.get("cache.max_memory") {
        Some(Value::Percent(_)) => memory,
        _ => nonzero(size(&values, "cache.max_memory")),
    };
    let unread =
        files.failures().map(|(key, why)| Violation { keys: vec![key], message: why.to_owned() });
    violations.extend(unread);
    let password = password(&values, files, &mut violations);
    let users = users::users(&values, files, password.as_ref(), &mut violations);
    let tls = tls::tls(&values, files, &mut violations);
    let auto = running_shards.unwrap_or_else(|| auto_shards(&values, machine, max_memory));
    redis::rules(&values, &mut violations);
    let mut settings = build(values, auto, max_memory, password, tls, files);
    (settings.users, settings.files) = (users, files.clone());
    rules(&settings, &mut violations);
    if violations.is_empty() { Ok(settings) } else { Err(violations) }
}

/// The memory limit in bytes before any cap; `None` if it is lifted or cannot be told.
fn resolve_memory(values: &Values, machine: Machine, out: &mut Vec<Violation>) -> Option<u64> {
    match values.get("cache.max_memory") {
        Some(Value::Percent(share)) => match machine.memory {
            Some(memory) => Some((memory / 100).saturating_mul(u64::from(*share)).max(1)),
            None => {
                out.push(Violation {
                    keys: vec!["cache.max_memory"],
                    message: "a percentage needs to know the machine's memory, and neither \
                              /proc/meminfo nor a cgroup tells; write a size, for example \"100MB\""
                        .to_owned(),
                });
                None
            }
        },
        _ => nonzero(size(values, "cache.max_memory")),
    }
}

/// The smaller limit wins, whatever the larger one says.
fn cap(values: &mut Values, memory: Option<u64>) {
    let entries = nonzero(int(values, "cache.max_entries"));
    if entries.is_none_or(|n| n > PARANOIA_ENTRIES) {
        values.insert("cache.max_entries", Value::Int(PARANOIA_ENTRIES));
    }
    if memory.is_none_or(|n| n > PARANOIA_MEMORY) {
        values.insert("cache.max_memory", Value::Bytes(PARANOIA_MEMORY));
    }
    if size(values, "validation.max_value") > PARANOIA_VALUE {
        values.insert("validation.max_value", Value::Bytes(PARANOIA_VALUE));
    }
    values.insert("validation.binary_keys", Value::Bool(false));
}

fn password(values: &Values, files: &NamedFiles, out: &mut Vec<Violation>) -> Option<Secret> {
    let direct = secret(values, "server.requirepass").cloned();
    let path = text(values, "server.requirepass_file");
    if direct.is_some() && !path.is_empty() {
        out.push(Violation {
            keys: vec!["server.requirepass_file", "server.requirepass"],
            message: "requirepass and requirepass_file exclude each other; set one of them"
                .to_owned(),
        });
    }
    let Some(content) = files.get("server.requirepass_file", path) else { return direct };
    let password = content.strip_suffix('\n').unwrap_or(content);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        out.push(Violation {
            keys: vec!["server.requirepass_file"],
            message: format!("{path} is empty: it must hold the password"),
        });
    }
    Some(Secret::new(password))
}

fn rules(s: &Settings, out: &mut Vec<Violation>) {
    let mut broken = |keys: &[&'static str], message: String| {
        out.push(Violation { keys: keys.to_vec(), message });
    };
    let server = &s.server;
    if server.bind.is_empty() && server.tls_bind.is_empty() && server.unix_socket.is_none() {
        broken(
            &["server.bind", "server.tls_bind", "server.unix_socket"],
            "nothing to listen on: server.bind, server.tls_bind and server.unix_socket are empty"
                .to_owned(),
        );
    }
    let twice = server.tls_bind.iter().find(|a| a.port() != 0 && server.bind.contains(a));
    if let Some(address) = twice {
        broken(
            &["server.tls_bind", "server.bind"],
            format!("{address} is taken by server.bind; TLS needs an address of its own"),
        );
    }
    if let Some(admin) = &s.admin.bind
        && admin.port() != 0
        && (server.bind.contains(admin) || server.tls_bind.contains(admin))
    {
        let by = if server.bind.contains(admin) { "server.bind" } else { "server.tls_bind" };
        broken(
            &["admin.bind", by],
            format!("{admin} is taken by {by}; admin HTTP needs its own address"),
        );
    }
    if let (Some(default), Some(max)) = (s.cache.default_ttl, s.validation.max_ttl)
        && default > max
    {
        broken(
            &["cache.default_ttl", "validation.max_ttl"],
            "is longer than validation.max_ttl allows".to_owned(),
        );
    }
    shares(s, &mut broken);
    if let Some(max) = s.wal.max_size
        && max < s.wal.segment_size.saturating_mul(SEGMENTS_AT_LEAST)
    {
        broken(
            &["wal.max_size", "wal.segment_size"],
            format!(
                "is too small: whole segments are deleted, so the log needs room for at least \
                 {SEGMENTS_AT_LEAST} of them, {}",
                super::units::format_size(s.wal.segment_size.saturating_mul(SEGMENTS_AT_LEAST))
            ),
        );
    }
    let needed = (s.validation.max_value as u64).saturating_add(COMMAND_SLACK);
    let buffers = [
        ("server.query_buffer", s.server.query_buffer),
        ("server.output_buffer", s.server.output_buffer),
    ];
    for (path, buffer) in buffers {
        if (buffer as u64) < needed {
            broken(
                &[path, "validation.max_value"],
                format!(
                    "is too small for one value: validation.max_value needs at least {}",
                    super::units::format_size(needed)
                ),
            );
        }
    }
}

/// The limits are shared out among the shards, and no share may be too small for one entry: a
/// shard with less would refuse every write, or hold more than the limit says.
fn shares(s: &Settings, broken: &mut impl FnMut(&[&'static str], String)) {
    let shards = u64::from(s.cache.shards.max(1));
    let among = if shards == 1 { "1 shard".to_owned() } else { format!("{shards} shards") };
    if let Some(max) = s.cache.max_entries
        && max < shards
    {
        broken(
            &["cache.max_entries", "cache.shards"],
            format!("is too small for {among}: each must hold at least one entry"),
        );
    }
    let databases = u8::try_from(s.server.databases).unwrap_or(u8::MAX);
    let floor = Store::floor_bytes(databases).saturating_add(FIRST_ENTRY).saturating_mul(shards);
    if let Some(max) = s.cache.max_memory
        && max < floor
    {
        broken(
            &["cache.max_memory", "cache.shards"],
            format!(
                "{} is too small for {among} and {databases} databases: their empty tables and \
                 one small entry each need {floor} bytes",
                super::units::format_size(max)
            ),
        );
    }
}

/// How many shards `"auto"` means.
///
/// A core is left to the log's writer and to the kernel's network work: on two cores one shard
/// costs less per operation than two, and nothing in throughput. And limits are shared out: there
/// are no more shards than can each have [`LEAST_ENTRIES`], and hold a value of `max_value`, or of
/// [`USUAL_VALUE`] if `max_value` is at its default.
fn auto_shards(values: &Values, machine: Machine, max_memory: Option<u64>) -> u16 {
    let by_cores = (machine.cores as u64).saturating_sub(1);
    let by_entries =
        nonzero(int(values, "cache.max_entries")).map_or(u64::MAX, |max| max / LEAST_ENTRIES);
    let is_default = keys::is_default("validation.max_value", values.get("validation.max_value"));
    let value = if is_default { USUAL_VALUE } else { size(values, "validation.max_value") };
    let databases = u8::try_from(int(values, "server.databases")).unwrap_or(u8::MAX);
    let largest = Store::floor_bytes(databases).saturating_add(value).saturating_add(COMMAND_SLACK);
    let by_memory = max_memory.map_or(u64::MAX, |max| max / largest);
    u16::try_from(by_cores.min(by_entries).min(by_memory).clamp(1, 256)).unwrap_or(256)
}
