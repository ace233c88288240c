use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::payload::MAX_FILTERED_BYTES;

fn passes(filter: &str, payload: &Value) -> bool {
    let filter = Filter::new(filter);
    assert_eq!(filter.check(), Ok(()), "{filter:?}");
    filter.lets_through(&Payload::new(payload.to_string().as_bytes()))
}

#[test]
fn an_expression_is_asked_of_the_payload() {
    let order = json!({
        "amount": 170, "currency": "EUR", "paid": false, "note": null, "id-2": "ab\"c",
        "customer": {"name": "Ada", "country": "DE"}, "items": [{"sku": "a-1", "price": 5}, {"sku": "b-2", "price": 90}],
    });
    for filter in [
        "@.amount > 100 && @.currency == \"EUR\"",
        "@.amount >= 170 && @.amount <= 170.0 && @.amount != 171",
        "  @.customer.country == 'DE'  ",
        "@['id-2'] == 'ab\"c'",
        "@.paid == false && !@.gone",
        "@.note == null && @.note",
        "@.items[1].sku == 'b-2' || @.amount == 0",
        "@.items[?@.price > 80]",
        "!(@.items[?@.price > 100])",
        "count(@.items[*]) == 2 && length(@.currency) == 3",
        "value(@..country) == 'DE'",
        "match(@.customer.name, 'A.a') && !match(@.customer.name, 'd')",
        "search(@.customer.name, 'd') && search(@.items[1].sku, \"^b\")",
        "@.items[?search(@.sku, '^b-')]",
        "@",
    ] {
        assert!(passes(filter, &order), "{filter}");
    }
    for filter in [
        "@.amount > 170",
        "@.currency == 'eur'",
        "@.gone",
        "@.gone > 1",
        "@.gone == null",
        "@.amount == '170'",
        "@.items[?@.price > 100]",
        "match(@.currency, 'E')",
        "match(@.amount, '.*')",
        "search(@.currency, '^(?:U|$)')",
    ] {
        assert!(!passes(filter, &order), "{filter}");
    }
    assert!(passes("@ == 7", &json!(7)), "a payload need not be an object");
}

#[test]
fn what_is_no_json_passes_no_filter() {
    for body in [&b"<order/>"[..], b"", b"{\"amount\": 1", b"\xff"] {
        assert!(!Filter::new("!@.amount").lets_through(&Payload::new(body)), "{body:?}");
    }
}

#[test]
fn what_a_filter_cannot_look_into_passes() {
    let passes =
        |body: &str, content_type| Filter::new("@.gone").lets_through(&Payload::of_type(body.as_bytes(), content_type));
    for body in [r#"{"a": 1e400}"#, r#"{"a": "\ud800"}"#, &format!("{}{}", "[".repeat(130), "]".repeat(130))] {
        for json in [None, Some("application/json"), Some("Application/CloudEvents+JSON; charset=utf-8")] {
            assert!(passes(body, json), "{body} {json:?}");
        }
        assert!(!passes(body, Some("text/plain")), "{body}");
    }
    let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert!(!passes(&long(MAX_FILTERED_BYTES), None));
    assert!(passes(&long(MAX_FILTERED_BYTES + 1), None));
}

#[test]
fn what_is_no_expression_is_refused_with_its_place() {
    let says = |filter: &str| Filter::new(filter).check().expect_err(filter);
    for (filter, expected) in [
        ("", "must not be empty"),
        ("  ", "must not be empty"),
        ("@.amount >", "from character"),
        ("amount > 100", "from character"),
        ("@.a == 1 &&", "from character"),
        ("@.a = 1", "from character"),
        ("@.a == 'x", "a text in it has no end"),
        ("(@.a", "a `(` is not closed"),
        ("@.a]", "a `]` closes nothing"),
        ("@.a] || @[0", "a `]` closes nothing"),
        ("$.amount > 100", "`@` is the payload"),
        ("@['a','b']", "several selectors in one pair of brackets"),
        ("@.a[-1].b == 1", "from the end"),
        ("nothing(@.a)", "is not defined"),
        ("length(@.a)", "incorrect return type"),
        ("match(@.a, @.b)", "the pattern must be a text"),
        ("search(@.a)", "the pattern must be a text"),
        ("search(@.a, '(')", "unclosed group"),
        ("match(@.a, 'x)|(?:y')", "unopened group"),
        ("search(@.a, 'x)|(?:y')", "unopened group"),
        ("search(@.a, '\\\\w{9000}')", "too large"),
    ] {
        assert!(says(filter).contains(expected), "{filter}: {}", says(filter));
    }
}

#[test]
fn what_could_cost_too_much_is_refused() {
    let says = |filter: &str| Filter::new(filter).check().expect_err(filter);
    assert!(says(&format!("@.a == '{}'", "x".repeat(MAX_CHARS))).contains("characters, at most 4096"));
    assert!(says("@..a..b").contains("more than one `..`"));
    assert!(says("@..a || @..b").contains("more than one `..`"));
    assert!(says("@..[?@..[?@..a]]").contains("more than one `..`"));
    assert!(says(&format!("@{}", "[*]".repeat(MAX_WIDE + 1))).contains("5 times, at most 4"));
    assert!(says("@[0:1][0:1][0:1][0:1][0:1]").contains("5 times, at most 4"));
    assert!(says("@[0,0][0,0]").contains("several selectors"));
    assert!(says(&format!("{}@.a{}", "(".repeat(13), ")".repeat(13))).contains("more than 12 deep"));
    let calls = ["search(@.a, 'x')"; MAX_PATTERNS + 1].join(" || ");
    assert!(says(&calls).contains("has 3 patterns, at most 2"));
    assert!(says(&format!("search(@.a, '{}')", "x".repeat(MAX_PATTERN_CHARS + 1))).contains("129 characters"));
    let any = |terms: usize| vec!["@"; terms + 1].join("||");
    assert!(says(&format!("@.a[?{}]", ["@==9"; 580].join("||"))).contains("at most 64"));
    assert!(says(&any(MAX_TERMS + 1)).contains("has 65 comparisons"));
    assert!(says(&format!("@.a[?{}]", any(9))).contains("has 9 comparisons, calls, `&&` and `||` within"));
    assert!(says("@.a[?@<1&&@<=2&&@!=3] || @.b[?length(@)==1&&@>3]").contains("9 comparisons"));
    assert!(says("@.a[?@.b[?@==1||@==2||@==3]||@['c']==1||@==3]").contains("9 comparisons"));
    for most in [any(MAX_TERMS), format!("@.a[?{}]", any(8)), "@[?@<1&&@<=2&&@!=3&&@>=4||@[0]] || @.b==1".into()] {
        assert_eq!(Filter::new(&most).check(), Ok(()), "{most}");
    }
    // Within quotes nothing counts.
    assert!(passes("@.a == '$..*?:[(,' || @.a == \"\\\"$..*?\"", &json!({"a": "$..*?:[(,"})));
}

#[test]
fn the_most_that_is_allowed_is_read_in_a_moment() {
    let nested = |open: &str, close: &str, times: usize| format!("{}@.a{}", open.repeat(times), close.repeat(times));
    for filter in [
        nested("(", ")", MAX_NESTING),
        nested("!(", ")", MAX_NESTING),
        nested("@[?", "]", MAX_WIDE),
        nested("(@[?(", ")])", MAX_WIDE),
        nested("count(@[?", "]) > 0", MAX_WIDE),
        nested("value(@[?length(", ") == 1]) == 1", MAX_WIDE),
        nested("length(", ")", MAX_NESTING) + " == 1",
        format!("@.a{}", " || @.a".repeat(MAX_TERMS)),
    ] {
        // The outcome does not matter, and a parser that goes astray does not come back.
        let _ = Filter::new(&filter).check();
    }
    let most = Filter::new("@..[?@[?@[?@ == 1]]]");
    assert_eq!(most.check(), Ok(()));
    let broad = json!(vec![vec![0; 100]; 300]).to_string();
    assert!(!most.lets_through(&Payload::new(broad.as_bytes())));
    let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
    assert!(!most.lets_through(&Payload::new(deep.as_bytes())));
}

#[test]
fn a_filter_is_written_as_its_text() {
    let filter = Filter::new("@.a  == 1");
    assert_eq!(serde_json::to_string(&filter).expect("a text"), "\"@.a  == 1\"");
    assert_eq!(serde_json::from_str::<Filter>("\"@.a  == 1\"").expect("a text"), filter);
    let newer = serde_json::from_str::<Filter>("\"@.a ~ 1\"").expect("what is not understood is read");
    assert!(newer.lets_through(&Payload::new(b"{}")), "and loses nothing");
}

fn payload() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ab\"'\\\\]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[a-c]", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Texts that are often expressions.
fn expression() -> impl Strategy<Value = String> {
    const PATH: &str = "@(\\.[a-c]|\\[[0-3]\\]|\\['a'\\]|\\[\\*\\]|\\[0:2\\]|\\.\\.[a-c]){0,3}";
    let number = "-?[0-9]{1,3}(\\.[0-9])?";
    let operand = format!("({PATH}|{number}|'[ab]{{0,3}}'|true|false|null|(length|count|value)\\({PATH}\\))");
    let compared = format!("{operand} (==|!=|<|<=|>|>=) {operand}");
    let matched = format!("(match|search)\\({PATH}, '[ab.*+?()|^$]{{0,4}}'\\)");
    let basic = proptest::string::string_regex(&format!("({compared}|{matched}|{PATH})")).expect("it is one");
    basic.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), prop_oneof![Just("&&"), Just("||")], inner.clone())
                .prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            inner.clone().prop_map(|a| format!("!({a})")),
            inner.prop_map(|a| format!("@[?{a}]")),
        ]
    })
}

proptest! {
    #[test]
    fn a_filter_that_is_allowed_can_be_asked_of_every_payload(filter in expression(), payload in payload()) {
        let filter = Filter::new(&filter);
        if filter.check().is_ok() {
            let body = payload.to_string();
            let once = filter.lets_through(&Payload::new(body.as_bytes()));
            prop_assert_eq!(filter.lets_through(&Payload::new(body.as_bytes())), once);
        }
    }

    #[test]
    fn no_text_is_too_strange_to_be_checked(
        text in "\\PC{0,40}",
        signs in "[@$.*?\\[\\]()!&|<>=,:'\"\\\\a0 -]{0,40}",
        body in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        for text in [text, signs] {
            let _ = Filter::new(&text).lets_through(&Payload::new(&body));
        }
    }
}

/// Whether each of these filters lets a payload through, asked one after the other.
fn each_passes(filters: &[&str], payload: &Payload<'_>) -> Vec<bool> {
    let ask = |filter: &&str| {
        let filter = Filter::new(filter);
        assert_eq!(filter.check(), Ok(()), "{filter:?}");
        filter.lets_through(payload)
    };
    filters.iter().map(ask).collect()
}

#[test]
fn what_all_filters_of_a_message_take_is_bounded() {
    let text = json!({"t": "de".repeat(30_000), "s": "de"}).to_string();
    let deep = format!("{}{}{}", "[".repeat(100), vec!["{}"; 20_000].join(","), "]".repeat(100));
    let flat = json!(vec![0; 30_000]).to_string();
    let texts = json!(vec!["e".repeat(40); 100]).to_string();
    let whole = ["@!=@"; 32].join("||");
    // Of each value it is asked all the way, although the first segment leads nowhere; and a long text is copied.
    let (dots, brackets) = (format!("@[?@{}]", ".a".repeat(2_000)), format!("@[?@{}]", "[0]".repeat(1_300)));
    let long = format!("@[?@=='{}']", "\u{10348}".repeat(4_000));
    for (payload, slow) in [
        (&flat, dots.as_str()),
        (&flat, brackets.as_str()),
        (&text, "search(@.t, 'e[de]{700}[xy]')"),
        (&text, "match(@.t, '[de]*e[de]{600}x')"),
        (&text, "search(@.t, 'e{0,700}[xy]')"),
        (&deep, "@..[?@!=@||@!=@||@!=@||@!=@]"),
        (&deep, "@..[?@[?@[?@==1]]]"),
    ] {
        let payload = Payload::new(payload.as_bytes());
        assert!(!payload.ran_out(), "nothing was asked");
        // What would take too long is let through, and others are still asked.
        assert_eq!(each_passes(&["@.s == 'x'", slow, "@.s == 'x'"], &payload), [false, true, false], "{slow}");
        assert!(payload.ran_out(), "{slow}");
    }
    // What takes long, but not too long, can be asked some times.
    for (payload, costly) in [
        (&text, "search(@.t, 'e[de]{20}[xy]')"),
        (&texts, "@[?search(@, 'e{0,700}[xy]')]"),
        (&flat, whole.as_str()),
        (&flat, long.as_str()),
        (&flat, "@..[?@[?@==1]]"),
    ] {
        let passed = each_passes(&[costly; 100], &Payload::new(payload.as_bytes()));
        let first = passed.iter().position(|passed| *passed).unwrap_or_default();
        assert!(first > 1, "{costly}: {first}");
        assert!(passed.iter().skip(first).all(|passed| *passed), "{costly}: the same takes as much");
    }
}

#[test]
fn common_filters_are_far_from_the_bound() {
    let item = json!({"sku": "a-17", "price": 12.5, "name": "a thing", "tags": ["new", "red"]});
    let order = json!({
        "amount": 170, "currency": "EUR", "customer": {"email": "ada@example.com", "country": "DE"},
        "note": "please ring twice. ".repeat(100), "items": vec![item; 450],
    });
    let order = order.to_string();
    assert!((30_000..MAX_FILTERED_BYTES).contains(&order.len()), "{}", order.len());
    for common in [
        "@.amount > 200 && @.currency == 'EUR' || @.customer.country == 'FR'",
        "search(@.customer.email, '@example\\\\.org$') || match(@.customer.country, 'A|CH')",
        "search(@.note, 'urgent|important')",
        "@.order.customer.address.country.code == 'DE' && @.items[0].product.supplier.address.city == 'Bonn'",
        "@.items[?@.product.supplier.address.country == 'France']",
        "match(@.note, '.*urgent.*')",
        "@.items[?@.price > 80 && @.sku != 'a-1']",
        "@.items[?match(@.sku, '[a-z]-[0-9]{3}')]",
    ] {
        let payload = Payload::new(order.as_bytes());
        assert_eq!(each_passes(&[common; 100], &payload), [false; 100], "{common}");
        assert!(!payload.ran_out(), "{common}");
    }
}
