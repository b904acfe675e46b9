//! Asking a running daemon: where it listens, the password, and what to say if nobody answers.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::complain;
use super::query::{Endpoint, QueryError, query};
use crate::config::{Address, Loader, Secret, Settings};
use crate::exit::Exit;

/// Whom to ask.
#[derive(Debug, Args)]
pub struct Whom {
    /// Where the daemon listens, HOST:PORT or the path of a Unix socket [default: as configured]
    #[arg(long, value_name = "ADDRESS")]
    addr: Option<String>,
}

/// Asks the questions one after the other; the text of the last answer. Each may take as long as
/// `patience`.
///
/// # Errors
/// The exit code, when what is wrong has been said. `refused` is that of a daemon that answers with
/// an error.
pub(super) fn ask(
    config: Option<PathBuf>,
    whom: &Whom,
    questions: &[&[&str]],
    patience: Duration,
    refused: Exit,
) -> Result<String, Exit> {
    let settings = match Loader::new(config).load() {
        Ok(loaded) => loaded.settings,
        Err(errors) => {
            complain("the configuration is wrong, so where to ask is not known:");
            complain(&errors.to_string());
            return Err(Exit::Config);
        }
    };
    let endpoint = match whom.addr.as_deref().map_or_else(|| configured(&settings), named) {
        Ok(endpoint) => endpoint,
        Err(why) => {
            complain(&why);
            return Err(Exit::Usage);
        }
    };
    let password = settings.server.password.as_ref().map(Secret::expose);
    let mut all: Vec<Vec<&str>> = Vec::new();
    all.extend(password.map(|password| vec!["AUTH", password]));
    all.extend(questions.iter().map(|words| words.to_vec()));
    query(&endpoint, &all, patience).map_err(|error| {
        if let QueryError::Connect(_) = error {
            complain(&format!(
                "no daemon answers at {endpoint}: {error}\nis it running? `seawall` starts it; \
                 --addr asks elsewhere"
            ));
            return Exit::Unavailable;
        }
        complain(&format!("the daemon at {endpoint}: {error}"));
        match error {
            QueryError::Refused(_) => refused,
            _ => Exit::Unavailable,
        }
    })
}

/// `--addr`: what has a slash is a path.
fn named(addr: &str) -> Result<Endpoint, String> {
    if addr.contains('/') {
        Ok(Endpoint::Unix(PathBuf::from(addr)))
    } else {
        addr.parse().map(|a| Endpoint::Tcp(reachable(&a)))
    }
}

/// The first listener of the configuration that can be asked.
fn configured(settings: &Settings) -> Result<Endpoint, String> {
    match (settings.server.bind.iter().find(|a| a.port() != 0), &settings.server.unix_socket) {
        (Some(address), _) => Ok(Endpoint::Tcp(reachable(address))),
        (None, Some(path)) => Ok(Endpoint::Unix(path.clone())),
        (None, None) => {
            Err("the configured port is 0, any free one: say which with --addr".to_owned())
        }
    }
}

/// "All interfaces" is an address to listen on, not one to ask: this machine is meant.
fn reachable(address: &Address) -> (String, u16) {
    let host = match address.host() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    (host.to_owned(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_a_path_can_be_asked() {
        assert_eq!(named("0.0.0.0:1"), Ok(Endpoint::Tcp(("127.0.0.1".to_owned(), 1))));
        assert_eq!(named("[::]:1"), Ok(Endpoint::Tcp(("::1".to_owned(), 1))));
        assert_eq!(named("./s"), Ok(Endpoint::Unix(PathBuf::from("./s"))));
        assert!(named("nonsense").is_err());
    }
}
