//! Any valid value survives TOML and text; no text whatever makes the reader panic.

use std::time::Duration;

use proptest::prelude::*;

use super::super::keys::KEYS;
use super::super::secret::Secret;
use super::super::sources::{Overrides, Texts, merge};
use super::super::value::{Kind, Value};
use super::*;

fn any_value(kind: Kind) -> BoxedStrategy<Value> {
    match kind {
        Kind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Kind::Int { min, max } => (min..=max).prop_map(Value::Int).boxed(),
        Kind::AutoOr { min, max } => {
            prop_oneof![Just(Value::Auto), (min..=max).prop_map(Value::Int)].boxed()
        }
        Kind::Duration { min, max, zero } => {
            // To the nanosecond below a second, to the second above: both ends are exact.
            let (low, high) = (min.as_secs() + 1, max.as_secs());
            let whole = (low..=high.max(low)).prop_map(Duration::from_secs);
            let fine =
                (0u32..1_000_000_000).prop_map(move |n| min + Duration::from_nanos(n.into()));
            let fits = move |d: &Duration| (min..=max).contains(d);
            let any = prop_oneof![whole, fine, Just(min), Just(max)]
                .prop_filter("in range", fits)
                .prop_map(Value::Duration);
            if zero {
                prop_oneof![any, Just(Value::Duration(Duration::ZERO))].boxed()
            } else {
                any.boxed()
            }
        }
        Kind::Size { min, max, zero, percent } => {
            let mut any = (min..=max).prop_map(Value::Bytes).boxed();
            if zero {
                any = prop_oneof![any, Just(Value::Bytes(0))].boxed();
            }
            if percent {
                any = prop_oneof![any, (1u8..=100).prop_map(Value::Percent)].boxed();
            }
            any
        }
        Kind::Enum(words) => {
            proptest::sample::select(words).prop_map(|w| Value::Text(w.to_owned())).boxed()
        }
        Kind::Directives => "(info|off|trace)(,[a-z_]{1,8}(::[a-z]{1,4})?=(debug|warn)){0,3}"
            .prop_map(Value::Text)
            .boxed(),
        Kind::EventClasses => "[KEg$lshzxetdAnm]{0,6}".prop_map(Value::Text).boxed(),
        Kind::Words { .. } => proptest::collection::btree_set("[a-z0-9:*]{1,9}", 0..5)
            .prop_map(|words| Value::List(words.into_iter().collect()))
            .boxed(),
        Kind::Addresses => {
            let address = prop_oneof!["[a-z]{1,9}:[1-9][0-9]{0,3}", "\\[::1\\]:[1-9][0-9]{0,3}"];
            proptest::collection::hash_set(address, 0..4)
                .prop_map(|set| Value::List(set.into_iter().collect()))
                .boxed()
        }
        Kind::Address => prop_oneof![Just(String::new()), "[a-z]{1,9}:[1-9][0-9]{0,3}"]
            .prop_map(Value::Text)
            .boxed(),
        Kind::Path { empty } => {
            let least = usize::from(!empty);
            proptest::collection::vec(
                any::<char>().prop_filter("no NUL", |c| *c != '\0'),
                least..20,
            )
            .prop_map(|chars| Value::Text(chars.into_iter().collect()))
            .boxed()
        }
        Kind::File { .. } => any_value(Kind::Path { empty: true }),
        Kind::Word => "[^\\s\\pC]{1,9}".prop_map(Value::Text).boxed(),
        Kind::Text => any::<String>().prop_map(Value::Text).boxed(),
        Kind::Secrets => proptest::collection::vec(any::<String>(), 0..4)
            .prop_map(|all| Value::Secrets(all.into_iter().map(Secret::new).collect()))
            .boxed(),
        Kind::RedisUrl => "redis://[a-z]{1,9}(:[1-9][0-9]{0,3})?(/[0-9])?"
            .prop_map(|s| Value::Url(Secret::new(s)))
            .boxed(),
        Kind::Name { .. } => "[a-zA-Z0-9.:_-]{1,64}".prop_map(Value::Text).boxed(),
        Kind::Secret => any::<String>().prop_map(|s| Value::Secret(Secret::new(s))).boxed(),
    }
}

fn any_values() -> impl Strategy<Value = Vec<Value>> {
    KEYS.iter().map(|key| any_value(key.kind)).collect::<Vec<_>>()
}

fn merged(text: &str, pairs: &[(&str, &str)]) -> super::super::sources::Merged {
    let env = env(pairs);
    let file = Some((Path::new("seawall.toml"), text));
    merge(Texts { file, env: &env, overrides: &Overrides::new() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_valid_values_round_trip_through_toml(values in any_values()) {
        let mut document = toml_edit::DocumentMut::new();
        for (key, value) in KEYS.iter().zip(&values) {
            document[key.section()].or_insert(toml_edit::table())[key.name()] =
                toml_edit::Item::Value(value.to_toml());
        }
        let read = merged(&document.to_string(), &[]);
        prop_assert_eq!(&read.problems, &Vec::new());
        for (key, value) in KEYS.iter().zip(&values) {
            prop_assert_eq!(read.values.get(key.path), Some(value));
        }
    }

    #[test]
    fn any_valid_values_round_trip_through_the_environment(values in any_values()) {
        let pairs: Vec<(String, String)> =
            KEYS.iter().zip(&values).map(|(k, v)| (k.env_name(), v.to_text())).collect();
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let read = merged("", &pairs);
        prop_assert_eq!(&read.problems, &Vec::new());
        for (key, value) in KEYS.iter().zip(&values) {
            prop_assert_eq!(read.values.get(key.path), Some(value));
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        let _ = merged(&text, &[("SEAWALL_PROFILE", &text), ("SEAWALL__CACHE__SHARDS", &text)]);
    }

    #[test]
    fn no_near_miss_makes_the_reader_panic(
        text in "(\\[(cache|wal|profiles\\.a|profiles|x)(\\.[a-z]{1,3})?\\]\n)?((max_memory|shards|fsync|bind|profiles|cache)(\\.[a-z]{1,2})? = (1|-1|9e9|\"\"|\"1%\"|\\[\\]|\\[\\[1\\]\\]|\\{\\}|true|nan|0x10|1979-05-27)\n){0,4}"
    ) {
        let _ = merged(&text, &[("SEAWALL_PROFILE", "a")]);
    }

    #[test]
    fn no_name_or_value_makes_the_environment_panic(name in any::<String>(), value in any::<String>()) {
        let name = format!("SEAWALL__{name}");
        let _ = merged("", &[(&name, &value)]);
    }
}
