//! What a reload would change.

use super::super::diff::diff;
use super::super::keys::Apply;
use super::*;

#[test]
fn nothing_changed_is_no_change() {
    let s = defaults().settings;
    assert!(diff(&s, &s.clone()).is_empty());
}

#[test]
fn each_change_says_how_it_takes_effect() {
    let old = defaults().settings;
    let text = "[server]\nrequirepass = \"secret\"\ndatabases = 4\n[wal]\nfsync = \"always\"\n";
    let new = load(text, &[]).expect("valid").settings;
    let changes = diff(&old, &new);
    let seen: Vec<_> = changes.iter().map(|c| (c.key, c.from.as_str(), c.to.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("server.databases", "16", "4"),
            ("server.requirepass", "", "***"),
            ("wal.fsync", "everysec", "always"),
        ]
    );
    let how: Vec<Apply> = changes.iter().map(|c| c.apply).collect();
    assert_eq!(how, [Apply::NeedsRestart, Apply::Live, Apply::Live]);
}

#[test]
fn another_password_in_the_same_file_is_a_change() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let secret = dir.path().join("password");
    let text = format!("[server]\nrequirepass_file = {:?}\n", secret.display().to_string());
    std::fs::write(&secret, "one").expect("a file");
    let old = load(&text, &[]).expect("valid").settings;
    std::fs::write(&secret, "two").expect("a file");
    let new = load(&text, &[]).expect("valid").settings;
    let keys: Vec<_> = diff(&old, &new).into_iter().map(|c| c.key).collect();
    assert_eq!(keys, ["server.requirepass_file"]);
}

#[test]
fn users_that_change_are_named() {
    let users = |rules: &str, more: &str| {
        let text = format!("[[users]]\nname = \"ann\"\nrules = {rules:?}\n{more}");
        load(&text, &[]).expect("valid").settings
    };
    let (old, new) = (users("+get", ""), users("+set", "[[users]]\nname = \"bob\"\n"));
    let changes = diff(&old, &new);
    let seen: Vec<_> = changes.iter().map(|c| (c.key, c.from.as_str(), c.to.as_str())).collect();
    assert_eq!(seen, [("users", "ann", "ann (changed) bob")]);
}
