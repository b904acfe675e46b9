use proptest::prelude::*;

use super::commands::Unit;
use super::*;
use crate::resp::args::{Args, Span};
use crate::resp::table::find;

fn may(permissions: &Permissions, line: &str) -> Result<(), Reason> {
    let mut spans: Vec<Span> = Vec::new();
    for word in line.split(' ') {
        let start = spans.last().map_or(0, |last| last.start + last.len + 1);
        spans.push(Span { start, len: u32::try_from(word.len()).expect("a short word") });
    }
    let args = Args::new(line.as_bytes(), &spans);
    let command = find(args.get(0)).expect("a command");
    permissions.check(command, &args).map_err(|denied| denied.reason())
}

fn check(rules: &str, allowed: &[&str], denied: &[(&str, Reason)]) {
    let permissions = Permissions::parse(rules).expect("rules");
    for line in allowed {
        assert_eq!(may(&permissions, line), Ok(()), "{rules}: {line}");
    }
    for (line, reason) in denied {
        assert_eq!(may(&permissions, line), Err(*reason), "{rules}: {line}");
    }
}

#[test]
fn nothing_is_allowed_but_to_log_in() {
    check("", &["auth x", "hello 3", "reset", "quit"], &[("ping", Reason::Command)]);
}

#[test]
fn later_rules_win() {
    use Reason::Command;
    check(
        "+@all -@dangerous +keys ~*",
        &["get a", "keys *", "client id"],
        &[("flushall", Command), ("client kill x", Command), ("config get x", Command)],
    );
    check(
        "+config -config|set",
        &["config get x"],
        &[("config set a b", Command), ("get a", Command)],
    );
    check("+config|get", &["config get x"], &[("config set a b", Command), ("config", Command)]);
    check("+get -@all", &[], &[("get a", Command)]);
}

#[test]
fn keys_are_matched_by_what_is_done_with_them() {
    use Reason::Key;
    check("+@all %R~a %W~a", &["set a 1 get"], &[]);
    check("+@all ~* ~*", &["set a 1 get"], &[]);
    check(
        "+@all %R~r:* %W~w:* ~b:*",
        &[
            "get r:1",
            "set w:1 x",
            "set b:1 x get",
            "exists w:1 r:1",
            "append w:1 x",
            "copy r:1 w:1",
            "rename b:1 w:1",
            "bitop and w:1 r:1 r:2",
        ],
        &[
            ("get w:1", Key),
            ("get x", Key),
            ("set r:1 x", Key),
            ("set w:1 x get", Key),
            ("set w:1 x ifeq y", Key),
            ("incr w:1", Key),
            ("mget r:1 w:1", Key),
            ("copy w:1 r:1", Key),
            ("rename w:1 b:1", Key),
            ("exists x", Key),
        ],
    );
}

/// What a command does with keys that it does not name, nobody knows: it needs every key.
#[test]
fn a_command_that_does_not_name_its_keys_needs_all() {
    let lines = ["eval s 1 a", "eval_ro s 1 a", "fcall f 0", "sw.restore a 1", "sort a by w_*"];
    for line in lines {
        check("+@all ~a*", &[], &[(line, Reason::Key)]);
        check("+@all ~*", &[line], &[]);
    }
    check("+@all %R~*", &["sort_ro a get *", "eval_ro s 0"], &[("eval s 0", Reason::Key)]);
}

#[test]
fn keys_behind_a_count_or_a_keyword_are_matched_like_others() {
    use Reason::Key;
    check(
        "+@all %R~r* %W~w* ~b*",
        &[
            "lmpop 1 b left",
            "blmpop 0 1 b left",
            "zunionstore w 2 r1 r2",
            "zinter 2 r1 b",
            "sort r store w",
            "sort r by nosort",
            "georadius r 1 2 3 m storedist w",
            "xread count 1 streams r1 r2 0 0",
            "xgroup create w g $",
            "xgroup help",
            "xinfo stream r",
            "bitfield r get u4 0",
            "bitfield b set u4 0 1",
        ],
        &[
            ("lmpop 2 b r left", Key),
            ("blmpop 0 1 w left", Key),
            ("zunionstore r 1 r", Key),
            ("zunionstore w 2 r x", Key),
            ("sort r store r", Key),
            ("sort r store x", Key),
            ("georadiusbymember r m 3 m store r", Key),
            ("xread streams r1 x 0 0", Key),
            ("xreadgroup group r r streams x >", Key),
            ("xgroup create r g $", Key),
            ("xinfo stream w", Key),
            ("bitfield r set u4 0 1", Key),
            ("bitfield w get u4 0", Key),
        ],
    );
}

#[test]
fn subcommands_that_redis_runs_may_be_given_one_by_one() {
    use Reason::Command;
    check(
        "+script|load +@read ~*",
        &["script load x", "xinfo stream a"],
        &[("script flush", Command), ("xgroup create a g $", Command)],
    );
}

#[test]
fn channels_are_names_or_the_very_pattern() {
    use Reason::Channel;
    check(
        "+@all ~* &news:* &x",
        &["publish news:1 m", "subscribe x news:2", "psubscribe news:* x", "unsubscribe y"],
        &[("publish y m", Channel), ("subscribe x y", Channel), ("psubscribe news:1", Channel)],
    );
    check("+@all ~* &*", &["publish y m", "psubscribe *"], &[]);
}

#[test]
fn what_is_wrong_with_a_rule_is_said() {
    for (rules, told) in [
        ("+gett", "\"+gett\" names no command \"gett\"; did you mean get?"),
        ("+@raed", "\"+@raed\" names no category \"raed\"; did you mean @read?"),
        (
            "+config|gte",
            "\"+config|gte\" names no command \"config|gte\"; did you mean config|get?",
        ),
        (
            "+zzzzzzzzzzzzzz",
            "\"+zzzzzzzzzzzzzz\" names no command \"zzzzzzzzzzzzzz\"; ACL CAT lists them",
        ),
        (">pw", "\">pw\" is a password; it belongs into passwords or password_file"),
        ("on", "\"on\" is no rule here; write enabled = true or false"),
        ("%X~a", "\"%X~a\" is no rule about keys; write %R~pattern, %W~pattern or ~pattern"),
        (
            "~* ~a",
            "\"~a\" has no effect after the rule that allows all of them; write resetkeys before it",
        ),
        (
            "(+get",
            "\"(+get\" begins a selector, which Seawall does not have; a user of its own does the same",
        ),
        (
            "get",
            "\"get\" is no rule; write for example +get, +@read, -@dangerous, ~cache:*, &news:*",
        ),
    ] {
        assert_eq!(Permissions::parse(rules).expect_err(rules), told);
    }
}

#[test]
fn everything_is_everything_and_without_one_command_it_is_not() {
    let is = |rules| Permissions::parse(rules).expect("rules").is_everything();
    assert!(is("+@all ~* &*") && is("allcommands allkeys allchannels"));
    assert!(Permissions::everything().is_everything());
    assert!(!is("+@all ~*") && !is("+@all &*") && !is("+@all ~* &* -config|set"));
    assert_eq!(Permissions::parse("+@all ~* &*"), Ok(Permissions::everything()));
}

#[test]
fn every_command_is_fast_or_slow_and_every_name_finds_its_unit() {
    use super::categories::Category;
    for unit in Unit::all() {
        assert_ne!(Category::Fast.has(unit), Category::Slow.has(unit), "{}", unit.name());
        assert_eq!(Unit::named(&unit.name()).map(|found| found.name()), Some(unit.name()));
    }
}

#[test]
fn a_password_is_known_by_its_digest_alone() {
    let secret = PasswordHash::of(b"secret");
    let digits = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    assert_eq!(PasswordHash::parse(digits), Some(secret.clone()));
    assert_eq!(PasswordHash::parse(&format!("#{}", digits.to_uppercase())), Some(secret.clone()));
    for wrong in ["", "secret", &digits[1..], &format!("{digits}0"), &digits.replace('2', "g")] {
        assert_eq!(PasswordHash::parse(wrong), None, "{wrong}");
    }
    let mut users = Users::new(Some(secret.clone()));
    let nothing = Permissions::nothing;
    users.add(User::new("ann", true, false, vec![PasswordHash::of(b"x"), secret], nothing()));
    users.add(User::new("any", true, true, Vec::new(), nothing()));
    users.add(User::new("none", true, false, Vec::new(), nothing()));
    users.add(User::new("off", false, true, Vec::new(), nothing()));
    let who = |name: &str, password: &str| {
        let user = users.authenticate(name.as_bytes(), password.as_bytes());
        user.map(|user| user.name().to_string())
    };
    assert_eq!(who("ann", "x").as_deref(), Some("ann"));
    assert_eq!(who("ann", "secret").as_deref(), Some("ann"));
    assert_eq!(who("any", "whatever").as_deref(), Some("any"));
    assert_eq!(who("default", "secret").as_deref(), Some("default"));
    for (name, password) in
        [("ann", "y"), ("Ann", "x"), ("none", ""), ("off", "x"), ("default", ""), ("eve", "x")]
    {
        assert_eq!(who(name, password), None, "{name}");
    }
    assert!(!format!("{users:?}").contains("2bb80d"), "digests are not printed");
}

const RULES: [&str; 24] = [
    "+@all",
    "-@all",
    "+@read",
    "-@read",
    "+@write",
    "-@dangerous",
    "+get",
    "-get",
    "+config",
    "+config|get",
    "-config|set",
    "+@fast",
    "~*",
    "~a*",
    "%R~a*",
    "%W~a*",
    "%RW~[b-d]?",
    "resetkeys",
    "&*",
    "&news:*",
    "&x",
    "resetchannels",
    "allcommands",
    "nocommands",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What ACL LIST shows are rules again, and say the same.
    #[test]
    fn what_is_shown_means_the_same(picked in proptest::collection::vec(0..RULES.len(), 0..12)) {
        let rules: Vec<&str> = picked.into_iter().map(|at| RULES[at]).collect();
        if let Ok(first) = Permissions::parse(&rules.join(" ")) {
            let (commands, keys) = (first.shown_commands(), first.shown_keys());
            let shown = format!("{commands} {keys} {}", first.shown_channels());
            prop_assert_eq!(Permissions::parse(&shown), Ok(first), "{}", shown);
        }
    }

    #[test]
    fn no_rules_make_the_reader_panic(rules in "([-+~%&@|a-zRW*\\[\\]() ]{0,12}|.{0,12}){0,6}") {
        let _ = Permissions::parse(&rules);
    }
}
