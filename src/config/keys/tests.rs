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

#[test]
fn every_table_names_its_rows_by_a_needed_word_and_has_an_example() {
    for table in TABLES {
        let first = table.fields.first().expect("a field");
        assert!(first.default.is_none() && matches!(first.kind, Kind::Word), "{}", table.name);
        for field in &table.fields[1..] {
            let default = field.default.is_none() || field.default_value().is_some();
            assert!(default, "{}.{}", table.name, field.name);
            assert!(field.doc.ends_with('.') && !field.doc.contains('|'), "{}", field.name);
        }
        assert!(!SECTIONS.iter().any(|section| section.name == table.name), "{}", table.name);
        let example: toml_edit::DocumentMut = table.example.parse().expect("TOML");
        assert!(example.contains_array_of_tables(table.name), "{}", table.name);
    }
}
