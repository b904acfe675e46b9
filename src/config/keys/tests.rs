//! The table agrees with itself.

use std::collections::HashSet;

use super::*;

#[test]
fn every_default_is_a_value_of_its_kind() {
    for key in KEYS.iter() {
        assert!(key.default_value().is_some(), "{}: {}", key.path, key.default);
    }
}

#[test]
fn every_path_and_every_redis_name_is_unique() {
    let mut seen = HashSet::new();
    for key in KEYS.iter() {
        assert!(seen.insert(key.path), "{} twice", key.path);
        for redis in key.redis {
            assert!(seen.insert(redis.name), "{} twice", redis.name);
        }
    }
}

#[test]
fn every_key_has_a_section_and_every_section_a_key() {
    let used: HashSet<&str> = KEYS.iter().map(|k| k.section()).collect();
    let known: HashSet<&str> = SECTIONS.iter().map(|s| s.name).collect();
    assert_eq!(used, known);
}

#[test]
fn every_key_is_documented_in_sentences() {
    for key in KEYS.iter() {
        assert!(key.doc.ends_with('.') && !key.doc.contains('\n'), "{}", key.path);
        assert!(!key.doc.contains('|'), "{}: a bar would break the table", key.path);
    }
}

#[test]
fn a_misspelt_key_finds_its_neighbour() {
    assert_eq!(nearest_path("cache.max_memry"), Some("cache.max_memory"));
    assert_eq!(nearest_path("server.max_memory"), Some("cache.max_memory"));
    assert_eq!(nearest_path("max_memory"), Some("cache.max_memory"));
    assert_eq!(nearest_path("wal.fsnyc"), Some("wal.fsync"));
    assert_eq!(nearest_path("zzz.qqqqqqqq"), None);
}
