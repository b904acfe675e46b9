//! What to do about a Redis that does not let one in, beside what it says itself. Pure.
//!
//! Redis says what it refuses, and knows nothing of our settings; the libraries on the way there say
//! even less. Whoever reads the log at night wants to know which setting it is about.

/// What in the words of a failure tells what it is about, and what helps.
const ADVICE: &[(&[&str], &str)] = &[
    (
        &["NOAUTH"],
        "Redis wants a login: set redis.password_file, and redis.username if it has users",
    ),
    (
        &["WRONGPASS", "invalid username-password", "invalid password"],
        "Redis does not take this user with this password, or has turned the user off: compare \
         redis.username and redis.password_file with ACL LIST there",
    ),
    (
        &["NOPERM"],
        "the user of redis.username lacks a right; those that it needs are in docs/redis-tier.md \
         under Rights",
    ),
    (
        &["max number of clients"],
        "raise maxclients there, or lower redis.links and redis.pass_links",
    ),
    (
        &["-DENIED", "DENIED Redis is running in protected mode", "protected mode"],
        "Redis takes connections from its own machine only: give it a password, or turn its \
      protected-mode off",
    ),
    (
        &["unknown command 'HELLO'", "unknown command `HELLO`", "NOPROTO"],
        "that is older than Redis 6 or speaks no RESP3; 7 or later is needed",
    ),
    (
        &["DB index is out of range", "invalid DB index"],
        "redis.url names a database that Redis does not have (`databases` there)",
    ),
    (
        &["SELECT is not allowed in cluster mode"],
        "it is a node of a Cluster, which has database 0 only: set redis.cluster = true, and no \
         other database in redis.url",
    ),
    (
        &["cluster support disabled"],
        "it is no node of a Cluster: set redis.cluster = false, or lead redis.url to one",
    ),
    (
        &["MOVED ", "ASK "],
        "it is a node of a Cluster, and is not spoken to as one: set redis.cluster = true",
    ),
    (
        &["UnknownIssuer", "unknown issuer"],
        "its certificate is of an authority that is not known here: name that in redis.ca_file",
    ),
    (
        &["certificate expired", "Expired"],
        "its certificate is over, or the clock of this machine is wrong: renew it there",
    ),
    (
        &["NotValidForName", "not valid for name"],
        "its certificate is for another name than the host in redis.url",
    ),
    (
        &["CertificateRequired", "certificate required"],
        "it wants a certificate: set redis.cert_file and redis.key_file",
    ),
    (
        &["UnknownCA"],
        "it does not know the authority of our certificate: name it in tls-ca-cert-file there, or \
         have redis.cert_file of one that it knows",
    ),
    (
        &["InvalidContentType", "corrupt message"],
        "it does not speak TLS on this port: write redis:// in redis.url, or name its TLS port",
    ),
    (&["no RESP"], "it is no Redis, or speaks TLS on this port: then write rediss:// in redis.url"),
    (
        &["Connection refused"],
        "nothing listens there: is Redis running, and is redis.url its address?",
    ),
    (
        &["failed to lookup", "Name or service not known", "nodename nor servname"],
        "the host of redis.url has no address: is the name right, and does DNS answer here?",
    ),
    (
        &["Not primary", "MasterNameNotFound", "No master", "Master name not found"],
        "the Sentinels know no such master, or know it to be down and name no other yet: the host of \
         redis.url is to be its name there; SENTINEL MASTERS tells how they see it",
    ),
];

/// The failure, and what helps if that is known.
pub(super) fn advised(text: String) -> String {
    let of = ADVICE.iter().find(|(signs, _)| signs.iter().any(|sign| text.contains(sign)));
    match of {
        // What has been through here already says it once.
        Some((_, help)) if !text.contains(help) => format!("{text} ({help})"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Redis 7 and 8, the `redis` crate and rustls put it.
    #[test]
    fn what_is_known_to_help_is_said() {
        for (said, help) in [
            ("NOAUTH HELLO must be called with the client already authenticated", "password_file"),
            (
                "Password authentication failed - AuthenticationFailed: WRONGPASS invalid",
                "ACL LIST",
            ),
            ("NOPERM this user has no permissions to run the 'ping' command", "Rights"),
            ("ERR max number of clients reached", "maxclients"),
            ("ERR unknown command 'HELLO', with args beginning with: '3'", "7 or later"),
            ("ERR DB index is out of range", "database"),
            ("ERR SELECT is not allowed in cluster mode", "redis.cluster = true"),
            ("ERR This instance has cluster support disabled", "redis.cluster = false"),
            ("MOVED 12182 127.0.0.1:7002", "redis.cluster = true"),
            ("invalid peer certificate: UnknownIssuer", "redis.ca_file"),
            ("invalid peer certificate: certificate expired: verification time 17", "renew"),
            ("invalid peer certificate: certificate not valid for name \"b\"", "host in redis.url"),
            ("received fatal alert: UnknownCA", "redis.cert_file"),
            ("MasterNameNotFoundBySentinel", "to be down"),
            ("received corrupt message of type InvalidContentType", "redis://"),
            ("the answer was no RESP; the connection is dropped", "rediss://"),
            ("Connection refused (os error 111)", "listens"),
        ] {
            let told = advised(said.to_owned());
            assert!(told.starts_with(said) && told.contains(help), "{told}");
            assert_eq!(advised(told.clone()), told, "once is enough");
        }
    }

    #[test]
    fn what_is_not_known_stays_as_it_is() {
        assert_eq!(advised("it closed the connection".to_owned()), "it closed the connection");
    }
}
