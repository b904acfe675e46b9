use std::sync::Arc;

use crate::resp::backend::fake::{Client, FakeBackend, NOW};
use crate::resp::reply::Proto;

/// Runs each line on one connection and compares each reply.
async fn check(client: &mut Client, script: &[(&str, &str)]) {
    for (line, expected) in script {
        assert_eq!(client.run(line).await, *expected, "{line}");
    }
}

#[tokio::test]
async fn basics_answer_as_redis_does() {
    let mut client = Client::alone();
    check(
        &mut client,
        &[
            ("PING", "+PONG"),
            ("ping hi", "$2 hi"),
            ("ping a b", "-ERR wrong number of arguments for 'ping' command"),
            ("echo x", "$1 x"),
            ("select 15", "+OK"),
            ("select 16", "-ERR DB index is out of range"),
            ("select -1", "-ERR DB index is out of range"),
            ("select x", "-ERR value is not an integer or out of range"),
            (
                "select 99999999999999",
                "-ERR value is out of range, value must between -2147483648 and 2147483647",
            ),
        ],
    )
    .await;
    assert_eq!(client.session.db, 15);
    assert!(!client.session.close_after_reply);
    check(&mut client, &[("quit", "+OK")]).await;
    assert!(client.session.close_after_reply);
}

#[tokio::test]
async fn auth_tells_a_wrong_password_from_a_missing_one() {
    let mut client = Client::alone();
    check(
        &mut client,
        &[
            (
                "auth a",
                "-ERR AUTH <password> called without any password configured for the default \
                 user. Are you sure your configuration is correct?",
            ),
            ("auth default a", "+OK"),
            ("auth x y", "-WRONGPASS invalid username-password pair or user is disabled."),
            ("auth a b c", "-ERR syntax error"),
        ],
    )
    .await;
    let daemon = Arc::new(FakeBackend::new(&[("SERVER__REQUIREPASS", "secret")]));
    let mut client = Client::connect(&daemon);
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    check(
        &mut client,
        &[
            ("ping", "-NOAUTH Authentication required."),
            ("auth secre", wrong),
            ("auth secrett", wrong),
            ("auth other secret", wrong),
            ("ping", "-NOAUTH Authentication required."),
            ("auth secret", "+OK"),
            ("ping", "+PONG"),
            ("auth wrong", wrong),
            ("ping", "+PONG"),
            ("reset", "+RESET"),
            ("ping", "-NOAUTH Authentication required."),
            ("auth default secret", "+OK"),
        ],
    )
    .await;
}

#[tokio::test]
async fn hello_greets_in_the_protocol_it_chose() {
    let mut client = Client::alone();
    let pairs = |proto: u8| {
        format!(
            "$6 server $5 redis $7 version $5 7.4.0 $5 proto :{proto} $2 id :1 $4 mode \
             $10 standalone $4 role $6 master $7 modules *0"
        )
    };
    check(
        &mut client,
        &[
            ("hello", &format!("*14 {}", pairs(2))),
            ("hello 3", &format!("%7 {}", pairs(3))),
            ("hello", &format!("%7 {}", pairs(3))),
            ("hello 4", "-NOPROTO unsupported protocol version"),
            ("hello x", "-ERR Protocol version is not an integer or out of range"),
            ("hello 2 FOO", "-ERR Syntax error in HELLO option 'FOO'"),
            ("hello 2 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'"),
            ("hello 2 setname worker", &format!("*14 {}", pairs(2))),
            ("client getname", "$6 worker"),
        ],
    )
    .await;
    let named = client.run_words(&[b"hello", b"3", b"setname", b"a b"]).await;
    assert_eq!(named, "-ERR Client names cannot contain spaces, newlines or special characters.");
    assert_eq!(client.session.proto, Proto::V2, "a refused HELLO changes nothing");
}

#[tokio::test]
async fn hello_authenticates() {
    let daemon = Arc::new(FakeBackend::new(&[("SERVER__REQUIREPASS", "secret")]));
    let mut client = Client::connect(&daemon);
    assert!(client.run("hello 3").await.starts_with("-NOAUTH HELLO must be called with"));
    assert_eq!(client.session.proto, Proto::V2);
    assert!(client.run("hello 3 auth default no").await.starts_with("-WRONGPASS"));
    assert!(client.run("hello 3 auth default secret").await.starts_with("%7"));
    assert_eq!(client.run("ping").await, "+PONG");
}

#[tokio::test]
async fn reset_makes_a_connection_new() {
    let mut client = Client::alone();
    client.run("hello 3 setname x").await;
    client.run("select 4").await;
    client.run("client no-evict on").await;
    client.run("client reply off").await;
    assert_eq!(client.run("reset").await, "+RESET");
    assert_eq!((client.session.db, client.session.proto), (0, Proto::V2));
    check(&mut client, &[("client getname", "$-1")]).await;
    assert!(client.run("client info").await.contains(" flags=N db=0 "));
}

#[tokio::test]
async fn client_subcommands_about_oneself() {
    let mut client = Client::alone();
    check(
        &mut client,
        &[
            ("client id", ":1"),
            ("client id 1", "-ERR wrong number of arguments for 'client|id' command"),
            ("client", "-ERR wrong number of arguments for 'client' command"),
            ("client FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP."),
            ("client getname", "$-1"),
            ("client setname me", "+OK"),
            ("client getname", "$2 me"),
            ("client setinfo lib-name jedis", "+OK"),
            ("client setinfo LIB-VER 5.1", "+OK"),
            ("client setinfo foo 5.1", "-ERR Unrecognized option 'foo'"),
            ("client no-evict on", "+OK"),
            ("client no-touch on", "+OK"),
            ("client no-touch x", "-ERR syntax error"),
            ("client getredir", ":-1"),
            ("client unblock 9", ":0"),
            ("client tracking off", "+OK"),
            ("client trackinginfo", "*6 $5 flags *1 $3 off $8 redirect :-1 $8 prefixes *0"),
        ],
    )
    .await;
    let spaced = client.run_words(&[b"client", b"setinfo", b"lib-name", b"a\nb"]).await;
    assert_eq!(spaced, "-ERR lib-name cannot contain spaces, newlines or special characters.");
    let info = client.run("client info").await;
    assert!(info.contains(" name=me ") && info.contains(" flags=eT "), "{info}");
    assert!(info.contains(" cmd=client|info ") && info.contains("lib-name=jedis lib-ver=5.1"));
    assert!(client.session.traits().no_touch);
}

#[tokio::test]
async fn a_name_has_a_longest_length() {
    let mut client = Client::alone();
    let long = vec![b'x'; 2000];
    let refused = client.run_words(&[b"client", b"setname", &long]).await;
    assert_eq!(refused, "-ERR Client names cannot be longer than 1024 bytes");
}

#[tokio::test]
async fn client_list_lists_by_type_and_id() {
    let daemon = Arc::new(FakeBackend::new(&[]));
    let (mut one, two) = (Client::connect(&daemon), Client::connect(&daemon));
    let lines = |reply: String| reply.matches("id=").count();
    assert_eq!(lines(one.run("client list").await), 2);
    assert_eq!(lines(one.run("client list type normal").await), 2);
    assert_eq!(one.run("client list type pubsub").await, "$0");
    assert_eq!(lines(one.run("client list id 2 7").await), 1);
    check(
        &mut one,
        &[
            ("client list type foo", "-ERR Unknown client type 'foo'"),
            ("client list id x", "-ERR Invalid client ID"),
            ("client list id", "-ERR syntax error"),
            ("client list foo", "-ERR syntax error"),
        ],
    )
    .await;
    drop(two);
    assert_eq!(lines(one.run("client list").await), 1);
    one.run("hello 3").await;
    assert!(one.run("client list").await.starts_with('='), "verbatim in RESP3");
}

#[tokio::test]
async fn client_kill_in_both_forms() {
    let daemon = Arc::new(FakeBackend::new(&[]));
    let (mut me, two, three) =
        (Client::connect(&daemon), Client::connect(&daemon), Client::connect(&daemon));
    check(
        &mut me,
        &[
            ("client kill 127.0.0.1:1", "-ERR No such client"),
            ("client kill id 0", "-ERR client-id should be greater than 0"),
            ("client kill id x", "-ERR client-id should be greater than 0"),
            ("client kill user nn", "-ERR No such user 'nn'"),
            ("client kill type nn", "-ERR Unknown client type 'nn'"),
            ("client kill id 4 skipme maybe", "-ERR syntax error"),
            ("client kill id 4 skipme", "-ERR syntax error"),
            ("client kill maxage x user default", "-ERR maxage is not an integer or out of range"),
            ("client kill maxage 0 user default", "-ERR maxage should be greater than 0"),
            ("client kill id 99 type normal", ":0"),
            ("client kill type pubsub skipme no", ":0"),
            ("client kill maxage 10 skipme no", ":0"),
            ("client kill laddr 127.0.0.1:6380 id 3", ":1"),
            ("client kill 127.0.0.1:5001", "+OK"),
        ],
    )
    .await;
    assert!(two.session.client().is_killed() && three.session.client().is_killed());
    daemon.now.store(NOW + 11_000, std::sync::atomic::Ordering::Relaxed);
    check(&mut me, &[("client kill maxage 10 skipme yes", ":2")]).await;
    assert!(!me.session.close_after_reply);
    check(&mut me, &[("client kill id 1", ":0"), ("client kill id 1 skipme no", ":1")]).await;
    assert!(me.session.close_after_reply && !me.session.client().is_killed());
}

#[tokio::test(start_paused = true)]
async fn client_pause_and_unpause() {
    let mut client = Client::alone();
    check(
        &mut client,
        &[
            ("client pause x", "-ERR timeout is not an integer or out of range"),
            ("client pause -1", "-ERR timeout is negative"),
            ("client pause 1 X", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
            ("client pause 60000 write", "+OK"),
        ],
    )
    .await;
    assert!(client.session.daemon.clients().pause().holds(true));
    assert!(!client.session.daemon.clients().pause().holds(false));
    check(&mut client, &[("client unpause", "+OK")]).await;
    assert!(!client.session.daemon.clients().pause().holds(true));
}

#[tokio::test]
async fn client_reply_silences() {
    let mut client = Client::alone();
    check(
        &mut client,
        &[
            ("client reply x", "-ERR syntax error"),
            ("client reply skip", ""),
            ("ping", ""),
            ("ping", "+PONG"),
            ("client reply off", ""),
            ("ping", ""),
            ("client reply skip", ""),
            ("ping", ""),
            ("client reply on", "+OK"),
            ("ping", "+PONG"),
        ],
    )
    .await;
}
