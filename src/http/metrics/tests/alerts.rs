//! `config/alerts.yml` holds against the catalogue, and `docs/alerts.md` is written from it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use seawall_actors::metrics::Kind;

use super::catalog;

const RULES: &str = "config/alerts.yml";
const PAGE: &str = "docs/alerts.md";
const BEGIN: &str = "<!-- begin: written by UPDATE_DOCS=1 cargo test alerts -->";
const END: &str = "<!-- end -->";

/// The label that each scrape adds, and what Prometheus itself records of one.
const OF_PROMETHEUS: [&str; 4] = ["job", "instance", "le", "up"];
/// What may stand in an expression beside names and labels.
const WORDS: [&str; 9] =
    ["sum", "without", "increase", "rate", "time", "and", "or", "unless", "by"];

#[derive(Default)]
struct Alert {
    group: String,
    name: String,
    expr: String,
    lasts: String,
    severity: String,
    summary: String,
    description: String,
}

fn root(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// Reads the file, which is written in a narrow part of YAML on purpose: a line, a field.
fn alerts() -> Vec<Alert> {
    let mut found: Vec<Alert> = Vec::new();
    let mut group = String::new();
    for line in fs::read_to_string(root(RULES)).unwrap().lines() {
        let line = line.trim();
        if line.is_empty()
            || line.starts_with('#')
            || ["groups:", "rules:", "annotations:"].contains(&line)
        {
            continue;
        }
        let (field, value) = line.split_once(": ").unwrap_or_else(|| panic!("what is '{line}'?"));
        let value = value.trim_matches('"').to_owned();
        match field {
            "- name" => group = value,
            "- alert" => {
                found.push(Alert { group: group.clone(), name: value, ..Alert::default() });
            }
            _ => {
                let alert = found.last_mut().unwrap_or_else(|| panic!("'{line}' before an alert"));
                let place = match field {
                    "expr" => &mut alert.expr,
                    "for" => &mut alert.lasts,
                    "labels" => &mut alert.severity,
                    "summary" => &mut alert.summary,
                    "description" => &mut alert.description,
                    _ => panic!("what is '{line}'?"),
                };
                assert!(place.is_empty(), "{} has two of '{field}'", alert.name);
                *place = value;
            }
        }
    }
    for alert in &mut found {
        let severity = alert.severity.strip_prefix("{severity: ").and_then(|s| s.strip_suffix('}'));
        alert.severity = severity.unwrap_or_else(|| panic!("{}: severity", alert.name)).to_owned();
    }
    found
}

/// The words of an expression: outside quotes, without the durations in brackets.
fn words(expr: &str) -> Vec<&str> {
    let outside = expr.split('"').step_by(2);
    outside
        .flat_map(|part| part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()))
        .collect()
}

/// Every name that the exposition may have.
fn exposed() -> BTreeSet<String> {
    let metrics = catalog::SECTIONS.iter().flat_map(|(_, metrics)| *metrics);
    metrics
        .flat_map(|m| match m.kind {
            Kind::Histogram => vec![format!("{}_bucket", m.full_name())],
            _ => vec![m.full_name()],
        })
        .collect()
}

#[test]
fn every_alert_asks_for_what_there_is_and_says_what_to_do() {
    let exposed = exposed();
    let labels: BTreeSet<&str> = catalog::SECTIONS
        .iter()
        .flat_map(|(_, metrics)| *metrics)
        .flat_map(|m| m.labels)
        .copied()
        .collect();
    let mut names = BTreeSet::new();
    for alert in alerts() {
        assert!(names.insert(alert.name.clone()), "{} is there twice", alert.name);
        assert!(alert.name.starts_with("Seawall"), "{}", alert.name);
        assert!(
            ["page", "ticket"].contains(&&*alert.severity),
            "{}: {}",
            alert.name,
            alert.severity
        );
        assert!(!alert.summary.is_empty(), "{} says not what happened", alert.name);
        assert!(alert.description.ends_with('.'), "{} says not what to do", alert.name);
        for word in words(&alert.expr) {
            assert!(
                exposed.contains(word)
                    || labels.contains(word)
                    || OF_PROMETHEUS.contains(&word)
                    || WORDS.contains(&word),
                "{}: there is no '{word}'",
                alert.name
            );
        }
    }
    assert!(names.len() > 20, "the file was not understood: {names:?}");
}

fn tables() -> String {
    let (mut out, mut group) = (String::new(), String::new());
    for alert in alerts() {
        if alert.group != group {
            let title = if alert.group == "seawall" { "The daemon" } else { "Redis behind" };
            let _ = write!(
                out,
                "\n## {title}\n\n| alert | if | for | | what it means |\n|---|---|---|---|---|\n"
            );
            group = alert.group;
        }
        let Alert { name, expr, lasts, severity, summary, description, .. } = alert;
        let expr = expr.replace('|', "\\|");
        let _ = writeln!(
            out,
            "| {name} | `{expr}` | {lasts} | {severity} | **{summary}.** {description} |"
        );
    }
    out.push('\n');
    out
}

#[test]
fn the_page_about_alerts_agrees_with_the_file() {
    let page = fs::read_to_string(root(PAGE)).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (written, tail) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(root(PAGE), format!("{head}{BEGIN}\n{}{END}{tail}", tables())).unwrap();
    } else {
        assert_eq!(written.trim(), tables().trim(), "run UPDATE_DOCS=1 cargo test alerts");
    }
}
