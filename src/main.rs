//! The `seawall` binary: the command line, and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    seawall::cli::main(|_| {
        eprintln!("seawall: this build has no daemon; `seawall check` validates a configuration");
        seawall::exit::Exit::Unavailable.into()
    })
}
