//! Commands that Redis runs, where the way there is TLS.

use crate::support::certificates::Authority;
use crate::support::redis::RedisServer;
use crate::support::tier::Tier;
use crate::support::{Reply, wait_until};
use crate::tier_passage::waiting;

#[test]
fn commands_are_passed_over_tls_with_a_certificate_and_not_without() {
    let authority = Authority::new("the authority");
    let dir = tempfile::tempdir().expect("a folder");
    let ca = authority.write(dir.path());
    let Some(redis) = RedisServer::listening_with_tls(&authority.issue("redis"), Some(&ca), &[])
    else {
        return;
    };
    let (certificate, key) = authority.issue("seawall").write(dir.path(), "client");
    let tier = Tier::before(redis, |setup, proxy| {
        let port = proxy.address().port();
        setup
            .with("redis.url", &format!(r#""rediss://localhost:{port}""#))
            .with("redis.timeout", r#""10s""#)
            .with("redis.connect_timeout", r#""10s""#)
            .with("redis.ca_file", &format!("{ca:?}"))
            .with("redis.cert_file", &format!("{certificate:?}"))
            .with("redis.key_file", &format!("{key:?}"))
    });
    let mut client = tier.daemon.connect();
    for protocol in ["2", "3"] {
        client.run(&format!("HELLO {protocol}"));
        client.run("DEL l h");
        let large = "x".repeat(300_000);
        assert_eq!(client.call(&["RPUSH", "l", "a", &large]), Reply::Int(2));
        assert_eq!(client.run("LINDEX l 1"), Reply::bulk(&large));
        client.run("HSET h f v");
        assert_eq!(client.run("HGET h f"), Reply::bulk("v"));
        client.run("MULTI");
        client.run("LPOP l");
        assert_eq!(client.run("EXEC"), Reply::Array([Reply::bulk("a")].into()));
        let mut other = tier.daemon.connect();
        client.send(&["BLPOP", "m", "0"]);
        let mut redis = tier.redis.connect();
        wait_until("it waits in Redis", || waiting(&mut redis) == 1);
        other.run("RPUSH m x");
        assert_eq!(client.receive().items()[1], Reply::bulk("x"));
    }
    // Somebody else's certificate: fresh connections are refused, and that is told.
    let (stranger, strange_key) = Authority::new("another").issue("x").write(dir.path(), "strange");
    std::fs::copy(&stranger, &certificate).expect("written");
    std::fs::copy(&strange_key, &key).expect("written");
    tier.redis.connect().run("CLIENT KILL TYPE normal");
    wait_until("nothing is passed", || client.run("LLEN l").text().starts_with("TIERDOWN"));
    let (certificate_again, key_again) = authority.issue("seawall").write(dir.path(), "again");
    std::fs::copy(&certificate_again, &certificate).expect("written");
    std::fs::copy(&key_again, &key).expect("written");
    wait_until("the right one counts", || client.run("LLEN l") == Reply::Int(1));
}
