use proptest::prelude::*;

use super::{Value, add, parse};

fn sum(a: &str, b: &str) -> String {
    match (parse(a.as_bytes()), parse(b.as_bytes())) {
        (Some(Value::Finite(a)), Some(Value::Finite(b))) => match add(a, b) {
            Value::Finite(sum) => sum.print(),
            Value::Infinite => "inf".to_owned(),
        },
        other => format!("{other:?}"),
    }
}

#[test]
fn sums_look_as_redis_prints_them() {
    for (a, b, expected) in [
        ("10.5", "0.1", "10.6"),
        ("5.0e3", "2.0e2", "5200"),
        ("0", "-0.0", "0"),
        ("0", "-0.00000000000000000001", "0"),
        ("3", "-3", "0"),
        ("0.1", "0.2", "0.3"),
        ("1e17", "0.1", "100000000000000000.1015625"),
        ("-1.5", "0.25", "-1.25"),
        (".5", "5.", "5.5"),
        ("0x1p4", "0x.8", "16.5"),
        ("1e-17", "0", "0.00000000000000001"),
        ("+7", "0", "7"),
    ] {
        assert_eq!(sum(a, b), expected, "{a} + {b}");
    }
}

#[test]
fn refuses_what_strtold_does_not_read_whole_or_not_in_range() {
    for bad in [
        "", " 1", "1 ", "abc", "nan", "-nan", "1e", "e5", ".", "1e5000", "1e-5000", "0x", "0xg",
        "1_0", "--1", "1e+", "infinit", "1.2.3",
    ] {
        assert_eq!(parse(bad.as_bytes()), None, "{bad}");
    }
    for infinite in ["inf", "-inf", "+INF", "Infinity"] {
        assert_eq!(parse(infinite.as_bytes()), Some(Value::Infinite), "{infinite}");
    }
    assert_eq!(parse("9".repeat(5120).as_bytes()), None);
}

#[test]
fn what_is_nearer_to_the_smallest_number_than_to_zero_is_read() {
    for read in ["1.9e-4951", "0x1p-16445", "0x1.0000001p-16446", "0x0.fffffffffffffffffp-16445"] {
        assert!(parse(read.as_bytes()).is_some(), "{read}");
        assert_eq!(sum("0", read), "0");
    }
    for zero in ["1.8e-4951", "0x1p-16446", "0x0.fffffffffffffffffp-16446"] {
        assert_eq!(parse(zero.as_bytes()), None, "{zero}");
    }
}

#[test]
fn a_sum_beyond_the_format_is_infinite() {
    assert_eq!(sum("1.1e4932", "1.1e4932"), "inf");
    assert!(sum("1e4932", "1").starts_with("1000000000000000000"));
}

proptest! {
    #[test]
    fn integers_add_exactly(a in -1i64 << 62..1 << 62, b in -1i64 << 62..1 << 62) {
        prop_assert_eq!(sum(&a.to_string(), &b.to_string()), (a + b).to_string());
    }

    #[test]
    fn decimals_below_eight_add_exactly(a in -3_999_999i64..4_000_000, b in -3_999_999i64..4_000_000) {
        // One digit and seventeen decimals are fewer than 64 bits hold; with more before the
        // point, Redis shows the rounding in the last places, and so do we.
        let text = |v: i64| {
            let (whole, part) = (v.abs() / 1_000_000, v.abs() % 1_000_000);
            format!("{}{whole}.{part:06}", if v < 0 { "-" } else { "" })
        };
        let expected = text(a + b);
        let expected = expected.trim_end_matches('0').trim_end_matches('.');
        let expected = if expected == "-0" { "0" } else { expected };
        prop_assert_eq!(sum(&text(a), &text(b)), expected);
    }

    #[test]
    fn any_text_is_read_without_panic(text in "[-+0-9.eExXpPinfa]{0,30}") {
        if let Some(Value::Finite(number)) = parse(text.as_bytes()) {
            let _ = number.print();
        }
    }
}
