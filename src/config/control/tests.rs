//! Reload, CONFIG GET, SET and REWRITE on real files.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::tests::loader;
use super::*;

struct Place {
    dir: tempfile::TempDir,
    control: ConfigControl,
}

impl Place {
    fn new(text: &str, env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("seawall.toml");
        fs::write(&file, text).expect("a file");
        let control = ConfigControl::start(loader(&file, env)).expect("valid");
        Self { dir, control }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("seawall.toml")
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), text).expect("a file");
    }

    fn read(&self) -> String {
        fs::read_to_string(self.file()).expect("a file")
    }

    fn set(&self, pairs: &[(&str, &str)]) -> Result<Vec<&'static str>, String> {
        let pairs: Vec<(&[u8], &[u8])> =
            pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let changes = self.control.set(&pairs).map_err(|e| e.to_string())?;
        Ok(changes.into_iter().map(|c| c.key).collect())
    }

    fn get(&self, name: &str) -> Option<String> {
        let mut found = self.control.get(&[name.as_bytes()]);
        assert!(found.len() <= 1, "{found:?}");
        found.pop().map(|(_, value)| value)
    }
}

/// The shares are computed from the number of shards: it must be that of the running daemon.
#[test]
fn a_changed_memory_limit_does_not_change_the_number_of_running_shards() {
    let place = Place::new("[cache]\nmax_memory = \"1GB\"\n", &[]);
    assert_eq!(place.control.settings().cache.shards, 3);
    place.set(&[("maxmemory", "80mb")]).expect("taken");
    assert_eq!(place.control.settings().cache.shards, 3);
    place.write("[cache]\nmax_memory = \"2GB\"\nmax_entries = 1\n");
    // One entry among three shards, until a restart.
    assert!(place.control.reload().is_err());
}

/// Refuses while told to; counts what it commits and what it has to undo.
#[derive(Default)]
struct Part {
    refuse: std::sync::atomic::AtomicBool,
    committed: Arc<AtomicUsize>,
    undone: Arc<AtomicUsize>,
}

struct Undo(Arc<AtomicUsize>, bool);

impl Drop for Undo {
    fn drop(&mut self) {
        if !self.1 {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Applier for Part {
    fn name(&self) -> &str {
        "front"
    }

    fn prepare(
        &self,
        _old: &Arc<Settings>,
        _new: &Arc<Settings>,
        _changes: &[Change],
    ) -> Result<Commit, String> {
        if self.refuse.load(Ordering::SeqCst) {
            return Err("the address is in use".to_owned());
        }
        let (committed, undo) =
            (Arc::clone(&self.committed), Undo(Arc::clone(&self.undone), false));
        Ok(Box::new(move || {
            // Taken whole: a closure that names the field alone leaves the rest behind.
            let mut undo = undo;
            undo.1 = true;
            committed.fetch_add(1, Ordering::SeqCst);
        }))
    }
}

#[test]
fn a_reload_applies_what_differs_and_publishes_it() {
    let place = Place::new("", &[]);
    let mut follow = place.control.subscribe();
    assert_eq!(place.control.reload().expect("valid"), ReloadOutcome::default());
    assert!(!follow.has_changed().expect("open"), "nothing changed, nothing is published");
    place.write("[cache]\nmax_entries = 7\n");
    let outcome = place.control.reload().expect("valid");
    assert_eq!(outcome.changes.len(), 1);
    assert_eq!(follow.borrow_and_update().cache.max_entries, Some(7));
}

#[test]
fn a_bad_file_never_replaces_the_running_settings() {
    let place = Place::new("[cache]\nmax_entries = 7\n", &[]);
    for bad in ["[cache]\nmax_entries = -1\n", "[cache", "[cash]\n", "\u{0}"] {
        place.write(bad);
        assert!(place.control.reload().is_err(), "{bad:?}");
        assert_eq!(place.control.settings().cache.max_entries, Some(7));
    }
    fs::remove_file(place.file()).expect("gone");
    assert!(place.control.reload().is_err());
    assert_eq!(place.set(&[("maxclients", "5")]), Ok(vec!["server.max_clients"]));
}

#[test]
fn what_needs_a_restart_keeps_running_as_it_is() {
    let place = Place::new("", &[]);
    place.write("[server]\ndatabases = 4\nmax_clients = 9\n");
    let outcome = place.control.reload().expect("valid");
    let keys = |changes: &[Change]| changes.iter().map(|c| c.key).collect::<Vec<_>>();
    assert_eq!(keys(&outcome.changes), ["server.max_clients"]);
    assert_eq!(keys(&outcome.needs_restart), ["server.databases"]);
    assert_eq!(place.control.settings().server.databases, 16);
    assert_eq!(place.get("databases").as_deref(), Some("16"));
}

#[test]
fn a_part_that_refuses_leaves_everything_as_it_was() {
    let place = Place::new("", &[]);
    let (first, second) = (Arc::new(Part::default()), Arc::new(Part::default()));
    place.control.add_applier(first.clone());
    place.control.add_applier(second.clone());
    second.refuse.store(true, Ordering::SeqCst);
    place.write("[server]\nmax_clients = 9\n");
    let error = place.control.reload().expect_err("refused").to_string();
    assert_eq!(error, "front cannot take the new configuration: the address is in use");
    assert_eq!(place.control.settings().server.max_clients, 10_000);
    assert_eq!(first.undone.load(Ordering::SeqCst), 1);
    assert_eq!(first.committed.load(Ordering::SeqCst), 0);
    assert_eq!(
        place.set(&[("maxclients", "8")]).expect_err("refused"),
        "ERR CONFIG SET failed (possibly related to argument 'maxclients') - front cannot take \
         the new configuration: the address is in use"
    );

    second.refuse.store(false, Ordering::SeqCst);
    assert!(place.control.reload().is_ok());
    assert_eq!(second.committed.load(Ordering::SeqCst), 1);
    assert_eq!(first.undone.load(Ordering::SeqCst), 2, "what was committed is not undone");
    assert_eq!(place.control.settings().server.max_clients, 9, "the refused 8 is forgotten");
}

#[test]
fn redis_names_speak_redis() {
    let place = Place::new("[server]\nidle_timeout = \"1500ms\"\n", &[]);
    for (name, value) in [
        ("maxmemory", "100000000"),
        ("maxmemory-policy", "allkeys-lru"),
        ("maxclients", "10000"),
        ("timeout", "2"),
        ("tcp-keepalive", "300"),
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("databases", "16"),
        ("port", "6380"),
        ("bind", "127.0.0.1"),
        ("unixsocket", ""),
        ("protected-mode", "yes"),
        ("dir", "data"),
        ("loglevel", "notice"),
        ("save", ""),
        ("enable-debug-command", "no"),
        ("proto-max-bulk-len", "64000000"),
        ("CACHE.MAX_MEMORY", "100MB"),
    ] {
        assert_eq!(place.get(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(place.get("nothing-like-it"), None);
    let names: Vec<_> =
        place.control.get(&[b"max*", b"maxclients"]).into_iter().map(|(n, _)| n).collect();
    assert_eq!(names, ["maxclients", "maxmemory", "maxmemory-policy"]);
}

#[test]
fn set_takes_redis_values_and_get_gives_them_back() {
    let place = Place::new("", &[]);
    for (name, value, back) in [
        ("maxmemory", "100mb", "104857600"),
        ("maxmemory", "0", "0"),
        ("MaxMemory-Policy", "NOEVICTION", "noeviction"),
        ("timeout", "30", "30"),
        ("appendfsync", "always", "always"),
        ("loglevel", "verbose", "verbose"),
        ("loglevel", "warning", "warning"),
        ("protected-mode", "no", "no"),
        ("requirepass", "s3cret", "s3cret"),
        ("cache.max_memory", "50%", "50%"),
        ("maxmemory", "2gb", "2147483648"),
    ] {
        assert!(place.set(&[(name, value)]).is_ok(), "{name} {value}");
        assert_eq!(place.get(name).as_deref(), Some(back), "{name} {value}");
    }
    assert_eq!(place.get("server.requirepass").as_deref(), Some("***"));
    assert!(place.set(&[("requirepass", "")]).is_ok());
    assert_eq!(place.get("requirepass").as_deref(), Some(""));
}

#[test]
fn refusals_are_in_redis_words() {
    let place = Place::new("", &[]);
    let failed = |name: &str, why: &str| {
        format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
    };
    assert_eq!(
        place.set(&[("bogus", "1")]),
        Err("ERR Unknown option or number of arguments for CONFIG SET - 'bogus'".to_owned())
    );
    for (name, value, why) in [
        ("databases", "3", "can't set immutable config"),
        ("port", "1", "can't set immutable config"),
        ("save", "", "can't set immutable config"),
        ("dir", "/tmp", "can't set protected config"),
        ("debug.drills", "true", "can't set protected config"),
        ("maxmemory", "abc", "argument must be a memory value"),
        ("maxclients", "abc", "argument couldn't be parsed into an integer"),
        ("timeout", "-1", "argument must be between 0 and 2147483647 inclusive"),
        ("protected-mode", "x", "argument must be 'yes' or 'no'"),
        (
            "loglevel",
            "foo",
            "argument(s) must be one of the following: debug, verbose, notice, warning, nothing",
        ),
        ("appendfsync", "x", "argument(s) must be one of the following: everysec, always, no"),
        ("cache.max_entries", "-1", "-1 is out of range: it must be 0 to 1099511627776"),
        ("cache.default_ttl", "400days", "is longer than validation.max_ttl allows"),
    ] {
        assert_eq!(place.set(&[(name, value)]), Err(failed(name, why)));
    }
    assert_eq!(
        place.set(&[("timeout", "1"), ("server.idle_timeout", "2s")]),
        Err(failed("server.idle_timeout", "duplicate parameter"))
    );
    let ugly = place.control.set(&[(b"a\r\nb\xff", b"1")]).expect_err("unknown").to_string();
    assert!(!ugly.contains(['\r', '\n']), "{ugly:?}");
}

#[test]
fn set_takes_all_or_none() {
    let place = Place::new("", &[]);
    let error = place.set(&[("maxclients", "5"), ("timeout", "x"), ("loglevel", "debug")]);
    assert!(error.expect_err("refused").contains("'timeout'"));
    assert_eq!(place.get("maxclients").as_deref(), Some("10000"));
    assert_eq!(
        place.set(&[("proto-max-bulk-len", "512mb"), ("client-query-buffer-limit", "1gb")]),
        Err("ERR CONFIG SET failed (possibly related to argument 'proto-max-bulk-len') - \
             server.output_buffer is too small for one value: validation.max_value needs at least 537870912B"
            .to_owned())
    );
}

#[test]
fn set_wins_over_the_file_until_it_is_written_there() {
    let place = Place::new("[server]\nmax_clients = 5\n", &[]);
    assert!(place.set(&[("maxclients", "6")]).is_ok());
    place.write("[server]\nmax_clients = 7\n");
    place.control.reload().expect("valid");
    assert_eq!(place.control.settings().server.max_clients, 6);
    place.control.rewrite().expect("written");
    assert_eq!(place.read(), "[server]\nmax_clients = 6\n");
    place.write("[server]\nmax_clients = 8\n");
    place.control.reload().expect("valid");
    assert_eq!(place.control.settings().server.max_clients, 8);
}

#[test]
fn rewrite_keeps_comments_order_and_permissions() {
    use std::os::unix::fs::PermissionsExt as _;
    let text = "# top\n[cache] # section\n# above\nmax_memory = \"1MB\" # beside\n\n[wal]\nfsync = \"no\"\n# end\n";
    let place = Place::new(text, &[]);
    fs::set_permissions(place.file(), fs::Permissions::from_mode(0o640)).expect("a mode");
    assert!(place.set(&[("maxmemory", "2000000"), ("timeout", "60")]).is_ok());
    let written = place.control.rewrite().expect("written");
    assert_eq!(written.keys, ["cache.max_memory", "server.idle_timeout"]);
    assert_eq!(
        place.read(),
        "# top\n[cache] # section\n# above\nmax_memory = \"2MB\" # beside\n\n[wal]\nfsync = \"no\"\n\n\
         [server]\nidle_timeout = \"1m\"\n# end\n"
    );
    let mode = fs::metadata(place.file()).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(fs::read_dir(place.dir.path()).expect("a directory").count(), 1, "no litter");
    assert_eq!(place.control.reload().expect("valid"), ReloadOutcome::default());
}

#[test]
fn rewrite_changes_the_profile_where_the_profile_counts() {
    let text = "[cache]\nmax_entries = 100\n[profiles.p.cache]\nmax_entries = 200\n";
    let place = Place::new(text, &[("SEAWALL_PROFILE", "p")]);
    assert!(place.set(&[("cache.max_entries", "300"), ("maxclients", "4")]).is_ok());
    place.control.rewrite().expect("written");
    assert_eq!(
        place.read(),
        "[cache]\nmax_entries = 100\n[profiles.p.cache]\nmax_entries = 300\n\n[server]\nmax_clients = 4\n"
    );
}

#[test]
fn rewrite_says_what_the_environment_will_override_and_keeps_it_in_effect() {
    let place = Place::new("", &[("SEAWALL__SERVER__MAX_CLIENTS", "5")]);
    assert!(place.set(&[("maxclients", "6")]).is_ok());
    assert_eq!(place.control.rewrite().expect("written").shadowed, ["server.max_clients"]);
    place.control.reload().expect("valid");
    assert_eq!(place.control.settings().server.max_clients, 6);
}

#[test]
fn rewrite_goes_through_a_link() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (target, link) = (dir.path().join("real.toml"), dir.path().join("link.toml"));
    fs::write(&target, "").expect("a file");
    std::os::unix::fs::symlink(&target, &link).expect("a link");
    let control = ConfigControl::start(loader(&link, &[])).expect("valid");
    control.set(&[(b"maxclients", b"6")]).expect("set");
    control.rewrite().expect("written");
    assert!(link.is_symlink());
    assert!(fs::read_to_string(&target).expect("a file").contains("max_clients = 6"));
}

#[test]
fn rewrite_refuses_a_file_that_has_become_wrong_and_leaves_it() {
    let place = Place::new("", &[]);
    assert!(place.set(&[("maxclients", "6")]).is_ok());
    for bad in ["[cache", "[cache]\nshards = 0\n", "server = 1\n"] {
        place.write(bad);
        assert!(matches!(place.control.rewrite(), Err(RewriteError::Invalid(_))), "{bad:?}");
        assert_eq!(place.read(), bad);
    }
}

#[test]
fn without_a_file_there_is_nothing_to_rewrite() {
    use super::super::sources::FileChoice;
    let loader = Loader::from_parts(
        FileChoice::FirstOf(Vec::new()),
        Vec::new(),
        super::super::tests::MACHINE,
    );
    let control = ConfigControl::start(loader).expect("valid");
    let error = control.rewrite().expect_err("no file").to_string();
    assert_eq!(error, "ERR The server is running without a config file");
}

#[test]
fn get_takes_patterns_in_any_case_and_names_each_setting_once() {
    let place = Place::new("", &[]);
    let names = |patterns: &[&[u8]]| -> Vec<&str> {
        place.control.get(patterns).into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(&[b"MAXMEMORY*", b"max?emory"]), ["maxmemory", "maxmemory-policy"]);
    assert_eq!(
        names(&[b"[l-n]axmemory", b"cache.MAX_*"])[1..],
        ["cache.max_entries", "cache.max_memory"]
    );
    assert!(names(&[b"nosuch", b""]).is_empty());
}
