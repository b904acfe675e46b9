//! Every dependency may be used: `deny.toml` against what Cargo knows, without cargo-deny.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn output(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Whether an SPDX expression can be met with the licences in `allowed`. `OR` binds more weakly
/// than `AND`; brackets hold one or the other.
fn met(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace('/', " OR ");
    if let Some((before, rest)) = expression.split_once('(')
        && let Some((inside, after)) = rest.split_once(')')
    {
        let word = if met(inside, allowed) { "MIT" } else { "no-such-licence" };
        return met(&format!("{before}{word}{after}"), allowed);
    }
    expression.split(" OR ").any(|either| {
        either.split(" AND ").all(|each| allowed.iter().any(|licence| licence == each.trim()))
    })
}

#[test]
fn every_dependency_has_a_licence_of_deny_toml() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let deny = std::fs::read_to_string(root.join("deny.toml")).expect("deny.toml");
    let deny: toml_edit::DocumentMut = deny.parse().expect("TOML");
    let allowed: Vec<String> = deny["licenses"]["allow"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|licence| licence.as_str().map(str::to_owned))
        .collect();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    // Only what is built on this machine is sure to be downloaded.
    let version = output(Command::new("rustc").arg("-vV"));
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let metadata = output(Command::new(cargo).current_dir(root).args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--offline",
        "--filter-platform",
        host,
    ]));
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    assert!(packages.len() > 50, "{} packages", packages.len());
    for package in packages {
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(met(licence, &allowed), "{}: {licence:?} is not allowed", package["name"]);
    }
}

#[test]
fn expressions_are_read_as_spdx_says() {
    let allowed = ["MIT".to_owned(), "Zlib".to_owned()];
    for good in ["MIT", "MIT OR GPL-3.0", "Apache-2.0/MIT", "MIT AND Zlib", "(MIT OR X) AND Zlib"] {
        assert!(met(good, &allowed), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(X OR Y) AND MIT"] {
        assert!(!met(bad, &allowed), "{bad}");
    }
}
