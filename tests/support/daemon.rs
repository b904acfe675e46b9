//! The real binary, started in a folder of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, Raw, http, wait_for};

/// Settings and surroundings of a daemon that is not started yet.
pub struct Setup {
    dir: Arc<TempDir>,
    settings: BTreeMap<String, String>,
    tables: String,
    env: Vec<(String, String)>,
    handed: Option<OwnedFd>,
    surroundings: Vec<String>,
}

impl Setup {
    /// Free ports, JSON logs, a data directory of its own.
    pub fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().expect("a temporary directory"));
        Self {
            dir,
            settings: BTreeMap::new(),
            tables: String::new(),
            env: Vec::new(),
            handed: None,
            surroundings: Vec::new(),
        }
        .with("server.bind", r#"["127.0.0.1:0"]"#)
        .with("admin.bind", r#""127.0.0.1:0""#)
        .with("log.format", r#""json""#)
        .with("data.dir", r#""data""#)
    }

    /// Sets a key; `value` is TOML.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.settings.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds tables such as `[[users]]`, in TOML.
    pub fn with_tables(mut self, toml: &str) -> Self {
        self.tables.push_str(toml);
        self
    }

    /// Sets a variable of the environment, which is empty otherwise.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Hands over a listening socket as systemd does.
    pub fn handing(mut self, socket: OwnedFd) -> Self {
        self.handed = Some(socket);
        self
    }

    /// Starts it by another program, which becomes the daemon: program and first arguments.
    pub fn within(mut self, words: &[&str]) -> Self {
        self.surroundings = words.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Where the daemon lives.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts the daemon and waits until it serves.
    pub fn start(self) -> Daemon {
        let mut daemon = self.spawn();
        daemon.wait_ready();
        daemon
    }

    /// Starts the daemon.
    pub fn spawn(self) -> Daemon {
        let Self { dir, settings, tables, env, handed, surroundings } = self;
        let mut daemon = Daemon {
            child: None,
            log: Arc::default(),
            resp: None,
            tls: None,
            admin: None,
            dir,
            settings,
            tables,
            env,
            surroundings,
        };
        daemon.write_settings();
        daemon.launch(handed);
        daemon
    }

    /// Starts a daemon that is expected to end by itself; its exit code and its log.
    #[track_caller]
    pub fn fails(self) -> (i32, String) {
        let mut daemon = self.spawn();
        let status = daemon.wait_exit();
        (status.code().unwrap_or(-1), daemon.log_text())
    }
}

/// A daemon; killed on drop.
pub struct Daemon {
    child: Option<Child>,
    log: Arc<Mutex<Vec<String>>>,
    resp: Option<SocketAddr>,
    tls: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    dir: Arc<TempDir>,
    settings: BTreeMap<String, String>,
    tables: String,
    env: Vec<(String, String)>,
    surroundings: Vec<String>,
}

impl Daemon {
    /// A daemon on defaults, with free ports.
    pub fn start() -> Self {
        Setup::new().start()
    }

    fn launch(&mut self, handed: Option<OwnedFd>) {
        let binary = env!("CARGO_BIN_EXE_seawall");
        let mut command = match (&handed, self.surroundings.split_first()) {
            (None, None) => Command::new(binary),
            (None, Some((program, arguments))) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary);
                command
            }
            // The shell learns its process id, moves the socket to descriptor 3 and becomes the
            // daemon.
            (Some(_), _) => {
                let mut shell = Command::new("sh");
                shell.args([
                    "-c",
                    r#"export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" "$@" 3<&0 </dev/null"#,
                    binary,
                ]);
                shell
            }
        };
        command.arg("--config").arg(self.config()).current_dir(self.dir.path()).env_clear();
        for name in ["PATH", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"] {
            command.envs(std::env::var(name).map(|value| (name, value)));
        }
        let mut child = command
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(handed.map_or_else(Stdio::null, Stdio::from))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let stderr = child.stderr.take().expect("stderr is a pipe");
        let log = Arc::new(Mutex::new(Vec::new()));
        self.log = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                log.lock().expect("no test panics with the log").push(line);
            }
        });
        self.child = Some(child);
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("seawall.toml")
    }

    /// Writes the configuration file as a careful operator does: whole, then renamed.
    fn write_settings(&self) {
        let mut text = String::new();
        for (key, value) in &self.settings {
            let (section, name) = key.split_once('.').expect("section.key");
            writeln!(text, "[{section}]\n{name} = {value}").expect("a String takes text");
        }
        // TOML wants each section once: they are sorted, so repeated headings are neighbours.
        let mut last = String::new();
        let text: String = text
            .lines()
            .filter(|line| {
                !line.starts_with('[') || std::mem::replace(&mut last, (*line).into()) != **line
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        self.write_config(&(text + &self.tables));
    }

    /// Replaces the configuration file.
    pub fn write_config(&self, text: &str) {
        let fresh = self.dir.path().join("seawall.toml.new");
        std::fs::write(&fresh, text).expect("the test's folder");
        std::fs::rename(fresh, self.config()).expect("the test's folder");
    }

    /// Changes one key in the configuration file of the running daemon.
    pub fn configure(&mut self, key: &str, value: &str) {
        self.configure_together(&[(key, value)]);
    }

    /// Changes several at once.
    pub fn configure_together(&mut self, changes: &[(&str, &str)]) {
        let changes = changes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        self.settings.extend(changes);
        self.write_settings();
    }

    /// Changes the tables in the configuration file of the running daemon.
    pub fn configure_tables(&mut self, toml: &str) {
        toml.clone_into(&mut self.tables);
        self.write_settings();
    }

    /// Waits until it listens, which it does before it is ready.
    #[track_caller]
    pub fn wait_listening(&mut self) {
        let mut address = |message: &str| {
            let line = self.wait_log(message, |line| line["message"] == message);
            line["address"].as_str().and_then(|address| address.parse().ok())
        };
        (self.resp, self.admin) = (address("RESP listens"), address("admin HTTP listens"));
    }

    /// Waits until it serves.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        let ready = self.wait_log("ready", |line| line["message"] == "ready");
        let address = |key: &str| {
            let text = ready[key].as_str().unwrap_or_default();
            text.split(", ").find_map(|address| address.parse().ok())
        };
        (self.resp, self.tls) = (address("resp"), address("resp_tls"));
        self.admin = address("admin");
    }

    /// Where RESP listens.
    pub fn resp(&self) -> SocketAddr {
        self.resp.expect("a RESP address")
    }

    /// Where RESP listens with TLS.
    pub fn tls(&self) -> SocketAddr {
        self.tls.expect("an address with TLS")
    }

    /// Where admin HTTP listens.
    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("an admin address")
    }

    /// The node at `path` of its tree now.
    pub fn node(&self, path: &str) -> Option<Value> {
        fn find(node: &Value, path: &str) -> Option<Value> {
            if node["path"] == path {
                return Some(node.clone());
            }
            node["children"].as_array()?.iter().find_map(|child| find(child, path))
        }
        let (status, body) = http::try_get(self.admin(), "/tree?format=json").ok()?;
        let tree = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
        find(&tree, path)
    }

    /// How often an event of the tree was logged so far.
    pub fn events(&self, path: &str, event: &str) -> usize {
        let log = self.log.lock().expect("no test panics with the log");
        let (path, event) = (format!(r#""path":"{path}""#), format!(r#""event":"{event}""#));
        log.iter().filter(|line| line.contains(&path) && line.contains(&event)).count()
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running daemon").id()
    }

    /// A new connection.
    pub fn connect(&self) -> Raw {
        Raw::tcp(self.resp())
    }

    /// A connection of the `redis` crate.
    pub fn client(&self) -> redis::Connection {
        let client = redis::Client::open(format!("redis://{}/", self.resp())).expect("a URL");
        client.get_connection_with_timeout(PATIENCE).expect("the daemon accepts")
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("the daemon is there");
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait_exit();
    }

    /// Ends it as an operator does.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait_exit();
        assert_eq!(status.code(), Some(0), "{}", self.log_text());
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        let log = Arc::clone(&self.log);
        let Some(child) = self.child.as_mut() else { panic!("not running") };
        let status = wait_for("the daemon ends", || child.try_wait().expect("our child"));
        self.child = None;
        // The reader lets go of the log when it has read the last line.
        wait_for("the log ends", || (Arc::strong_count(&log) <= 2).then_some(()));
        status
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Starts it again after its end, on the same data; waits until it serves.
    #[track_caller]
    pub fn restart(&mut self) {
        self.relaunch();
        self.wait_ready();
    }

    /// Starts it again with the configuration file that it may have rewritten.
    #[track_caller]
    pub fn restart_with_file_as_it_is(&mut self) {
        self.launch(None);
        self.wait_ready();
    }

    /// Starts it again after its end.
    pub fn relaunch(&mut self) {
        assert!(self.child.is_none(), "still running");
        self.write_settings();
        self.launch(None);
    }

    /// From the next start on it has this variable in its environment.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.retain(|(other, _)| other != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// From the next start on it has no surroundings of its own.
    pub fn leave_surroundings(&mut self) {
        self.surroundings.clear();
    }

    /// The log so far.
    pub fn log_text(&self) -> String {
        self.log.lock().expect("no test panics with the log").join("\n")
    }

    /// Waits for a line of the log, in JSON.
    #[track_caller]
    pub fn wait_log(&mut self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let start = std::time::Instant::now();
        let mut seen = 0;
        loop {
            let ended = self.has_ended();
            let lines = self.log.lock().expect("no test panics with the log")[seen..].to_vec();
            seen += lines.len();
            for line in lines {
                if let Some(line) = serde_json::from_str(&line).ok().filter(&mut wanted) {
                    return line;
                }
            }
            if ended || start.elapsed() > PATIENCE {
                panic!("no log line {what:?}; ended: {ended}; the log:\n{}", self.log_text());
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Kilobytes of memory that it holds now.
    pub fn resident_kb(&self) -> u64 {
        self.status("VmRSS").trim_end_matches(" kB").parse().expect("a resident size")
    }

    /// A line of `/proc/<pid>/status`.
    pub fn status(&self, name: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        status
            .expect("a Linux machine")
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(n, value)| (n == name).then(|| value.trim().to_owned()))
            .unwrap_or_else(|| panic!("no {name}"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the daemon's log\n{}\n---", self.log_text());
        }
    }
}
