//! A redis-server of our own on a Unix socket.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{Raw, wait_for};

/// A running server; it is killed on drop.
pub struct RedisServer {
    child: Child,
    dir: TempDir,
}

/// Whether tests that need Redis' programs may be skipped; says so.
pub fn missing(program: &str, error: &std::io::Error) {
    let required = std::env::var("SEAWALL_REQUIRE_SERVERS").is_ok_and(|v| v == "1");
    assert!(!required, "{program}: {error}");
    println!("SKIPPED: {program}: {error}");
}

impl RedisServer {
    /// Starts a server; `None` if there is none on this machine and none is demanded.
    pub fn start() -> Option<Self> {
        Self::start_in(tempfile::tempdir().expect("a temporary directory"), &[])
    }

    /// Starts a server in a directory, on the files that are there, with settings of its own.
    pub fn start_in(dir: TempDir, settings: &[&str]) -> Option<Self> {
        let spawned = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(dir.path().join("s"))
            .arg("--dir")
            .arg(dir.path())
            .args(settings)
            .stdout(Stdio::null())
            .spawn();
        match spawned {
            Ok(child) => Some(Self { child, dir }),
            Err(error) => {
                missing("redis-server", &error);
                None
            }
        }
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn connect(&self) -> Raw {
        let socket = self.dir.path().join("s");
        wait_for("redis-server accepts", || Raw::try_unix(&socket).ok())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
