use std::sync::Arc;

use crate::resp::backend::fake::{Client, FakeBackend};

async fn check(client: &mut Client, script: &[(&str, &str)]) {
    for (line, expected) in script {
        assert_eq!(client.run(line).await, *expected, "{line}");
    }
}

#[tokio::test]
async fn subscriptions_are_confirmed_one_by_one() {
    let mut client = Client::alone();
    check(
        &mut client,
        &[
            (
                "subscribe a b a",
                "*3 $9 subscribe $1 a :1 *3 $9 subscribe $1 b :2 *3 $9 subscribe $1 a :2",
            ),
            ("psubscribe x*", "*3 $10 psubscribe $2 x* :3"),
            ("ssubscribe a", "*3 $10 ssubscribe $1 a :1"),
            ("ping", "*2 $4 pong $0"),
            ("ping hi", "*2 $4 pong $2 hi"),
            (
                "unsubscribe b nothing",
                "*3 $11 unsubscribe $1 b :2 *3 $11 unsubscribe $7 nothing :2",
            ),
            ("unsubscribe", "*3 $11 unsubscribe $1 a :1"),
            ("unsubscribe", "*3 $11 unsubscribe $-1 :1"),
            ("punsubscribe", "*3 $12 punsubscribe $2 x* :0"),
            ("sunsubscribe", "*3 $12 sunsubscribe $1 a :0"),
            ("ping", "+PONG"),
        ],
    )
    .await;
    client.run("hello 3").await;
    check(
        &mut client,
        &[
            ("subscribe a", ">3 $9 subscribe $1 a :1"),
            ("ping", "+PONG"),
            ("punsubscribe", ">3 $12 punsubscribe _ :1"),
            ("reset", "+RESET"),
            ("ping", "+PONG"),
            ("pubsub channels", "*0"),
        ],
    )
    .await;
}

#[tokio::test]
async fn pubsub_tells_who_listens() {
    let daemon = Arc::new(FakeBackend::new(&[]));
    let (mut one, mut two) = (Client::connect(&daemon), Client::connect(&daemon));
    one.run("subscribe ab b").await;
    one.run("psubscribe a* b*").await;
    one.run("ssubscribe s").await;
    check(
        &mut two,
        &[
            ("pubsub channels a*", "*1 $2 ab"),
            ("pubsub channels c", "*0"),
            ("pubsub channels a b", "-ERR unknown subcommand or wrong number of arguments for 'channels'. Try PUBSUB HELP."),
            ("pubsub numsub ab c", "*4 $2 ab :1 $1 c :0"),
            ("pubsub numpat", ":2"),
            ("pubsub shardchannels", "*1 $1 s"),
            ("pubsub shardnumsub s", "*2 $1 s :1"),
            ("publish ab x", ":2"),
            ("spublish s x", ":1"),
            ("spublish ab x", ":0"),
        ],
    )
    .await;
    assert!(
        two.run("client list type pubsub").await.contains(" flags=P db=0 sub=2 psub=2 ssub=1 ")
    );
    drop(one);
    check(&mut two, &[("pubsub numpat", ":0"), ("publish ab x", ":0")]).await;
}
