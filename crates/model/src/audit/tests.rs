use super::*;
use crate::application::{Application, ApplicationFields};
use crate::endpoint::{EndpointFields, EndpointSecret};
use crate::id::RawId;
use crate::secret::SealedSecret;

fn id(number: u64) -> RawId {
    RawId::new(UnixMs(7), number, [0; 6])
}

fn entry() -> Entry {
    Entry::new(
        AuditId(id(1)),
        &Call {
            operation: "patch_endpoint".to_owned(),
            org: OrgId(id(9)),
            actor: Actor::User { uid: 17 },
            from: Origin::Unix { uid: 17, pid: Some(4) },
            request_id: None,
            target: Target::default(),
            status: 200,
            status_if_created: 201,
        },
    )
}

fn endpoint(fields: EndpointFields, secret: u8) -> Endpoint {
    Endpoint {
        id: EndpointId(id(2)),
        app: AppId(id(3)),
        fields,
        secrets: vec![EndpointSecret { sealed: SealedSecret(vec![secret]), expires: None }],
        disabled: None,
        paused: None,
        unverified: None,
        allowed_per_minute: None,
        created: UnixMs(1),
        updated: UnixMs(1),
    }
}

#[test]
fn an_entry_names_what_has_changed_and_no_value() {
    let mut config = Config::default();
    let app = Application {
        id: AppId(id(3)),
        org: OrgId(id(9)),
        fields: ApplicationFields { throttle_per_second: Some(7), ..ApplicationFields::default() },
        created: UnixMs(1),
        updated: UnixMs(1),
    };
    let mut made = entry();
    made.note_change(&config, &ConfigChange::Application(Arc::new(app.clone())));
    assert_eq!((made.target.app, made.fields), (Some(app.id), vec!["throttleRate".to_owned()]));
    config.apply(&ConfigChange::Application(Arc::new(app)));

    let fields = EndpointFields { url: "https://u:p@x".to_owned(), ..EndpointFields::default() };
    let before = ConfigChange::Endpoint(Arc::new(endpoint(fields.clone(), 1)));
    let mut made = entry();
    made.note_change(&config, &before);
    assert_eq!(made.fields, ["url"]);
    config.apply(&before);

    let mut changed = fields;
    changed.headers.insert("authorization".to_owned(), "hidden".to_owned());
    changed.event_types = Some(["order.paid".to_owned()].into());
    changed.timeout_ms = Some(2_000);
    changed.policy.max_in_flight = Some(3);
    let after = Endpoint { paused: Some(UnixMs(4)), ..endpoint(changed, 2) };
    let mut told = entry();
    told.note_change(&config, &ConfigChange::Endpoint(Arc::new(after)));
    let expected = ["filterTypes", "headers", "policy.maxInFlight", "timeoutMs", "paused", "secret"];
    assert_eq!(told.fields, expected);
    assert_eq!((told.target.app, told.target.endpoint), (Some(AppId(id(3))), Some(EndpointId(id(2)))));
    let json = serde_json::to_string(&told).expect("it is JSON");
    assert!(!json.contains("hidden") && !json.contains("https://"), "{json}");

    let mut told = entry();
    told.note_change(&config, &ConfigChange::EndpointDeleted(EndpointId(id(2))));
    assert_eq!(told.target.app, Some(AppId(id(3))));
    assert!(told.fields.is_empty());
}

#[test]
fn an_actor_is_named_by_subject_fingerprint_or_user() {
    let token = Actor::Token { org: OrgId(id(9)), app: None, fingerprint: "0123456789abcdef".to_owned() };
    assert!(token.is("0123456789abcdef") && token.is(&OrgId(id(9)).to_string()));
    assert!(!token.is("0123") && !token.is("uid:17") && !token.is(""));
    let of_app = Actor::Token { org: OrgId(id(9)), app: Some(AppId(id(3))), fingerprint: "f".to_owned() };
    assert!(of_app.is(&AppId(id(3)).to_string()) && !of_app.is(&OrgId(id(9)).to_string()));
    let user = Actor::User { uid: 17 };
    assert!(user.is("uid:17") && !user.is("uid:1") && !user.is("17"));
}

#[test]
fn an_entry_without_newer_fields_stays_readable() {
    let json = format!(
        r#"{{"id":"{}","operation":"x","org":"{}","actor":{{"kind":"server"}},"from":{{"kind":"start"}},"status":204}}"#,
        AuditId(id(1)),
        OrgId(id(9))
    );
    let read: Entry = serde_json::from_str(&json).expect("it is readable");
    assert_eq!((read.target, read.fields, read.actor), (Target::default(), vec![], Actor::Server));
}
