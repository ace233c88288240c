//! Credentials stay with the proxy and the authorities that they were set for, as with the URL.

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::support::Server;

/// The certificate of an authority, and its key.
fn authority() -> (String, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

fn with(body: &Value, more: &Value) -> Value {
    let mut body = body.clone();
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

#[tokio::test]
async fn they_go_to_no_other_proxy_and_under_no_other_authority() {
    let server = Server::start().await;
    let api = server.api();
    api.app("shop").await;
    let ((certificate, key), (first, _), (second, _)) = (authority(), authority(), authority());
    let url = "https://127.0.0.1:9/hook";
    let (proxy, other) = ("http://u:pa55@127.0.0.1:3128", "http://127.0.0.1:3129");
    let oauth =
        json!({ "type": "oauth2", "tokenUrl": "http://127.0.0.1:9/", "clientId": "a", "clientSecret": "s3cret" });
    let (client, shown_client) = (
        json!({ "clientCertificate": certificate, "clientKey": key }),
        json!({ "clientCertificate": certificate, "clientKey": "***" }),
    );
    let bearer = json!({ "type": "bearer", "token": "s3cret" });
    for (number, (own, field, anew)) in [
        (json!({ "auth": bearer }), json!(["body", "auth", "token"]), json!({ "auth": bearer })),
        (json!({ "auth": oauth }), json!(["body", "auth", "clientSecret"]), json!({ "auth": null })),
        (
            json!({ "headers": { "authorization": "s3cret" } }),
            json!(["body", "headers"]),
            json!({ "headers": { "authorization": "s3cret" } }),
        ),
        (
            json!({ "url": url.replace("://", "://till:s3cret@") }),
            json!(["body", "url"]),
            json!({ "url": url.replace("://", "://till:s3cret@") }),
        ),
        (json!({ "tls": client }), json!(["body", "tls", "clientKey"]), json!({ "tls": client })),
    ]
    .into_iter()
    .enumerate()
    {
        let uid = format!("e{number}");
        let path = format!("/app/shop/endpoint/{uid}");
        api.post("/app/shop/endpoint", with(&json!({ "url": url, "uid": uid }), &own)).await;
        let has_client = own.get("tls").is_some();
        let tls = |ca: &str| {
            let ca = json!({ "ca": ca });
            json!({ "tls": if has_client { with(&shown_client, &ca) } else { ca } })
        };
        let same = |body: &Value| with(&json!({ "url": api_url(&own, url), "uid": uid }), body);
        let refused = async |change: &Value| {
            let before = api.get(&path).await;
            for (method, body) in [("PATCH", change.clone()), ("PUT", same(change))] {
                let answer = api.call(method, &path, &body).await;
                assert_eq!((answer.status, &answer.json()["detail"][0]["loc"]), (422, &field), "{method} {change}");
                assert!(!String::from_utf8_lossy(&answer.body).contains("s3cret"), "{answer:?}");
            }
            assert_eq!(api.get(&path).await, before, "nothing has changed");
        };
        // None, and then one.
        refused(&json!({ "proxy": proxy })).await;
        refused(&tls(&first)).await;
        api.patch(&path, with(&json!({ "proxy": proxy }), &anew)).await;
        if anew["auth"].is_null() && anew.get("auth").is_some() {
            // It was removed.
            api.patch(&path, own.clone()).await;
        }
        // Another one; by another user it is the same.
        refused(&json!({ "proxy": other })).await;
        api.patch(&path, json!({ "proxy": "http://0ther:user@127.0.0.1:3128" })).await;
        // To go without gives nobody anything, but there is no way back.
        api.patch(&path, json!({ "proxy": null })).await;
        refused(&json!({ "proxy": other })).await;

        // The same of authorities.
        let own_ca = |ca: &str| {
            let ca = json!({ "ca": ca });
            json!({ "tls": if has_client { with(&client, &ca) } else { ca } })
        };
        api.patch(&path, with(&own, &own_ca(&first))).await;
        refused(&tls(&second)).await;
        api.patch(&path, tls(&first)).await;
        api.patch(&path, json!({ "tls": if has_client { shown_client.clone() } else { Value::Null } })).await;
        refused(&tls(&second)).await;
    }
}

/// The endpoint's URL as it is shown.
fn api_url(own: &Value, url: &str) -> String {
    if own.get("url").is_some() { url.replace("://", "://***@") } else { url.to_owned() }
}
