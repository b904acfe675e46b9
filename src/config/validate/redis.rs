//! `[redis]`: from values to the settings of the second tier, and the rules over several of them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use seawall_actors::redis::outbox::{Conflict, OutboxSettings};
use seawall_actors::redis::{
    LinkSettings, PassageLimits, Password, TlsFiles, has_password, lacks_password,
};

use super::accepted::{
    addresses, bounded, duration, flag, int, list, path, secret, size, text, to_usize,
};
use super::{Values, Violation};
use crate::config::files::NamedFiles;
use crate::config::keys::is_default;
use crate::config::secret::Secret;
use crate::config::settings::Redis;
use crate::config::value::Value;
use crate::tier::warm::WarmUp;

/// Rules of `[redis]` that its settings no longer show.
pub(super) fn rules(v: &Values, out: &mut Vec<Violation>) {
    let mut broken = |keys: &[&'static str], message: &str| {
        out.push(Violation { keys: keys.to_vec(), message: message.to_owned() });
    };
    for (text, file, message) in [
        (
            "redis.password",
            "redis.password_file",
            "password and password_file exclude each other; set one of them",
        ),
        (
            "redis.sentinel_password",
            "redis.sentinel_password_file",
            "sentinel_password and sentinel_password_file exclude each other; set one of them",
        ),
    ] {
        if secret(v, text).is_some() && path(v, file).is_some() {
            broken(&[file, text], message);
        }
    }
    let sentinels = password(v, "redis.sentinel_password", "redis.sentinel_password_file");
    if !text(v, "redis.sentinel_username").is_empty() && sentinels.is_none() {
        broken(
            &["redis.sentinel_username", "redis.sentinel_password"],
            "a user logs in with a password: set sentinel_password_file, too, or leave \
             sentinel_username empty",
        );
    }
    let ours = password(v, "redis.password", "redis.password_file");
    let of_url = url(v).map(Secret::expose).unwrap_or_default();
    let named = !text(v, "redis.username").is_empty();
    if ours.is_none() && (lacks_password(of_url) || (named && !has_password(of_url))) {
        // The libraries would log in as nobody, and be told something about `default`.
        let message = "a user logs in with a password: set password_file, too, or name no user";
        broken(&["redis.username", "redis.password_file"], message);
    }
    let (soft, hard) = (duration(v, "redis.soft_timeout"), duration(v, "redis.timeout"));
    let asked = !is_default("redis.soft_timeout", v.get("redis.soft_timeout"));
    if asked && soft > hard {
        broken(
            &["redis.soft_timeout", "redis.timeout"],
            "is longer than redis.timeout, after which nobody waits any more; make it shorter, or \
             the same to serve what is in memory only then",
        );
    }
    if url(v).is_some() && !flag(v, "wal.enabled") {
        broken(
            &["redis.url", "wal.enabled"],
            "needs the log, from which Redis is written: set wal.enabled to true, or leave url \
             empty",
        );
    }
    if path(v, "redis.cert_file").is_some() != path(v, "redis.key_file").is_some() {
        broken(
            &["redis.key_file", "redis.cert_file"],
            "a certificate needs its key: set both cert_file and key_file, or neither",
        );
    }
    if flag(v, "redis.cluster") && !list(v, "redis.sentinels").is_empty() {
        broken(
            &["redis.cluster", "redis.sentinels"],
            "a Cluster looks after itself: set redis.cluster or redis.sentinels, not both",
        );
    }
    if duration(v, "redis.breaker_cool_down") > duration(v, "redis.breaker_max_cool_down") {
        broken(
            &["redis.breaker_max_cool_down", "redis.breaker_cool_down"],
            "the longest wait is shorter than the first, breaker_cool_down",
        );
    }
    let prefixes = list(v, "redis.track_prefixes");
    let overlaps = |(i, one): (usize, &String)| {
        prefixes.iter().enumerate().any(|(j, other)| i != j && other.starts_with(one.as_str()))
    };
    if prefixes.iter().enumerate().any(overlaps) {
        broken(
            &["redis.track_prefixes"],
            "one of the prefixes begins with another; Redis takes none that overlap, and the \
             shorter one says it all",
        );
    }
}

/// A password that is written down under one key, or in a file under another.
fn password(v: &Values, key: &'static str, file: &'static str) -> Option<Password> {
    path(v, file)
        .map(Password::File)
        .or_else(|| secret(v, key).map(|s| Password::Text(s.expose().to_owned())))
}

/// Another number for another content of the files that links read.
fn content(v: &Values, files: &NamedFiles) -> u64 {
    let mut hasher = DefaultHasher::new();
    for key in [
        "redis.password_file",
        "redis.sentinel_password_file",
        "redis.ca_file",
        "redis.cert_file",
        "redis.key_file",
    ] {
        files.get(key, text(v, key)).hash(&mut hasher);
    }
    hasher.finish()
}

/// The settings of the tier; none without an address.
pub(super) fn redis(v: &Values, files: &NamedFiles) -> Option<Redis> {
    let url = url(v)?.expose().to_owned();
    let client = path(v, "redis.cert_file").zip(path(v, "redis.key_file"));
    let sentinels = addresses(v, "redis.sentinels")
        .map(|address| (address.host().to_owned(), address.port()))
        .collect();
    let named = |key| Some(text(v, key).to_owned()).filter(|name| !name.is_empty());
    let link = LinkSettings {
        url,
        sentinels,
        master: None,
        sentinel_username: named("redis.sentinel_username"),
        sentinel_password: password(v, "redis.sentinel_password", "redis.sentinel_password_file"),
        cluster: flag(v, "redis.cluster"),
        username: named("redis.username"),
        password: password(v, "redis.password", "redis.password_file"),
        client_name: text(v, "redis.client_name").to_owned(),
        tls: TlsFiles { ca: path(v, "redis.ca_file"), client },
        content: content(v, files),
        timeout: duration(v, "redis.timeout"),
        connect_timeout: duration(v, "redis.connect_timeout"),
        ping_every: duration(v, "redis.ping_every"),
        max_age: bounded(v, "redis.max_age"),
        in_flight: to_usize(int(v, "redis.in_flight")),
        track_prefixes: list(v, "redis.track_prefixes").to_vec(),
        retry_share: u8::try_from(int(v, "redis.retry_share")).unwrap_or(100),
    };
    let outbox = OutboxSettings {
        through: text(v, "redis.write") == "through",
        conflict: match text(v, "redis.conflict") {
            "newest" => Conflict::Newest,
            "redis" => Conflict::Redis,
            _ => Conflict::Local,
        },
        drain: duration(v, "redis.drain"),
    };
    Some(Redis {
        link,
        outbox,
        soft_timeout: duration(v, "redis.soft_timeout"),
        negative_ttl: duration(v, "redis.negative_ttl"),
        stale_if_error: duration(v, "redis.stale_if_error"),
        revalidate_after: duration(v, "redis.revalidate_after"),
        keep_expired: size(v, "redis.keep_expired"),
        refresh_early: u8::try_from(int(v, "redis.refresh_early")).unwrap_or(0),
        ttl_jitter: u8::try_from(int(v, "redis.ttl_jitter")).unwrap_or(0),
        warm: WarmUp {
            patterns: list(v, "redis.warm").to_vec(),
            file: path(v, "redis.warm_file"),
            keys: int(v, "redis.warm_keys"),
            bytes: size(v, "redis.warm_bytes"),
            rate: int(v, "redis.warm_rate"),
            within: duration(v, "redis.warm_within"),
        },
        pubsub: flag(v, "redis.pubsub"),
        links: to_usize(int(v, "redis.links")),
        passage: PassageLimits {
            shared: to_usize(int(v, "redis.pass_links")),
            blocking: to_usize(int(v, "redis.blocking_links")),
        },
        breaker_failures: u32::try_from(int(v, "redis.breaker_failures")).unwrap_or(1),
        breaker_cool_down: duration(v, "redis.breaker_cool_down"),
        breaker_max_cool_down: duration(v, "redis.breaker_max_cool_down"),
    })
}

fn url(v: &Values) -> Option<&Secret> {
    match v.get("redis.url") {
        Some(Value::Url(url)) if !url.expose().is_empty() => Some(url),
        _ => None,
    }
}
