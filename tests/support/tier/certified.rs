//! A daemon before a server with TLS, whose certificate turns bad, and good again.

use std::path::PathBuf;

use tempfile::TempDir;

use super::super::certificates::{Authority, Pair};
use super::super::proxy::Cut;
use super::super::redis::RedisServer;
use super::super::{Raw, Reply};
use super::Tier;

pub struct Certified {
    dir: TempDir,
    good: Pair,
    bad: Pair,
}

impl Certified {
    /// The daemon has a certificate of its own, and these settings; `None` without a redis-server
    /// that has TLS.
    pub fn start(
        bad: impl FnOnce(&Authority) -> Pair,
        settings: &[(&str, &str)],
    ) -> Option<(Tier, Self)> {
        let authority = Authority::new("ours");
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ca = authority.write(dir.path());
        let (good, bad) = (authority.issue("server"), bad(&authority));
        let client = authority.issue("seawall").write(dir.path(), "client");
        let redis = RedisServer::listening_with_tls(&good, Some(&ca), &[])?;
        let quoted = |path: &PathBuf| format!("{path:?}");
        let tier = Tier::before(redis, |setup, proxy| {
            let setup = setup
                .with("redis.url", &format!(r#""rediss://{}""#, proxy.address()))
                .with("redis.ca_file", &quoted(&ca))
                .with("redis.cert_file", &quoted(&client.0))
                .with("redis.key_file", &quoted(&client.1));
            settings.iter().fold(setup, |setup, (key, value)| setup.with(key, value))
        });
        Some((tier, Self { dir, good, bad }))
    }

    /// The server shows the bad one, and has no connections from before.
    pub fn turn_bad(&self, tier: &Tier, redis: &mut Raw) {
        self.show(redis, &self.bad);
        tier.proxy.cut(Cut::Close);
    }

    /// It shows the good one again.
    pub fn turn_good(&self, redis: &mut Raw) {
        self.show(redis, &self.good);
    }

    fn show(&self, redis: &mut Raw, pair: &Pair) {
        let (certificate, key) = pair.write(self.dir.path(), "server");
        let (certificate, key) = (certificate.to_str(), key.to_str());
        let set = ["CONFIG", "SET", "tls-cert-file", certificate.expect("UTF-8")];
        let set = [&set[..], &["tls-key-file", key.expect("UTF-8")]].concat();
        assert_eq!(redis.call(&set), Reply::ok());
    }
}
