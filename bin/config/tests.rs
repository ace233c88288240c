//! Precedence, refusal, bounds, redaction.

use std::io::Write as _;

use postrider_model::order::{AfterDead, OrderBy};

use super::check::MAX_SOCKET_PATH_BYTES;
use super::load::Problems;
use super::value::Value as _;
use super::*;

fn sources(toml: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> (tempfile::NamedTempFile, Sources) {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(toml.as_bytes()).expect("room in the temporary directory");
    let sources = Sources {
        file: Some(file.path().to_owned()),
        env: env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        flags: flags.iter().map(|(key, value)| ("--set".into(), (*key).into(), (*value).into())).collect(),
    };
    (file, sources)
}

fn problems(toml: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Vec<String> {
    let (file, sources) = sources(toml, env, flags);
    let path = file.path().display().to_string();
    let Problems(problems) = load(&sources).expect_err("this configuration is wrong");
    problems.into_iter().map(|problem| problem.replace(&path, "FILE")).collect()
}

fn loaded(toml: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Loaded {
    let (_file, sources) = sources(toml, env, flags);
    load(&sources).expect("this configuration is fine")
}

#[test]
fn each_source_overrides_those_before_it() {
    let toml = "[limits]\nbody_bytes = 2_000\nline_bytes = 70_000\nin_flight = 300\n";
    let env = [("POSTRIDER_LIMITS__LINE_BYTES", "80000"), ("POSTRIDER_LIMITS__IN_FLIGHT", "400")];
    let loaded = loaded(toml, &env, &[("limits.in_flight", "500")]);
    let limits = &loaded.config.limits;
    assert_eq!((limits.body_bytes, limits.line_bytes, limits.in_flight), (2_000, 80_000, 500));
    assert_eq!(limits.lane_window, 10_000);
    assert_eq!(loaded.origins.get("limits.line_bytes").map(String::as_str), Some("POSTRIDER_LIMITS__LINE_BYTES"));
}

#[test]
fn all_problems_are_reported_at_once_with_their_places() {
    let toml = "colour = 1\n[limits]\nbody_byte = 1\nin_flight = \"many\"\n[retry]\nschedule = [0, \"x\"]\n";
    let env = [("POSTRIDER_LOG__LEVEL", "=chatty="), ("POSTRIDER_DISPATCH__NOSUCH", "1")];
    let found = problems(toml, &env, &[("dispatch.timeout_ms", "31000"), ("api.listen", "here")]);
    let expected = [
        "FILE:1: colour: unknown key",
        "FILE:3: limits.body_byte: unknown key; did you mean `limits.body_bytes`?",
        "FILE:4: limits.in_flight: must be a whole number, not a TOML string; 1 to 65536 are allowed",
        "FILE:6: retry.schedule: member 2 must be a whole number, not a TOML string; 0 to 2592000 are allowed",
        "POSTRIDER_DISPATCH__NOSUCH: dispatch.nosuch: unknown key",
        "POSTRIDER_LOG__LEVEL: log.level: must be a level (`error`, `warn`, `info`, `debug`, `trace`) \
         or a filter such as `info,postrider_scheduler=debug`, not `=chatty=`",
        "--set: dispatch.timeout_ms: is 31000, 1000 to 30000 are allowed",
        "--set: api.listen: must be an address and a port, such as `127.0.0.1:8071`, not `here`",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_word_that_is_no_log_level_is_refused_and_not_taken_for_the_only_target() {
    for level in ["warning", "loud", "inf", "info,loud", "warning,hyper=debug"] {
        let found = problems(&format!("[log]\nlevel = \"{level}\"\n"), &[], &[]);
        assert!(found.iter().any(|problem| problem.contains(&format!("not `{level}`"))), "{found:?}");
    }
    for level in
        ["warn", "WARN", "off", "info,postrider_api=debug", "postrider_api::serve", "error,[request{id=7}]=trace"]
    {
        assert_eq!(loaded(&format!("[log]\nlevel = \"{level}\"\n"), &[], &[]).config.log.level.0, level);
    }
}

#[test]
fn a_section_may_lie_within_another() {
    let expected = Some(std::path::Path::new("c.pem"));
    let of = |loaded: Loaded| loaded.config.api_tls.cert;
    for toml in ["[api.tls]\ncert = \"c.pem\"\nkey = \"k\"", "[api]\ntls = { cert = \"c.pem\", key = \"k\" }"] {
        assert_eq!(of(loaded(toml, &[], &[])).as_deref(), expected);
    }
    let env = [("POSTRIDER_API__TLS__CERT", "c.pem")];
    assert_eq!(of(loaded("", &env, &[("api.tls.key", "k")])).as_deref(), expected);
    assert_eq!(
        problems("[api.tls]\ncrt = 1\n", &[("POSTRIDER_API__TLS__KEYS", "k")], &[("api.tls", "k")]),
        [
            "FILE:2: api.tls.crt: unknown key; did you mean `api.tls.cert`?",
            "POSTRIDER_API__TLS__KEYS: api.tls.keys: unknown key; did you mean `api.tls.key`?",
            "--set: api.tls: unknown key",
        ]
    );
}

#[test]
fn every_bad_member_of_a_list_is_named_and_numbers_say_what_is_wrong_with_them() {
    let toml = "[api]\nallow_uids = [-1, 7, \"x\"]\n[limits]\nin_flight = -3\nlane_window = 0x1_0000_0000_0000_0000\n";
    let found = problems(toml, &[("POSTRIDER_DISPATCH__ALLOW_NETWORKS", "a, ::1, b")], &[("stop.drain_ms", "-5")]);
    let expected = [
        "FILE:2: api.allow_uids: member 1 must not be negative; \
         member 3 must be a whole number, not a TOML string",
        "FILE:4: limits.in_flight: must not be negative; 1 to 65536 are allowed",
        "FILE:5: limits.lane_window: is too large; 1 to 1000000 are allowed",
        "POSTRIDER_DISPATCH__ALLOW_NETWORKS: dispatch.allow_networks: \
         member 1 is `a`, which is no network such as `10.1.0.0/16`; \
         member 3 is `b`, which is no network such as `10.1.0.0/16`",
        "--set: stop.drain_ms: must not be negative; 0 to 600000 are allowed",
    ];
    assert_eq!(found, expected);
}

#[test]
fn wrong_values_of_every_kind_are_reported_together() {
    let toml = "[log]\nformat = \"x\"\n[retention]\nhistory = \"soon\"\n[limits]\nline_bytes = 1024\nnosuch = 1\n";
    let found = problems(toml, &[("POSTRIDER_API__SOCKET_MODE", "rw")], &[]);
    for key in ["log.format", "retention.history", "limits.nosuch", "api.socket_mode", "limits.line_bytes"] {
        assert!(found.iter().any(|problem| problem.contains(&format!(": {key}: "))), "{key}: {found:?}");
    }
}

#[test]
fn a_broken_file_does_not_hide_the_other_problems() {
    let found = problems("data_dir = \n[limits]\nin_flight = 0\n", &[("POSTRIDER_API__LISTEN", "x")], &[]);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().any(|problem| problem.starts_with("FILE:1: ")), "{found:?}");
    assert!(found.contains(&"FILE:3: limits.in_flight: is 0, 1 to 65536 are allowed".to_owned()), "{found:?}");
}

#[test]
fn a_missing_file_is_a_problem_only_if_it_was_named() {
    let named = Sources { file: Some("/nonexistent/postrider.toml".into()), ..Sources::default() };
    let Problems(found) = load(&named).expect_err("the file is not there");
    assert!(found.iter().all(|problem| problem.starts_with("failed to read /nonexistent/postrider.toml")), "{found:?}");
    assert!(load(&Sources::default()).is_ok());
}

#[test]
fn variables_without_a_section_are_left_alone() {
    // Kubernetes sets these for a service that is called `postrider`.
    let env = [("POSTRIDER_PORT", "tcp://10.0.0.1:80"), ("POSTRIDER_SERVICE_HOST", "10.0.0.1")];
    assert_eq!(loaded("", &env, &[]).config, Config::default());
    let env = [("POSTRIDER_DATA_DIR", "/srv/p")];
    assert_eq!(loaded("", &env, &[]).config.api_socket(), std::path::Path::new("/srv/p/api.sock"));
}

#[test]
fn lists_come_from_files_and_from_text() {
    let networks = ["10.0.0.0/8", "::1/128"];
    let toml = "dispatch.allow_networks = [\"10.0.0.0/8\", \"::1\"]\nretry.schedule = [0, 1, 2]\napi.allow_uids = [7]";
    let from_file = loaded(toml, &[], &[]).config;
    assert_eq!(from_file.dispatch.allow_networks.iter().map(ToString::to_string).collect::<Vec<_>>(), networks);
    let env = [
        ("POSTRIDER_DISPATCH__ALLOW_NETWORKS", "10.0.0.0/8, ::1"),
        ("POSTRIDER_RETRY__SCHEDULE", "0,1,2"),
        ("POSTRIDER_API__ALLOW_UIDS", "7"),
    ];
    assert_eq!(loaded("", &env, &[]).config, from_file);
    let empty = loaded(toml, &[], &[("dispatch.allow_networks", "")]).config;
    assert!(empty.dispatch.allow_networks.is_empty());
    assert_eq!(
        problems("", &[("POSTRIDER_RETRY__SCHEDULE", "")], &[]),
        ["POSTRIDER_RETRY__SCHEDULE: retry.schedule: a retry schedule has 1 to 100 attempts, not 0"]
    );
}

#[test]
fn every_number_is_refused_outside_of_its_bounds_and_every_default_lies_within() {
    for key in KEYS {
        let Some(range) = &key.range else { continue };
        let unit = if key.kind == value::Span::TYPE { "s" } else { "" };
        let mut config = Config::default();
        let mut set = |number: u64| key.set(&mut config, value::Raw::Text(&format!("{number}{unit}")));
        assert_eq!(set(*range.start()), Ok(()), "{}", key.name);
        assert_eq!(set(*range.end()), Ok(()), "{}", key.name);
        let below = range.start().checked_sub(1);
        for outside in below.into_iter().chain([range.end() + 1]) {
            assert!(set(outside).is_err(), "{} = {outside}", key.name);
        }
        // What need not be set has none.
        let Some(default) = key.show(&Config::default()) else { continue };
        let default = default.trim_matches('"');
        assert_eq!(key.set(&mut Config::default(), value::Raw::Text(default)), Ok(()), "{} = {default}", key.name);
    }
}

#[test]
fn lengths_of_time_have_units() {
    let retention = |text: &str| loaded(&format!("retention.history = \"{text}\""), &[], &[]).config.retention.history;
    for (text, seconds, shown) in
        [("90s", 90, "90s"), ("2h", 7_200, "2h"), ("1d 12h", 129_600, "36h"), ("60m", 3_600, "1h")]
    {
        let span = retention(text);
        assert_eq!((span.0.as_secs(), span.show()), (seconds, Some(format!("\"{shown}\""))), "{text}");
    }
    assert_eq!(
        problems("[retention]\nhistory = 7\nheld = \"soon\"\ngrace = \"2d\"", &[], &[]),
        [
            "FILE:2: retention.history: must be a length of time, such as `7d`, `12h` or `90s`, not a TOML integer; \
             1s to 315360000s are allowed",
            "FILE:3: retention.held: must be a length of time, such as `7d`, `12h` or `90s`, not `soon`; \
             1s to 315360000s are allowed",
            "FILE:4: retention.grace: is \"2d\", 0s to 86400s are allowed",
        ]
    );
}

#[test]
fn every_numeric_key_has_bounds_and_every_key_a_sentence() {
    for key in KEYS {
        let numeric = key.kind == "a whole number" || key.kind == value::Span::TYPE;
        assert_eq!(numeric, key.range.is_some(), "{}", key.name);
        assert!(key.doc.trim().ends_with('.'), "{}", key.name);
    }
}

#[test]
fn a_secret_is_neither_shown_nor_repeated_in_errors() {
    let secret = "correct horse battery staple and more";
    let toml = format!("[auth]\njwt_secret = \"{secret}\"\n");
    let loaded = loaded(&toml, &[], &[]);
    assert_eq!(loaded.config.auth.jwt_secret.as_ref().map(secret::JwtSecret::expose), Some(secret));
    let shown = effective(&loaded);
    assert!(shown.contains("jwt_secret = \"<redacted>\"") && !shown.contains("horse"), "{shown}");
    assert!(!format!("{loaded:?}").contains("horse"));

    let found = problems("", &[("POSTRIDER_AUTH__JWT_SECRET", "horse")], &[]);
    assert_eq!(found, ["POSTRIDER_AUTH__JWT_SECRET: auth.jwt_secret: has 5 bytes, at least 32 are needed"]);
    let shown = format!("{:?}", loaded.config);
    assert!(shown.contains("JwtSecret(..)") && !shown.contains("horse"), "{shown}");
    let found = problems("[auth]\njwt_secret = \"horse\n", &[], &[]);
    assert!(found.iter().all(|problem| !problem.contains("horse")), "{found:?}");
}

#[test]
fn programs_get_every_key_with_its_value_and_origin() {
    let secret = "correct horse battery staple and more";
    let toml = format!("[auth]\njwt_secret = \"{secret}\"\n[retry]\nschedule = [0, 5]\n");
    let shown = effective_json(&loaded(&toml, &[], &[("limits.in_flight", "500")]));
    assert!(!shown.to_string().contains("horse"), "{shown}");
    let members = shown.as_array().expect("a list");
    assert_eq!(members.len(), KEYS.len());
    let of = |key: &str| members.iter().find(|member| member["key"] == key).expect("every key is there");
    assert_eq!(of("auth.jwt_secret")["value"], "<redacted>");
    assert_eq!(of("retry.schedule")["value"], serde_json::json!([0, 5]));
    assert_eq!(of("api.socket")["value"], "./postrider-data/api.sock");
    assert_eq!(
        of("limits.in_flight"),
        &serde_json::json!({ "key": "limits.in_flight", "value": 500, "origin": "--set" })
    );
    assert_eq!(
        of("dispatch.ca_file"),
        &serde_json::json!({ "key": "dispatch.ca_file", "value": null, "origin": "default" })
    );
}

#[test]
fn texts_are_lengths_of_time_only_with_their_units() {
    assert_eq!(duration("30d"), Ok(std::time::Duration::from_secs(30 * 86_400)));
    assert_eq!(duration("1h 30m"), Ok(std::time::Duration::from_secs(5_400)));
    for text in ["", "30", "soon", "-1h", "1 fortnight"] {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[test]
fn the_effective_configuration_can_be_loaded_again() {
    let first = loaded("[log]\nlevel = \"debug\"\n[api]\nsocket_mode = \"0660\"\nallow_uids = [1, 2]\n", &[], &[]);
    let text = effective(&first);
    let second = loaded(&text, &[], &[]);
    let resolved = Config {
        api: keys::Api { socket: Some(first.config.api_socket()), ..first.config.api.clone() },
        ingest: keys::Ingest { socket: Some(first.config.ingest_socket()), ..first.config.ingest.clone() },
        ..first.config
    };
    assert_eq!(second.config, resolved, "{text}");
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    let long = format!("/{}", "x".repeat(MAX_SOCKET_PATH_BYTES));
    for (toml, key) in [
        (format!("api.socket = \"{long}\""), "api.socket"),
        (format!("data_dir = \"{long}\""), "ingest.socket"),
        ("api.socket = \"a\"\ningest.socket = \"a\"".into(), "ingest.socket"),
        ("limits.line_bytes = 1024".into(), "limits.line_bytes"),
        ("journal.segment_bytes = 1048576".into(), "journal.segment_bytes"),
        ("metrics.listen = \"127.0.0.1:8071\"".into(), "metrics.listen"),
        ("[api.tls]\ncert = \"c.pem\"".into(), "api.tls.key"),
        ("[api.tls]\nkey = \"k.pem\"".into(), "api.tls.cert"),
        ("[dispatch]\nclient_cert = \"c.pem\"".into(), "dispatch.client_key"),
        ("[dispatch]\nclient_key = \"k.pem\"".into(), "dispatch.client_cert"),
        ("api.request_burst_per_token = 5".into(), "api.request_burst_per_token"),
        ("api.request_burst_per_address = 5".into(), "api.request_burst_per_address"),
        ("api.trusted_proxies = [\"10.0.0.1\", \"0.0.0.0/0\"]".into(), "api.trusted_proxies"),
        ("api.trusted_proxies = [\"::/0\"]".into(), "api.trusted_proxies"),
        ("verification.default = \"cloudevents\"".into(), "verification.default"),
        ("operational_events.application = \"a b\"".into(), "operational_events.application"),
        ("verification.origin = \"https://a.test\"".into(), "verification.origin"),
        ("api.trusted_proxies = [\"::ffff:10.0.0.0/104\"]".into(), "api.trusted_proxies"),
    ] {
        let found = problems(&toml, &[], &[]);
        assert!(found.iter().any(|problem| problem.contains(&format!("{key}: "))), "{toml}: {found:?}");
    }
    let fits = "y".repeat(MAX_SOCKET_PATH_BYTES);
    loaded(&format!("api.socket = \"{fits}\""), &[], &[]);
}

#[test]
fn a_rate_has_the_bounds_that_it_has_in_a_policy() {
    let rate = |lines: &str| format!("[rate]\n{lines}");
    for fits in ["count = 10_000\nburst = 5_000", "count = 600_000\nper = \"minute\"", "per = \"minute\"", ""] {
        loaded(&rate(fits), &[], &[]);
    }
    for (wrong, says) in [
        ("count = 0", "FILE:2: rate.count: is 0, 1 to 600000 are allowed"),
        ("count = 10_001", "FILE:2: rate.count: is 10001, 1 to 10000 are allowed with this `rate.per`"),
        ("count = 2\nburst = 3", "FILE:3: rate.burst: is 3, 1 to 1 (half of `rate.count`) are allowed"),
        ("burst = 3", "FILE:2: rate.burst: is 3, but `rate.count` is not set"),
        ("per = \"hour\"", "FILE:2: rate.per: must be `second` or `minute`, not `hour`"),
    ] {
        assert_eq!(problems(&rate(wrong), &[], &[]), [says]);
    }
}

#[test]
fn an_order_is_one_of_a_few_words() {
    let order = loaded("[order]\nby = \"fifo\"\nafter_dead = \"hold\"\n", &[], &[]).config.order;
    assert_eq!(order, keys::Order { by: OrderBy::Fifo, after_dead: AfterDead::Hold });
    assert_eq!(
        problems("[order]\nby = \"id\"\nafter_dead = true\n", &[("POSTRIDER_ORDER__POINTER", "/id")], &[]),
        [
            "FILE:2: order.by: must be `key`, `fifo` or `none`, not `id`",
            "FILE:3: order.after_dead: must be `continue` or `hold`, not a TOML boolean",
            "POSTRIDER_ORDER__POINTER: order.pointer: unknown key",
        ]
    );
}

#[test]
fn a_socket_for_others_does_not_lie_in_the_data_directory() {
    for (toml, keys) in [
        ("", vec![]),
        ("api.allow_uids = [7]", vec!["api.socket"]),
        ("ingest.socket_mode = \"0660\"", vec!["ingest.socket"]),
        ("ingest.socket_group = \"7\"\napi.socket_mode = \"0606\"", vec!["api.socket", "ingest.socket"]),
        ("ingest.allow_uids = [7]\ningest.socket = \"postrider-data/in.sock\"", vec!["ingest.socket"]),
        ("ingest.allow_uids = [7]\ningest.socket = \"/run/postrider/ingest.sock\"", vec![]),
    ] {
        assert_eq!(loaded(toml, &[], &[]).config.unreachable_sockets(), keys, "{toml}");
    }
}

#[test]
fn modes_are_octal_and_let_the_owner_in() {
    for mode in ["0600", "660", "0o777"] {
        loaded(&format!("api.socket_mode = \"{mode}\""), &[], &[]);
    }
    for mode in ["\"0400\"", "\"1777\"", "\"rw\"", "\"0o999\"", "432"] {
        assert_eq!(problems(&format!("api.socket_mode = {mode}"), &[], &[]).len(), 1, "{mode}");
    }
}

#[test]
fn the_documentation_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let written = std::fs::read_to_string(path).expect("the file is part of the project");
    assert_eq!(written, documentation(), "run `cargo run -- docs configuration > docs/configuration.md`");
}

#[test]
fn the_stores_key_is_neither_shown_nor_repeated_in_errors() {
    // 32 bytes of 7.
    let key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let toml = format!("[store]\nkey = \"{key}\"\n");
    let loaded = loaded(&toml, &[], &[]);
    let given = crate::secrets::Keys::One(zeroize::Zeroizing::new([7; 32]));
    assert!(loaded.config.store.key.as_ref().is_some_and(|key| *key.expose() == given));
    for shown in [effective(&loaded), effective_json(&loaded).to_string(), format!("{:?}", loaded.config)] {
        assert!(!shown.contains("BwcH") && !shown.contains("[7, 7"), "{shown}");
    }
    let found = problems("", &[("POSTRIDER_STORE__KEY", "BwcH")], &[]);
    assert_eq!(found, ["POSTRIDER_STORE__KEY: store.key: is no key of 32 bytes in base64"]);
    let found = problems("[store]\nkey_file = \"store.key\"\n", &[], &[]);
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with("store.key_file: must be an absolute path, not `store.key`"), "{found:?}");
}
