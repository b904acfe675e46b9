use super::*;

fn reply(text: &str) -> ServerError {
    let value = redis::parse_redis_value(text.as_bytes()).expect("an error reply");
    match value {
        redis::Value::ServerError(error) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn replies_that_say_not_now_are_failures_without_effect() {
    for (text, kind) in [
        ("-LOADING Redis is loading the dataset in memory\r\n", FailureKind::Loading),
        ("-READONLY You can't write against a read only replica.\r\n", FailureKind::ReadOnly),
        ("-MASTERDOWN Link with MASTER is down\r\n", FailureKind::MasterDown),
        ("-MOVED 3999 127.0.0.1:6381\r\n", FailureKind::Moved),
        ("-ASK 3999 127.0.0.1:6381\r\n", FailureKind::Moved),
        ("-CLUSTERDOWN Hash slot not served\r\n", FailureKind::Resharding),
        ("-TRYAGAIN Multiple keys request during rehashing of slot\r\n", FailureKind::Resharding),
        ("-BUSY Redis is busy running a script.\r\n", FailureKind::Busy),
        ("-NOAUTH Authentication required.\r\n", FailureKind::Auth),
        ("-WRONGPASS invalid username-password pair\r\n", FailureKind::Auth),
        ("-ERR max number of clients reached\r\n", FailureKind::MaxClients),
    ] {
        let failure = Failure::of_reply(&reply(text)).expect(text);
        assert_eq!((failure.kind, failure.executed), (kind, Executed::No), "{text}");
        assert_eq!(Failure::of(&reply(text).into()).kind, kind, "{text}");
        let said = text.trim_end().trim_start_matches('-');
        assert_eq!(failure.text, said);
    }
}

#[test]
fn replies_that_are_answers_are_handed_on() {
    for text in [
        "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        "-ERR unknown command\r\n",
        "-NOPERM this user has no permissions\r\n",
        "-EXECABORT Transaction discarded because of previous errors.\r\n",
    ] {
        assert_eq!(Failure::of_reply(&reply(text)), None, "{text}");
    }
}

#[test]
fn a_lost_connection_leaves_the_outcome_open() {
    for kind in [std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::BrokenPipe] {
        let failure = Failure::of(&RedisError::from(std::io::Error::from(kind)));
        assert_eq!((failure.kind, failure.executed), (FailureKind::Broken, Executed::Unknown));
    }
}

#[test]
fn every_kind_has_its_own_name() {
    let mut names = FailureKind::NAMES.to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), FailureKind::NAMES.len());
    assert_eq!(FailureKind::MaxClients.name(), "max_clients");
    assert_eq!(FailureKind::BreakerOpen { retry_in: Duration::ZERO }.name(), "breaker_open");
}
