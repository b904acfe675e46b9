//! `docs/commands.md` holds what the command table says, and this proves that it still does.

use std::fmt::Write as _;

use super::all;
use crate::resp::table::{Command, Family, Flags, Run};

const PAGE: &str = "docs/commands.md";
const BEGIN: &str = "<!-- commands: generated from the command table; do not edit -->\n";
const END: &str = "<!-- end of commands -->";
const TIER_BEGIN: &str = "<!-- tier: generated from the command table; do not edit -->\n";
const TIER_END: &str = "<!-- end of tier -->";

fn title(family: Family) -> &'static str {
    match family {
        Family::Read => "Reading values",
        Family::Write => "Writing values",
        Family::Keyspace => "Keys",
        Family::Expiry => "Times to live",
        Family::Transaction => "Transactions",
        Family::PubSub => "Publish and subscribe",
        Family::Connection => "Connections",
        Family::Server => "The server",
        Family::Tier => "Needs a Redis tier",
    }
}

fn is_tier(command: &Command) -> bool {
    matches!(command.run, Run::NeedsTier)
}

/// A `|` would end the cell, `<` would open an HTML element.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

/// Code in a table: only `|` needs care.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

fn usage(name: &str, syntax: &str) -> String {
    code(format!("{} {syntax}", name.to_uppercase()).trim_end())
}

fn tables() -> String {
    let mut out = String::new();
    for family in Family::ALL {
        let mut commands: Vec<_> = all().filter(|c| c.family == family && !is_tier(c)).collect();
        if commands.is_empty() {
            continue;
        }
        commands.sort_by_key(|c| c.name);
        let _ = write!(out, "\n### {}\n\n", title(family));
        out.push_str("| command | since | what it does | cost |\n|---|---|---|---|\n");
        for command in commands {
            let (usage, since) = (usage(command.name, command.syntax), command.since);
            let (summary, cost) = (cell(command.summary), cell(command.complexity));
            let _ = writeln!(out, "| {usage} | {since} | {summary} | {cost} |");
            for sub in command.subcommands {
                let name = format!("{} {}", command.name, sub.name);
                let (usage, summary) = (self::usage(&name, sub.syntax), cell(sub.summary));
                let _ = writeln!(out, "| {usage} |  | {summary} |  |");
            }
        }
    }
    out.push('\n');
    out
}

/// Every command that only a tier answers, by data type, names alone.
fn tier() -> String {
    let mut kinds: Vec<(&str, Vec<&str>)> = Vec::new();
    for command in all().filter(|c| is_tier(c)) {
        let kind = command.summary.split_once(':').map_or("Other", |(kind, _)| kind);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, names)) => names.push(command.name),
            None => kinds.push((kind, vec![command.name])),
        }
    }
    let mut out = String::from("\n| type | commands |\n|---|---|\n");
    for (kind, mut names) in kinds {
        names.sort_unstable();
        let names: Vec<_> = names.iter().map(|n| n.to_uppercase()).collect();
        let _ = writeln!(out, "| {kind} | {} |", names.join(", "));
    }
    out.push('\n');
    out
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> (&'a str, &'a str, &'a str) {
    let (before, rest) = text.split_once(begin).expect("the marker before");
    let (inside, after) = rest.split_once(end).expect("the marker behind");
    (before, inside, after)
}

#[test]
fn the_documentation_agrees_with_the_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let text = std::fs::read_to_string(&path).expect(PAGE);
    let (head, commands, rest) = between(&text, BEGIN, END);
    let (middle, needs_tier, tail) = between(rest, TIER_BEGIN, TIER_END);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let page =
            format!("{head}{BEGIN}{}{END}{middle}{TIER_BEGIN}{}{TIER_END}{tail}", tables(), tier());
        std::fs::write(&path, page).expect(PAGE);
        return;
    }
    assert_eq!(commands, tables(), "run UPDATE_DOCS=1 cargo test -p seawall docs");
    assert_eq!(needs_tier, tier(), "run UPDATE_DOCS=1 cargo test -p seawall docs");
}

#[test]
fn the_readme_counts_the_commands() {
    let readme = include_str!("../../../README.md");
    let count = all().filter(|command| !is_tier(command)).count();
    assert!(readme.contains(&format!("({count} commands, see")), "there are {count}");
}

#[test]
fn every_command_is_described() {
    for command in all() {
        let name = command.name;
        assert!(!command.summary.is_empty(), "{name} has no summary");
        assert!(!command.complexity.is_empty(), "{name} has no cost");
        assert!(!command.since.is_empty(), "{name} has no first version");
        let bare = command.arity.unsigned_abs() == 1;
        assert!(bare || !command.syntax.is_empty(), "{name} takes arguments and shows none");
        let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
        assert!(name.bytes().all(lower), "{name} is no lower-case name");
        assert!(
            !is_tier(command) || !command.flags.has(Flags::NO_AUTH),
            "{name} would reach the tier before AUTH"
        );
    }
}
