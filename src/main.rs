//! The `seawall` binary: the command line, and nothing else.

use std::process::ExitCode;

/// The system's allocator serves small blocks from many threads slowly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    seawall::cli::main(seawall::boot::run)
}
