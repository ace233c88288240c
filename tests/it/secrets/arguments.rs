//! Arguments that are wrong: what is said of them does not repeat what they hold.

use crate::support::run;

const SECRET: &str = "planted-secret-of-an-argument";

#[test]
fn an_error_in_the_arguments_does_not_repeat_a_secret() {
    let dir = tempfile::tempdir().expect("a directory");
    let create =
        |more: &[&'static str]| [&["endpoint", "create", "--app", "shop", "--url", "http://a.test/"], more].concat();
    let planted = |text: &str| text.replace("SECRET", SECRET);
    for (arguments, says) in [
        (
            create(&["--auth", r#"{"type":"bearer","token":"SECRET""#]),
            "'***' for '--auth <JSON>': is no object in JSON",
        ),
        (create(&["--auth", r#"{"token":SECRET}"#]), "'***' for '--auth <JSON>'"),
        (create(&["--auth", r#""SECRET""#]), "'***' for '--auth <JSON>': is no object in JSON"),
        (create(&["--auth=SECRET"]), "'***' for '--auth <JSON>'"),
        (create(&["--auth", r#"@{"token":"SECRET"}"#]), "'***' for '--auth <JSON>': failed to read the file"),
        (create(&["--tls-ca=-----BEGIN SECRET"]), "'***' for '--tls-ca <FILE>': failed to read the file"),
        (
            create(&["--tls-key=SECRET", "--tls-cert=/dev/null"]),
            "'***' for '--tls-key <FILE>': failed to read the file",
        ),
        (create(&["--tls-key", "-----BEGIN SECRET"]), "unexpected argument '***'"),
        (create(&["--auth", "@/dev/null"]), "'***' for '--auth <JSON>': /dev/null is no object in JSON"),
        (create(&["--policy", r#"["SECRET"]"#]), "'***' for '--policy <JSON>'"),
        (create(&["--header", "authorization:SECRET"]), "'***' for '--header <NAME=VALUE>': must have the form"),
        (create(&["--header", "authorization=Bearer", "SECRET"]), "unexpected argument '***'"),
        (create(&["--ed25519=SECRET"]), "unexpected value '***' for '--ed25519'"),
        (create(&["--throttle", "SECRET"]), "'***' for '--throttle <PER_SECOND>'"),
        (vec!["app", "create", "--name", "a", "--metadata", "SECRET"], "'***' for '--metadata <KEY=VALUE>'"),
        (vec!["endpoint", "rotate", "--app", "shop", "main", "--grace", "SECRET"], "'***' for '--grace <GRACE>'"),
        (vec!["app", "list", "--set", "SECRET"], "'***' for '--set <KEY=VALUE>': must have the form KEY=VALUE"),
        (vec!["--set", "SECRET", "app", "list", "--set", "a=b"], "must have the form KEY=VALUE"),
        (vec!["--set", "auth.jwt_secret=", "SECRET", "serve"], "unrecognized subcommand '***'"),
        (vec!["listen", "--port", "SECRET"], "'***' for '--port <PORT>'"),
        (vec!["send", "--app", "shop", "--type", "a", "--payload", "{}", "SECRET"], "unexpected argument '***'"),
        (vec!["endpoint", "rotate", "--app", "shop", "main", "SECRET"], "unexpected argument '***'"),
        (vec!["restore", "a", "b", "-----SECRET"], "unexpected argument '***'"),
        // What helps somebody who mistypes is still there.
        (vec!["event-type", "update", "a", "--validation", "refus"], "'refus' for '--validation <VALIDATION>'"),
        (vec!["app", "lst"], "unrecognized subcommand 'lst'"),
        (vec!["status"], "unrecognized subcommand 'status'"),
        (vec!["app", "list", "--limt", "3"], "unexpected argument '--limt'"),
    ] {
        let arguments: Vec<_> = arguments.into_iter().map(planted).collect();
        let ran = run(dir.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(ran.code == Some(64) && ran.stderr.contains(says), "{arguments:?}: {says}: {ran:?}");
        assert!(!ran.stderr.contains(SECRET) && ran.stdout.is_empty(), "{arguments:?}: {ran:?}");
    }
}
