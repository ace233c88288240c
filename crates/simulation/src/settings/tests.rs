use super::*;

fn setting(value: bool) -> Setting {
    Setting { sure: Some(value), asked: None }
}

#[test]
fn what_was_read_is_so_until_somebody_asks_for_something_else() {
    let mut setting = Setting::default();
    assert!(setting.read(false));
    assert!(!setting.read(true), "nobody has asked for it");
    setting.ask(true);
    assert!(setting.read(false) && setting.read(true));
    assert!(!setting.read(false), "it was told, so it is on disk");
}

#[test]
fn what_was_answered_is_so() {
    let mut done = setting(false);
    done.ask(true);
    done.answer(true);
    assert!(!done.read(false));
    assert!(done.read(true));
}

#[test]
fn what_nobody_answered_is_so_or_not_and_stays_as_it_is_read() {
    for found in [false, true] {
        let mut unanswered = setting(false);
        unanswered.ask(true);
        unanswered.answer(false);
        assert!(unanswered.read(found));
        assert!(!unanswered.read(!found));
    }
}

#[test]
fn only_an_answer_disables_an_endpoint_and_that_may_be_lost_while_it_is_not_synced() {
    let disabled_at = |ms| EndpointSettings {
        is_there: setting(true),
        disabled: setting(true),
        disabled_ms: ms,
        gone: true,
        ..EndpointSettings::default()
    };
    let mut settings = Settings { endpoints: vec![disabled_at(10), disabled_at(20)], paused: Setting::default() };
    settings.died(20);
    let sure = settings.endpoints.iter().map(|endpoint| endpoint.disabled.sure).collect::<Vec<_>>();
    assert_eq!(sure, [Some(true), None]);
}
