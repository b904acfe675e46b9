//! `seawall tree`: asks a running daemon for its tree of actors.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::query::{Endpoint, QueryError, query};
use super::{complain, print};
use crate::config::{Address, Loader, Secret, Settings};
use crate::exit::Exit;

/// How long the daemon may take for each step.
const PATIENCE: Duration = Duration::from_secs(5);

/// What `seawall tree` takes.
#[derive(Debug, Args)]
pub struct TreeArgs {
    /// Where the daemon listens, HOST:PORT or the path of a Unix socket [default: as configured]
    #[arg(long, value_name = "ADDRESS")]
    addr: Option<String>,
}

pub(super) fn tree(config: Option<PathBuf>, args: &TreeArgs) -> Exit {
    let settings = match Loader::new(config).load() {
        Ok(loaded) => loaded.settings,
        Err(errors) => {
            complain("the configuration is wrong, so where to ask is not known:");
            complain(&errors.to_string());
            return Exit::Config;
        }
    };
    let endpoint = match args.addr.as_deref().map_or_else(|| configured(&settings), named) {
        Ok(endpoint) => endpoint,
        Err(why) => {
            complain(&why);
            return Exit::Usage;
        }
    };
    let password = settings.server.password.as_ref();
    let mut questions: Vec<Vec<&str>> = Vec::new();
    if let Some(password) = password.map(Secret::expose) {
        questions.push(vec!["AUTH", password]);
    }
    questions.push(vec!["SW.TREE"]);
    match query(&endpoint, &questions, PATIENCE) {
        Ok(text) => print(&format!("{}\n", text.trim_end())),
        Err(e @ QueryError::Connect(_)) => {
            complain(&format!(
                "no daemon answers at {endpoint}: {e}\nis it running? `seawall` starts it; \
                 --addr asks elsewhere"
            ));
            Exit::Unavailable
        }
        Err(e) => {
            complain(&format!("the daemon at {endpoint}: {e}"));
            Exit::Unavailable
        }
    }
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
