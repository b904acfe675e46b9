//! The command line as typed.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::cell::Cell;

use clap::CommandFactory as _;

use super::*;

fn parse(words: &[&str]) -> Cli {
    Cli::try_parse_from(words).expect("a right command line")
}

#[test]
fn the_definitions_hold() {
    Cli::command().debug_assert();
}

#[test]
fn without_a_command_the_daemon_runs() {
    for words in [&["seawall", "--config", "x"][..], &["seawall", "run", "--config", "x"]] {
        let started = Cell::new(None);
        let _ = dispatch(parse(words), |args| {
            started.set(Some(args));
            ExitCode::SUCCESS
        });
        assert_eq!(started.take(), Some(RunArgs { config: Some(PathBuf::from("x")) }));
    }
}

#[test]
fn every_subcommand_is_there() {
    for words in [
        "check",
        "tree --addr a:1",
        "snapshot --addr ./s",
        "wal verify --data d",
        "wal repair --yes",
        "import --from dump.rdb --data d --into-existing",
        "export --format rdb --to -",
        "restore --from d --data e --to-lsn 7",
        "version",
        "completions bash",
        "man",
    ] {
        let words: Vec<&str> = std::iter::once("seawall").chain(words.split(' ')).collect();
        assert!(parse(&words).command.is_some());
    }
    assert!(Cli::try_parse_from(["seawall", "chekc"]).is_err());
}

#[test]
fn completions_and_the_manual_page_name_every_subcommand() {
    let bash = String::from_utf8(completions::script(clap_complete::Shell::Bash)).expect("text");
    let page = String::from_utf8(man::page().expect("a page")).expect("text");
    for command in Cli::command().get_subcommands() {
        assert!(bash.contains(command.get_name()), "{}", command.get_name());
        assert!(page.contains(command.get_name()), "{}", command.get_name());
    }
    assert!(page.contains("EXIT STATUS"));
}
