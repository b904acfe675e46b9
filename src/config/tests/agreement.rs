//! The table, the files in `config/` and the documentation agree.
//!
//! `UPDATE_DOCS=1 cargo test -p seawall agreement` writes what is generated.

use std::fs;

use super::super::render;
use super::*;

const BEGIN: &str = "<!-- keys: generated from the table of keys; do not edit -->\n";
const END: &str = "<!-- end of keys -->";

fn updating() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

#[test]
fn the_default_file_is_generated_from_the_table() {
    let path = repository("config/seawall.toml");
    let wanted = render::default_file();
    if updating() {
        fs::write(&path, &wanted).expect("config/ can be written");
    }
    let found = fs::read_to_string(&path).expect("config/seawall.toml");
    assert_eq!(found, wanted, "run UPDATE_DOCS=1 cargo test -p seawall agreement");
}

#[test]
fn the_default_file_changes_nothing() {
    let loaded = loader(&repository("config/seawall.toml"), &[]).load().expect("valid");
    assert_eq!(loaded.settings, defaults().settings);
    // A table without rows can't be written.
    let mut written = loaded.origins.iter().filter(|(key, _)| key.contains('.'));
    assert!(!written.any(|(_, source)| *source == super::super::Source::Default));
}

#[test]
fn the_example_for_production_is_valid_in_each_of_its_profiles() {
    for profile in ["", "small"] {
        let loader = loader(&repository("config/production.toml"), &[("SEAWALL_PROFILE", profile)]);
        // It names a password file that is not on this machine, and nothing else is wrong.
        let found = problems(loader.load());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("server.requirepass_file"), "{found:?}");
    }
}

#[test]
fn the_documentation_holds_the_table() {
    let path = repository("docs/configuration.md");
    let text = fs::read_to_string(&path).expect("docs/configuration.md");
    let (before, rest) = text.split_once(BEGIN).expect("the marker before the keys");
    let (between, after) = rest.split_once(END).expect("the marker behind the keys");
    let wanted = format!("\n{}", render::key_tables());
    if updating() {
        fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).expect("docs/");
        return;
    }
    assert_eq!(between, wanted, "run UPDATE_DOCS=1 cargo test -p seawall agreement");
}

#[test]
fn what_check_prints_is_a_configuration_again() {
    let first = load("[cache]\nmax_memory = \"60%\"\nshards = 3\n[log]\nformat = \"json\"\n", &[]);
    let first = first.expect("valid");
    let second = load(&render::effective(&first), &[]).expect("what was printed is valid");
    assert_eq!(first.settings, second.settings);
}
