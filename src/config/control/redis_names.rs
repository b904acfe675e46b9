//! Redis' names and ways of writing, over Seawall's keys.

use super::super::directives;
use super::super::events::EventClasses;
use super::super::keys::{KEYS, Mapping};
use super::super::settings::Settings;
use super::super::units;
use super::super::value::Value;

/// Names that clients ask for (redis-benchmark reads `save`) and that have one answer here.
const FIXED: [(&str, &str); 2] = [("save", ""), ("cluster-enabled", "no")];

/// The longest threshold that can be set, microseconds.
const DAY_US: u64 = 86_400_000_000;

/// Redis' levels, the quietest last, and the Seawall level that each stands for.
const LEVELS: [(&str, &str); 5] = [
    ("debug", "trace"),
    ("verbose", "debug"),
    ("notice", "info"),
    ("warning", "warn"),
    ("nothing", "off"),
];

/// Whether the name's answer never changes.
pub(super) fn is_fixed(name: &str) -> bool {
    FIXED.iter().any(|(fixed, _)| *fixed == name)
}

/// Every name with its value: Redis' names first, then Seawall's own.
pub(super) fn all(settings: &Settings) -> Vec<(&'static str, String)> {
    let mut all: Vec<(&'static str, String)> =
        FIXED.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    for key in KEYS.iter() {
        let Some(value) = settings.value(key.path) else { continue };
        for redis in key.redis {
            all.push((redis.name, to_redis(redis.mapping, redis.name, value, settings)));
        }
    }
    for key in KEYS.iter() {
        let Some(value) = settings.value(key.path) else { continue };
        all.push((key.path, value.to_shown()));
    }
    all
}

fn to_redis(mapping: Mapping, name: &str, value: &Value, settings: &Settings) -> String {
    match (mapping, value) {
        (Mapping::YesNo, Value::Bool(b)) => if *b { "yes" } else { "no" }.to_owned(),
        (Mapping::Seconds, Value::Duration(d)) => {
            d.as_secs().saturating_add(u64::from(d.subsec_nanos() > 0)).to_string()
        }
        (Mapping::Milliseconds, Value::Duration(d)) => {
            d.as_millis().saturating_add(u128::from(d.subsec_nanos() % 1_000_000 > 0)).to_string()
        }
        (Mapping::MicrosecondsOrOff, Value::Duration(d)) if d.is_zero() => "-1".to_owned(),
        (Mapping::MicrosecondsOrOff, Value::Duration(d)) => {
            d.as_micros().saturating_add(u128::from(d.subsec_nanos() % 1_000 > 0)).to_string()
        }
        (Mapping::Memory, _) if name == "maxmemory" => {
            settings.cache.max_memory.unwrap_or(0).to_string()
        }
        (Mapping::Memory, Value::Bytes(n)) => n.to_string(),
        (Mapping::OutputLimits, Value::Bytes(n)) => {
            format!("normal {n} 0 0 slave {n} 0 0 pubsub {} 0 0", settings.server.pubsub_buffer)
        }
        (Mapping::EventClasses, _) => settings.server.notify_keyspace_events.to_string(),
        (Mapping::Words(words), Value::Text(text)) => words
            .iter()
            .find(|(_, seawall)| seawall == text)
            .map_or_else(|| text.clone(), |(redis, _)| (*redis).to_owned()),
        (Mapping::LogLevel, Value::Text(text)) => match directives::base_level(text) {
            "error" => "warning".to_owned(),
            level => LEVELS
                .iter()
                .find(|(_, seawall)| *seawall == level)
                .map_or_else(|| level.to_owned(), |(redis, _)| (*redis).to_owned()),
        },
        (Mapping::Hosts, _) => {
            let hosts: Vec<&str> = settings.server.bind.iter().map(|a| a.host()).collect();
            hosts.join(" ")
        }
        (Mapping::TlsPort, _) => {
            settings.server.tls_bind.first().map_or(0, |a| a.port()).to_string()
        }
        (Mapping::Port, _) => settings.server.bind.first().map_or(0, |a| a.port()).to_string(),
        (Mapping::Same, Value::Secret(_)) => {
            settings.server.password.as_ref().map_or("", |p| p.expose()).to_owned()
        }
        (_, value) => value.to_text(),
    }
}

/// Redis' text as the key's own; the error is Redis' text too.
pub(super) fn from_redis(mapping: Mapping, text: &str) -> Result<String, String> {
    match mapping {
        Mapping::Same => Ok(text.to_owned()),
        Mapping::YesNo => match text.to_ascii_lowercase().as_str() {
            "yes" => Ok("true".to_owned()),
            "no" => Ok("false".to_owned()),
            _ => Err("argument must be 'yes' or 'no'".to_owned()),
        },
        Mapping::Integer(min, max) => integer(text, min, max).map(|n| n.to_string()),
        Mapping::Seconds => integer(text, 0, i32::MAX as u64).map(|n| format!("{n}s")),
        Mapping::Milliseconds => integer(text, 0, DAY_US / 1000).map(|n| format!("{n}ms")),
        // Nothing takes less than a microsecond, so that one stands for everything.
        Mapping::MicrosecondsOrOff => match text {
            "-1" => Ok("0s".to_owned()),
            _ => integer(text, 0, DAY_US).map(|n| format!("{}us", n.max(1))),
        },
        Mapping::Memory => units::parse_redis_memory(text)
            .map(|n| n.to_string())
            .ok_or_else(|| "argument must be a memory value".to_owned()),
        Mapping::Words(words) => word(words, text),
        Mapping::EventClasses => match EventClasses::parse(text) {
            Some(_) => Ok(text.to_owned()),
            None => Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_owned()),
        },
        Mapping::LogLevel => word(&LEVELS, text),
        Mapping::Hosts | Mapping::Port | Mapping::TlsPort | Mapping::OutputLimits => {
            Err("can't set immutable config".to_owned())
        }
    }
}

fn word(words: &[(&str, &str)], text: &str) -> Result<String, String> {
    let found = words.iter().find(|(redis, _)| redis.eq_ignore_ascii_case(text));
    found.map(|(_, seawall)| (*seawall).to_owned()).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(redis, _)| *redis).collect();
        format!("argument(s) must be one of the following: {}", known.join(", "))
    })
}

fn integer(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let n: i128 =
        text.parse().map_err(|_| "argument couldn't be parsed into an integer".to_owned())?;
    u64::try_from(n)
        .ok()
        .filter(|n| (min..=max).contains(n))
        .ok_or_else(|| format!("argument must be between {min} and {max} inclusive"))
}
