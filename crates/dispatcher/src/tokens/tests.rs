use std::collections::BTreeMap;

use postrider_model::auth::Auth;
use postrider_model::oauth::{ClientAuth, OAuth2};

use super::*;

fn target(number: usize) -> Target {
    let oauth = OAuth2 {
        token_url: "https://id.test/token".to_owned(),
        client_id: number.to_string(),
        client_secret: "s3cret".to_owned(),
        scope: None,
        audience: None,
        client_auth: ClientAuth::Basic,
    };
    let url = "https://a.test/".parse().expect("a URL");
    let target = Target::new(&url, &BTreeMap::new(), vec![], TIMEOUT).expect("it can be asked for");
    target.with_auth(Some(&Auth::OAuth2(oauth))).expect("it is valid")
}

fn entry(tokens: &Tokens, number: usize) -> Arc<Entry> {
    let target = target(number);
    tokens.entry(&target, target.grant.as_ref().expect("it asks for a token"))
}

#[test]
fn those_that_nobody_waits_for_are_forgotten_when_there_are_very_many() {
    let tokens = Tokens::default();
    let waited_for = entry(&tokens, 0);
    for number in 1..=2 * MAX_TOKENS {
        entry(&tokens, number);
    }
    assert!(tokens.0.lock().entries.len() <= MAX_TOKENS);
    assert!(Arc::ptr_eq(&waited_for, &entry(&tokens, 0)));
}

#[test]
fn the_one_that_was_wanted_least_lately_is_forgotten_and_no_other() {
    let tokens = Tokens::default();
    let first: Vec<_> = (0..MAX_TOKENS).map(|number| Arc::downgrade(&entry(&tokens, number))).collect();
    entry(&tokens, 0);
    entry(&tokens, MAX_TOKENS);
    let forgotten: Vec<_> = (0..MAX_TOKENS).filter(|number| first[*number].upgrade().is_none()).collect();
    assert_eq!(forgotten, [1]);
    assert_eq!(tokens.0.lock().entries.len(), MAX_TOKENS);
}

#[test]
fn an_answer_is_a_token_and_its_life() {
    for (body, token, seconds) in [
        (r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#, "Bearer t", 3_600),
        (r#"{"access_token":"t","token_type":"bearer","expires_in":"60","x":1}"#, "Bearer t", 60),
        (r#"{"access_token":"t"}"#, "Bearer t", 300),
        (r#"{"access_token":"t","expires_in":99999999999}"#, "Bearer t", 86_400),
        (r#"{"access_token":"t","expires_in":0}"#, "Bearer t", 0),
    ] {
        let (value, life) = read(body.as_bytes()).expect(body);
        assert_eq!((value.to_str().expect("text"), life.as_secs()), (token, seconds), "{body}");
        assert!(value.is_sensitive());
    }
}

#[test]
fn what_is_no_token_is_told_without_a_word_of_it() {
    for body in [
        "",
        "s3cret",
        r#"["s3cret"]"#,
        r#"{"token":"s3cret"}"#,
        r#"{"access_token":17}"#,
        r#"{"access_token":""}"#,
        r#"{"access_token":"s3cret\n"}"#,
        r#"{"access_token":"s3cret","token_type":"mac"}"#,
        r#"{"access_token":"s3cret","expires_in":-1}"#,
        r#"{"access_token":"s3cret","expires_in":"soon"}"#,
        &format!(r#"{{"access_token":"{}"}}"#, "s".repeat(MAX_TOKEN_BYTES + 1)),
    ] {
        let problem = read(body.as_bytes()).expect_err(body);
        assert!(!problem.contains("s3cret"), "{problem}");
    }
    assert_eq!(error_code(br#"{"error":"invalid_client","error_description":"s3cret"}"#), Some("invalid_client"));
    assert_eq!(error_code(br#"{"error":"s3cret"}"#), None);
}
