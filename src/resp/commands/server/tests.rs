use std::sync::Arc;
use std::time::Duration;

use crate::acl::categories::Category;
use crate::resp::args::{Args, Span};
use crate::resp::backend::LogStatus;
use crate::resp::backend::fake::{Client, FakeBackend};
use crate::resp::commands;
use crate::slow::{Lap, Thresholds, Waiter};
use seawall_actors::wal;

async fn check(client: &mut Client, script: &[(&str, &str)]) {
    for (line, expected) in script {
        assert_eq!(client.run(line).await, *expected, "{line}");
    }
}

#[tokio::test]
async fn small_commands_answer() {
    let mut client = Client::alone();
    check(
        &mut client,
        &[
            ("time", "*2 $10 1700000000 $1 0"),
            ("role", "*3 $6 master :0 *0"),
            ("wait 0 0", ":0"),
            ("wait x 0", "-ERR value is not an integer or out of range"),
            ("wait 0 -1", "-ERR timeout is negative"),
            ("replicaof no one", "+OK"),
            ("module list", "*0"),
            ("acl whoami", "$7 default"),
            ("acl foo", "-ERR unknown subcommand 'foo'. Try ACL HELP."),
            ("psync ? -1", "-ERR Seawall does not replicate: it takes no replicas"),
            (
                "replicaof localhost 6379",
                "-ERR Seawall does not replicate: it cannot follow another server",
            ),
            ("sw.version", "$5 0.1.0"),
        ],
    )
    .await;
    assert!(client.run("lolwut").await.contains("Redis ver. 7.4.0"));
    assert!(client.run("sw.help").await.contains("+SW.DRILL PANIC|ERROR|HANG|KILL path"));
    assert!(client.run("config help").await.starts_with("*11 +CONFIG <subcommand> [<arg> [value]"));
}

#[tokio::test]
async fn commands_about_what_is_not_here_are_known_and_refused() {
    let disabled = "-ERR This instance has cluster support disabled";
    check(
        &mut Client::alone(),
        &[
            ("cluster slots", disabled),
            ("cluster", "-ERR wrong number of arguments for 'cluster' command"),
            ("readonly", disabled),
            ("readwrite", disabled),
            ("asking", disabled),
            ("failover", "-ERR FAILOVER requires connected replicas."),
            ("failover abort", "-ERR No failover in progress."),
            ("bgrewriteaof", "-ERR the log is made of segments that are never rewritten"),
            ("acl users", "*1 $7 default"),
            ("acl list", "*1 $34 user default on nopass ~* &* +@all"),
        ],
    )
    .await;
    let mut client = Client::alone();
    assert!(client.run("monitor").await.starts_with("-ERR MONITOR is not supported: "));
    assert!(client.run("acl cat").await.starts_with("*21 $8 keyspace $4 read "));
    let members = client.run("acl cat Transaction").await;
    assert!(members.contains(" $5 multi ") && !members.contains(" $3 get "), "{members}");
    let unknown = client.run("acl cat foo").await;
    assert_eq!(unknown, "-ERR Unknown category 'foo'");
    for category in Category::ALL {
        let members = client.run(&format!("acl cat {}", category.name())).await;
        assert!(!members.starts_with("*0"), "{} has no command", category.name());
    }
    let rest = "$8 commands $5 +@all $4 keys $2 ~* $8 channels $2 &* $9 selectors *0";
    let user = client.run("acl getuser default").await;
    assert_eq!(user, format!("*12 $5 flags *2 $2 on $6 nopass $9 passwords *0 {rest}"));
    assert_eq!(client.run("acl getuser Default").await, "$-1");
    let locked = Arc::new(FakeBackend::new(&[("SERVER__REQUIREPASS", "secret")]));
    let mut client = Client::connect(&locked);
    client.run("auth secret").await;
    let listed = client.run("acl list").await;
    assert!(listed.contains("on (password) ~*") && !listed.contains("secret"), "{listed}");
    let user = client.run("acl getuser default").await;
    assert_eq!(user, format!("*12 $5 flags *1 $2 on $9 passwords *1 $10 (password) {rest}"));
}

#[tokio::test(start_paused = true)]
async fn waitaof_tells_whether_the_log_is_on_the_disk() {
    let refused = "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    check(
        &mut Client::alone(),
        &[
            ("waitaof 1 0 0", refused),
            ("waitaof 0 0 0", "*2 :0 :0"),
            ("waitaof 2 0 0", "-ERR value is out of range, value must between 0 and 1"),
            ("waitaof 0 -1 0", "-ERR value is out of range, must be positive"),
            ("waitaof 0 0 x", "-ERR timeout is not an integer or out of range"),
            ("waitaof 0 0 -1", "-ERR timeout is negative"),
        ],
    )
    .await;
    for (durable, answer) in [(5, "*2 :1 :0"), (4, "*2 :0 :0")] {
        let mut daemon = FakeBackend::new(&[]);
        let stats = wal::Stats { lsn: 5, durable, ..wal::Stats::default() };
        daemon.log = Some(LogStatus { fsync: "everysec", stats });
        let mut client = Client::connect(&Arc::new(daemon));
        // What is not on the disk is waited for until the time is up.
        check(&mut client, &[("waitaof 1 0 100", answer), ("waitaof 0 1 0", answer)]).await;
    }
}

#[tokio::test]
async fn slowlog_and_latency_answer_in_redis_shape() {
    let daemon = Arc::new(FakeBackend::new(&[("SERVER__LATENCY_THRESHOLD", "5ms")]));
    let mut client = Client::connect(&daemon);
    check(
        &mut client,
        &[
            ("slowlog len", ":0"),
            ("slowlog get", "*0"),
            ("latency latest", "*0"),
            ("latency history command", "*0"),
            ("latency history nosuch", "*0"),
            ("latency histogram", "*0"),
            ("latency histogram get nosuch", "*0"),
            ("latency reset", ":0"),
        ],
    )
    .await;
    assert!(client.run("latency doctor").await.contains("Nothing was slower"));
    let thresholds = Thresholds::of(&daemon.config.settings().server);
    let (input, spans) = (b"getk", [Span { start: 0, len: 3 }, Span { start: 3, len: 1 }]);
    let args = Args::new(input, &spans);
    let waiter = Waiter { addr: "10.0.0.1:7", name: "web" };
    for ms in [20, 30] {
        let lap = Lap { took: Duration::from_millis(ms), index: 0, others: 0 };
        daemon.slow.note(&thresholds, lap, &args, waiter, 1_700_000_000_999);
    }
    let newest = "*6 :1 :1700000000 :30000 *2 $3 get $1 k $10 10.0.0.1:7 $3 web";
    check(
        &mut client,
        &[
            ("slowlog len", ":2"),
            ("slowlog get 1", format!("*1 {newest}").as_str()),
            ("slowlog get -2", "-ERR count should be greater than or equal to -1"),
            ("slowlog get x", "-ERR count should be greater than or equal to -1"),
            ("slowlog get 1 2", "-ERR wrong number of arguments for 'slowlog|get' command"),
            ("slowlog nosuch", "-ERR unknown subcommand 'nosuch'. Try SLOWLOG HELP."),
            ("latency latest", "*1 *4 $7 command :1700000000 :30 :30"),
            ("latency history command", "*1 *2 :1700000000 :30"),
            ("latency reset nosuch", ":0"),
            ("latency reset command", ":1"),
            ("slowlog reset", "+OK"),
            ("slowlog get -1", "*0"),
            ("config get slowlog-log-slower-than", "*2 $23 slowlog-log-slower-than $5 10000"),
            ("config get latency-monitor-threshold", "*2 $25 latency-monitor-threshold $1 5"),
            ("config set slowlog-log-slower-than -1 slowlog-max-len 7", "+OK"),
            ("config get server.slowlog_slower_than", "*2 $26 server.slowlog_slower_than $2 0s"),
            ("config get slowlog-log-slower-than", "*2 $23 slowlog-log-slower-than $2 -1"),
            ("config set slowlog-log-slower-than 0", "+OK"),
            ("config get slowlog-log-slower-than", "*2 $23 slowlog-log-slower-than $1 1"),
        ],
    )
    .await;
}

#[tokio::test]
async fn config_get_set_and_resetstat() {
    let daemon = Arc::new(FakeBackend::new(&[]));
    let mut client = Client::connect(&daemon);
    check(
        &mut client,
        &[
            ("config get maxclients", "*2 $10 maxclients $5 10000"),
            ("config get nosuch", "*0"),
            ("config get", "-ERR wrong number of arguments for 'config|get' command"),
            ("config set", "-ERR wrong number of arguments for 'config|set' command"),
            ("config set a", "-ERR wrong number of arguments for 'config|set' command"),
            (
                "config set maxclients 5 timeout",
                "-ERR wrong number of arguments for 'config|set' command",
            ),
            (
                "config set nosuch 1",
                "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'",
            ),
            ("config set maxclients 50 timeout 7", "+OK"),
            ("config get maxclients timeout", "*4 $10 maxclients $2 50 $7 timeout $1 7"),
            ("config resetstat", "+OK"),
            ("config rewrite", "-ERR The server is running without a config file"),
        ],
    )
    .await;
    let failed = client.run("config set maxclients 60 maxmemory x").await;
    assert!(failed.starts_with("-ERR CONFIG SET failed (possibly related to"), "{failed}");
    check(&mut client, &[("config get maxclients", "*2 $10 maxclients $2 50")]).await;
    assert_eq!(daemon.asked(), ["reset"]);
    client.run("hello 3").await;
    check(&mut client, &[("config get maxclients", "%1 $10 maxclients $2 50")]).await;
}

#[tokio::test]
async fn config_rewrite_writes_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("seawall.toml");
    std::fs::write(&file, "# mine\n[server]\nmax_clients = 5\n").expect("a file");
    let mut client = Client::connect(&Arc::new(FakeBackend::with_file(&[], Some(&file))));
    check(&mut client, &[("config set maxclients 77", "+OK"), ("config rewrite", "+OK")]).await;
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(text.contains("# mine") && text.contains("max_clients = 77"), "{text}");
}

#[tokio::test]
async fn shutdown_asks_for_a_stop_and_answers_nothing() {
    let daemon = Arc::new(FakeBackend::new(&[]));
    let mut client = Client::connect(&daemon);
    check(
        &mut client,
        &[
            ("shutdown abort", "-ERR No shutdown in progress."),
            ("shutdown foo", "-ERR syntax error"),
            ("shutdown save nosave", "-ERR syntax error"),
            ("shutdown abort now", "-ERR syntax error"),
        ],
    )
    .await;
    assert!(daemon.asked().is_empty() && !client.session.close_after_reply);
    check(&mut client, &[("shutdown nosave", "")]).await;
    assert!(client.session.close_after_reply);
    check(&mut client, &[("shutdown now force", "")]).await;
    assert_eq!(daemon.asked(), ["stop at_once=false", "stop at_once=true"]);
}

#[tokio::test(start_paused = true)]
async fn debug_is_refused_unless_it_is_switched_on() {
    let mut client = Client::alone();
    for line in ["debug sleep 0", "debug help", "debug jmap", "debug nosuch"] {
        let refused = client.run(line).await;
        assert!(
            refused.starts_with("-ERR DEBUG command not allowed. If the enable-debug"),
            "{line}"
        );
    }
    let daemon = Arc::new(FakeBackend::new(&[("DEBUG__COMMANDS", "true")]));
    let mut client = Client::connect(&daemon);
    let begun = tokio::time::Instant::now();
    check(
        &mut client,
        &[
            ("debug sleep 1.5", "+OK"),
            ("debug sleep x", "-ERR value is not a valid float"),
            ("debug sleep nan", "-ERR DEBUG SLEEP takes 0 to 3600 seconds"),
            ("debug sleep -1", "-ERR DEBUG SLEEP takes 0 to 3600 seconds"),
            ("debug sleep 1e300", "-ERR DEBUG SLEEP takes 0 to 3600 seconds"),
            ("debug set-active-expire 0", "+OK"),
            ("debug set-active-expire 2", "-ERR syntax error"),
            ("debug jmap", "-ERR DEBUG JMAP is not allowed"),
            ("debug quicklist-packed-threshold 100b", "+OK"),
            ("debug nosuch", "-ERR unknown subcommand 'nosuch'. Try DEBUG HELP."),
        ],
    )
    .await;
    assert_eq!(begun.elapsed(), std::time::Duration::from_millis(1500));
    assert_eq!(daemon.asked(), ["active-expire false"]);
}

#[tokio::test]
async fn drills_are_refused_unless_they_are_switched_on() {
    let refused = Client::alone().run("sw.drill panic wal").await;
    assert!(refused.contains("'debug.drills'"), "{refused}");
    let daemon = Arc::new(FakeBackend::new(&[("DEBUG__DRILLS", "true")]));
    let mut client = Client::connect(&daemon);
    check(
        &mut client,
        &[
            ("sw.drill PANIC wal", "+OK"),
            ("sw.drill hang wal", "+OK"),
            ("sw.drill trip wal", "-ERR the drill must be PANIC, ERROR, HANG, KILL or POINT"),
            ("sw.drill kill moon", "-ERR no actor at 'moon'; there are: wal"),
        ],
    )
    .await;
    assert_eq!(daemon.asked(), ["drill Panic wal", "drill Hang wal"]);
}

#[tokio::test]
async fn the_tree_is_text_and_verbatim_in_resp3() {
    let mut client = Client::alone();
    assert!(client.run("sw.tree").await.starts_with("$"));
    client.run("hello 3").await;
    let tree = client.run("sw.tree").await;
    assert!(tree.starts_with('=') && tree.contains("txt:root  up 3m 2s\n└─ wal"), "{tree}");
}

#[tokio::test]
async fn command_info_has_the_shape_of_redis_7() {
    let mut client = Client::alone();
    // Redis 7.0.15's own bytes for GET, and for a name that it does not know in RESP3.
    let spec = |map3: [&str; 6]| {
        let [flags, m3, m2, m1, set, _] = map3;
        format!(
            "{m3} $5 flags {flags} +RO +access $12 begin_search {m2} $4 type $5 index $4 spec \
             {m1} $5 index :1 $9 find_keys {m2} $4 type $5 range $4 spec {m3} $7 lastkey :0 \
             $7 keystep :1 $5 limit :0 {set}"
        )
    };
    let get2 = spec(["*2", "*6", "*4", "*2", "*0", ""]);
    let get3 = spec(["~2", "%3", "%2", "%1", "~0", ""]);
    assert_eq!(
        client.run("command info get nosuch").await,
        format!(
            "*2 *10 $3 get :2 *2 +readonly +fast :1 :1 :1 *3 +@read +@string +@fast *0 *1 {get2} \
             *-1"
        ),
    );
    client.run("hello 3").await;
    assert_eq!(
        client.run("command info get nosuch").await,
        format!(
            "*2 *10 $3 get :2 ~2 +readonly +fast :1 :1 :1 ~3 +@read +@string +@fast ~0 ~1 {get3} _"
        ),
    );
    let sub = client.run("command info config|get").await;
    assert!(sub.starts_with("*1 *10 $10 config|get :-3 "), "{sub}");
    let whole = client.run("command info config").await;
    assert!(whole.contains("$10 config|get :-3") && whole.contains("$10 config|set :-4"));
}

#[tokio::test]
async fn command_lists_counts_and_finds_keys() {
    let mut client = Client::alone();
    let count = commands::all().count();
    assert_eq!(client.run("command count").await, format!(":{count}"));
    assert!(client.run("command").await.starts_with(&format!("*{count} *10 ")));
    assert!(client.run("command info").await.starts_with(&format!("*{count} *10 ")));
    let names = count + commands::all().map(|c| c.subcommands.len()).sum::<usize>();
    let list = client.run("command list").await;
    assert!(list.starts_with(&format!("*{names} ")) && list.contains(" $8 acl|list "), "{list}");
    check(
        &mut client,
        &[
            ("command FOO", "-ERR unknown subcommand 'FOO'. Try COMMAND HELP."),
            ("command list x", "-ERR syntax error"),
            ("command list filterby aclcat nosuch", "*0"),
            ("command list filterby module x", "*0"),
            (
                "command list filterby pattern config|re*",
                "*2 $16 config|resetstat $14 config|rewrite",
            ),
            ("command list filterby pattern INCRBY*", "*2 $6 incrby $11 incrbyfloat"),
            ("command getkeys mset a 1 b 2", "*2 $1 a $1 b"),
            ("command getkeys", "-ERR wrong number of arguments for 'command|getkeys' command"),
            ("command getkeys get", "-ERR Invalid number of arguments specified for command"),
            ("command getkeys get a b", "-ERR Invalid number of arguments specified for command"),
            ("command getkeys ping x", "-ERR The command has no key arguments"),
            ("command getkeys nosuch x", "-ERR Invalid command specified"),
            (
                "command getkeysandflags mget a b",
                "*2 *2 $1 a *2 +RO +access *2 $1 b *2 +RO +access",
            ),
            ("command getkeysandflags del b", "*1 *2 $1 b *2 +RM +delete"),
            ("command getkeysandflags incr b", "*1 *2 $1 b *3 +RW +access +update"),
        ],
    )
    .await;
    let category = client.run("command list filterby aclcat TRANSACTION").await;
    assert!(category.contains("multi") && !category.contains("get"), "{category}");
}

#[tokio::test]
async fn command_docs_document_commands_and_subcommands() {
    let mut client = Client::alone();
    client.run("hello 3").await;
    let docs = client.run("command docs echo client|kill nosuch").await;
    assert!(docs.starts_with("%2 $4 echo %5 $7 summary "), "{docs}");
    assert!(docs.contains("$9 arguments *1 %3 $4 name $7 message $4 type $6 string"), "{docs}");
    assert!(docs.contains("$11 client|kill %5 "), "{docs}");
    let family = client.run("command docs config").await;
    assert!(family.contains("$11 subcommands %5 $10 config|get "), "{family}");
    let all = client.run("command docs").await;
    assert!(all.starts_with(&format!("%{} ", commands::all().count())));
}

/// A name in two families is dispatched to one of them only.
#[test]
fn no_command_is_in_the_table_twice() {
    let mut seen = std::collections::HashSet::new();
    let twice: Vec<_> =
        commands::all().map(|c| c.name).filter(|name| !seen.insert(*name)).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn every_command_here_is_documented_and_sorted_by_what_it_may_do() {
    let own = super::COMMANDS.iter().chain(crate::resp::commands::connection::COMMANDS);
    for command in own {
        assert!(!command.summary.is_empty() && command.summary.ends_with('.'), "{}", command.name);
        assert!(!command.since.is_empty() && !command.complexity.is_empty(), "{}", command.name);
        for sub in command.subcommands {
            assert!(sub.summary.ends_with('.'), "{}|{}", command.name, sub.name);
        }
    }
}

#[tokio::test]
async fn latency_histogram_counts_calls_up_to_each_power_of_two() {
    let daemon = Arc::new(FakeBackend::new(&[]));
    let mut round = crate::stats::Round::default();
    for (name, times, ns) in [("get", 3, 900), ("get", 1, 3_000), ("set", 2, 70_000_000_000)] {
        let command = crate::resp::table::find(name.as_bytes()).expect("a command");
        (0..times).for_each(|_| round.command(command));
        daemon.stats.round(&mut round, std::time::Duration::from_nanos(ns));
    }
    let mut client = Client::connect(&daemon);
    let get = "$3 get *4 $5 calls :4 $14 histogram_usec *4 :1 :3 :4 :4";
    // What took longer than the last bucket is counted there.
    let set = "$3 set *4 $5 calls :2 $14 histogram_usec *2 :1073741 :2";
    assert_eq!(client.run("latency histogram GET nosuch").await, format!("*2 {get}"));
    assert_eq!(client.run("latency histogram").await, format!("*4 {get} {set}"));
}

#[tokio::test]
async fn history_is_told_event_by_event() {
    let daemon = Arc::new(FakeBackend::new(&[]));
    let mut client = Client::connect(&daemon);
    let head = "*6 $7 reaches :1 $8 complete :1 $6 events *3";
    let swap = "*10 $3 lsn :6 $4 time :1006 $9 operation $6 SWAPDB $4 with :2 $6 client $-1";
    let expire = "*10 $3 lsn :5 $4 time :1005 $9 operation $6 EXPIRE $7 expires :9 $6 client $-1";
    let who = "*6 $7 address $10 10.0.0.1:7 $4 user $7 default $4 name $3 web";
    let set = format!(
        "*12 $3 lsn :4 $4 time :1004 $9 operation $3 SET $4 size :3 $7 expires $-1 $6 client {who}"
    );
    let answer = client.run("sw.history k").await;
    assert_eq!(answer, format!("{head} {swap} {expire} {set}"));
    client.run("hello 3").await;
    let answer = client.run("sw.history k count 3 BEFORE 9").await;
    assert!(answer.starts_with("%3 $7 reaches :1 "), "{answer}");
    let asked = daemon.asked.lock().expect("no test panics with it").clone();
    assert_eq!(asked, ["history of k in 0: 10 before None", "history of k in 0: 3 before Some(9)"]);
    check(
        &mut client,
        &[
            ("sw.history k count", "-ERR syntax error"),
            ("sw.history k count 0", "-ERR COUNT must be between 1 and 1000"),
            ("sw.history k count 1001", "-ERR COUNT must be between 1 and 1000"),
            ("sw.history k before -1", "-ERR value is not an integer or out of range"),
            ("sw.history k since 1", "-ERR syntax error"),
        ],
    )
    .await;
}

#[tokio::test]
async fn restore_takes_a_key_or_a_prefix_and_an_lsn_or_a_time() {
    let daemon = Arc::new(FakeBackend::new(&[]));
    let mut client = Client::connect(&daemon);
    let answer = client.run("sw.restore k 7").await;
    let counts = "$5 found :6 $8 restored :3 $9 unchanged :1 $4 kept :0 $7 expired :2";
    assert_eq!(answer, format!("*12 $3 lsn :7 {counts}"));
    for line in ["k 8 nx", "prefix p time 9", "PREFIX p 7 NX", "prefix 5", "k TIME 5 nx"] {
        assert!(client.run(&format!("sw.restore {line}")).await.starts_with('*'), "{line}");
    }
    let asked = daemon.asked.lock().expect("no test panics with it").join("\n");
    // With one word before the moment, that word is a key, whatever it is.
    for (at, expected) in [
        (0, "restore One([107]) Lsn(7) false"),
        (2, "restore Prefix([112]) Time(9) false"),
        (3, "restore Prefix([112]) Lsn(7) true"),
        (4, "restore One([112, 114, 101, 102, 105, 120]) Lsn(5) false"),
        (5, "restore One([107]) Time(5) true"),
    ] {
        assert_eq!(asked.lines().nth(at), Some(expected), "{asked}");
    }
    check(
        &mut client,
        &[
            ("sw.restore k x", "-ERR value is not an integer or out of range"),
            ("sw.restore k time", "-ERR syntax error"),
            ("sw.restore k 7 xx", "-ERR syntax error"),
            ("sw.restore prefix p 7 nx nx", "-ERR syntax error"),
        ],
    )
    .await;
}

const USERS: &str = r##"[[users]]
name = "ann"
passwords = ["2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"]
rules = "+@read -@slow %R~a:* ~b:* &news:* +acl|whoami"
[[users]]
name = "off"
enabled = false
nopass = true
"##;

#[tokio::test]
async fn users_are_told_of_and_changed_by_no_command() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("seawall.toml");
    std::fs::write(&file, USERS).expect("a file");
    let daemon = Arc::new(FakeBackend::with_file(&[], Some(&file)));
    let mut client = Client::connect(&daemon);
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    check(
        &mut client,
        &[
            ("acl users", "*3 $3 ann $7 default $3 off"),
            (
                "acl list",
                "*3 $88 user ann on (password) resetchannels %R~a:* ~b:* &news:* -@all +@read \
                 -@slow +acl|whoami $34 user default on nopass ~* &* +@all $39 user off off nopass \
                 resetchannels -@all",
            ),
            (
                "acl getuser ann",
                "*12 $5 flags *1 $2 on $9 passwords *1 $10 (password) $8 commands $31 -@all +@read \
                 -@slow +acl|whoami $4 keys $11 %R~a:* ~b:* $8 channels $7 &news:* $9 selectors *0",
            ),
            ("acl dryrun ann get a:1", "+OK"),
            (
                "acl dryrun ann get c",
                "$72 this user has no permissions to access one of the keys used as arguments",
            ),
            ("acl dryrun ann get", "-ERR wrong number of arguments for 'get' command"),
            ("acl dryrun eve get x", "-ERR User 'eve' not found"),
            ("acl dryrun ann nosuch", "-ERR Command 'nosuch' not found"),
            ("acl log", "*0"),
            ("auth off x", wrong),
            ("auth ann wrong", wrong),
            ("auth eve wrong", wrong),
            ("auth ann secret", "+OK"),
            ("acl whoami", "$3 ann"),
        ],
    )
    .await;
    let told = Client::connect(&daemon).run("acl log 1").await;
    assert!(told.starts_with("*1 *20 $5 count :1 $6 reason $4 auth $7 context "), "{told}");
    assert!(told.contains(" $8 username $3 eve "), "{told}");
    let mut client = Client::connect(&daemon);
    for refused in ["acl setuser bob on", "acl deluser ann", "acl load", "acl save"] {
        let told = client.run(refused).await;
        assert!(told.starts_with("-ERR users are not changed by commands: "), "{told}");
    }
    check(&mut client, &[("acl log reset", "+OK"), ("acl log", "*0")]).await;
    assert!(client.run("acl genpass").await.starts_with("$64 "));
    assert!(client.run("acl genpass 5").await.starts_with("$2 "));
    assert!(client.run("acl genpass 0").await.starts_with("-ERR ACL GENPASS argument must be"));
}

#[tokio::test]
async fn who_guesses_passwords_is_slowed_down() {
    let daemon = Arc::new(FakeBackend::new(&[("SERVER__REQUIREPASS", "secret")]));
    for _ in 0..crate::acl::gate::BURST {
        let refused = Client::connect(&daemon).run("auth guess").await;
        assert_eq!(refused, "-WRONGPASS invalid username-password pair or user is disabled.");
    }
    let refused = Client::connect(&daemon).run("auth secret").await;
    assert_eq!(
        refused,
        "-WRONGPASS not looked at: too many wrong passwords came from this address; try again in \
         1 s"
    );
    let logins: Vec<u64> = daemon.gate.figures().logins().map(|(_, n)| n).collect();
    assert_eq!(logins, [0, 10, 1]);
}
