//! Redis servers of our own: on a Unix socket, and on a port if they are to have one.

pub mod behind;
pub mod cluster;
pub mod sentinel;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::certificates::Pair;
use super::port::Port;
use super::{Raw, wait_for};

/// A running server; it is killed on drop.
pub struct RedisServer {
    child: Option<Child>,
    program: &'static str,
    arguments: Vec<String>,
    dir: TempDir,
    port: Option<Port>,
}

/// Whether tests that need Redis' programs may be skipped; says so.
pub fn missing(program: &str, error: &std::io::Error) {
    let required = std::env::var("SEAWALL_REQUIRE_SERVERS").is_ok_and(|v| v == "1");
    // No distribution has to have the others.
    assert!(!required || program != REDIS, "{program}: {error}");
    println!("SKIPPED: {program}: {error}");
}

const REDIS: &str = "redis-server";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

impl RedisServer {
    /// Starts a server; `None` if there is none on this machine and none is demanded.
    pub fn start() -> Option<Self> {
        Self::start_in(folder(), &[])
    }

    /// Starts a server in a directory, on the files that are there, with settings of its own.
    pub fn start_in(dir: TempDir, settings: &[&str]) -> Option<Self> {
        Self::launch(REDIS, dir, None, &["--port", "0"], settings)
    }

    /// Starts a server that listens on a port, too, which stays its own for as long as it lives.
    pub fn listening(settings: &[&str]) -> Option<Self> {
        Self::program_listening(REDIS, settings)
    }

    /// The same with another program of the family: `valkey-server`.
    pub fn program_listening(program: &'static str, settings: &[&str]) -> Option<Self> {
        let port = Port::reserve();
        let text = port.text();
        Self::launch(program, folder(), Some(port), &["--port", &text], settings)
    }

    /// Starts a server whose port speaks TLS only. With `clients`, the file of an authority, it wants
    /// their certificates, too.
    pub fn listening_with_tls(
        pair: &Pair,
        clients: Option<&Path>,
        settings: &[&str],
    ) -> Option<Self> {
        let (port, dir) = (Port::reserve(), folder());
        let text = port.text();
        let (certificate, key) = pair.write(dir.path(), "server");
        let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let (certificate, key) = (path(&certificate), path(&key));
        let authority = clients.map_or_else(|| certificate.clone(), path);
        let first = [
            "--port",
            "0",
            "--tls-port",
            &text,
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &authority,
            "--tls-auth-clients",
            if clients.is_some() { "yes" } else { "no" },
        ];
        Self::launch(REDIS, dir, Some(port), &first, settings)
    }

    fn launch(
        program: &'static str,
        dir: TempDir,
        port: Option<Port>,
        first: &[&str],
        settings: &[&str],
    ) -> Option<Self> {
        let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
        let (socket, home) = (path("s"), path(""));
        let usual = ["--save", "", "--appendonly", "no", "--unixsocket", &socket, "--dir", &home];
        let usual = usual.iter().chain(&["--bind", "127.0.0.1"]);
        let arguments = first.iter().chain(usual).chain(settings);
        let arguments = arguments.map(|&argument| argument.to_owned()).collect();
        Self { child: None, program, arguments, dir, port }.run()
    }

    fn run(mut self) -> Option<Self> {
        match self.spawn() {
            Ok(()) => Some(self),
            Err(error) => {
                missing(self.program, &error);
                None
            }
        }
    }

    fn spawn(&mut self) -> std::io::Result<()> {
        let mut command = Command::new(self.program);
        let child = command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null());
        self.child = Some(child.spawn()?);
        Ok(())
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.as_ref().expect("a server with a port").address()
    }

    /// A connection through its socket, for the test itself. Waits until it serves.
    pub fn connect(&self) -> Raw {
        let socket = self.dir.path().join("s");
        wait_for("redis-server accepts", || Raw::try_unix(&socket).ok())
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("a running server");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("it is there");
    }

    /// Whether it was not killed.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// It stands still: connections are accepted and never answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on after a pause.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// It is gone; its port refuses.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Another one takes the place of one that was killed: with an empty data set, unless settings make
    /// it write files. Waits until it serves.
    pub fn restart(&mut self) {
        self.kill();
        self.spawn().expect("it started before");
        self.connect();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
