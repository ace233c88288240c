//! An endpoint that moves to another host does not take its credentials along.

use serde_json::json;

use crate::support::{Receiver, Server};

const TOKEN: &str = "Bearer t0ken-of-the-first-host";

#[tokio::test]
async fn credentials_in_headers_do_not_follow_a_url_to_another_host() {
    let (server, first, second) = (Server::start().await, Receiver::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let headers = json!({ "authorization": TOKEN, "x-shop": "17" });
    let endpoint = api.endpoint("shop", &first, json!({ "headers": headers, "uid": "main" })).await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);

    for method in ["PATCH", "PUT"] {
        let refused = api.call(method, &path, &json!({ "url": second.url() })).await;
        assert_eq!(refused.status, 422, "{method}: {refused:?}");
        let detail = &refused.json()["detail"][0];
        assert_eq!(detail["loc"], json!(["body", "headers"]), "{method}: {detail}");
        let told = detail["msg"].as_str().expect("a sentence");
        assert!(told.contains("authorization") && !told.contains("t0ken"), "{told}");
        assert_eq!(api.get(&path).await["url"], first.url(), "{method}: nothing has changed");
        // The same place is no other one.
        let same = json!({ "url": format!("{}?x=1", first.url()), "uid": "main" });
        assert_eq!(api.call(method, &path, &same).await.status, 200, "{method}");
        assert_eq!(api.call(method, &path, &json!({ "url": first.url(), "uid": "main" })).await.status, 200);
    }
    let refused = server.run(&["endpoint", "update", "--app", "shop", "main", "--url", &second.url()]);
    assert!(refused.code != Some(0) && refused.stderr.contains("authorization"), "{refused:?}");
    api.send("shop", "order.paid", json!({})).await;
    let [arrival] = &first.expect(1).await[..] else { panic!("one event, one request") };
    assert_eq!((arrival.header("authorization"), arrival.header("x-shop")), (TOKEN, "17"));

    // Given anew they are whoever's who gives them.
    let moved = json!({ "url": second.url(), "headers": { "authorization": "Bearer of-the-second" } });
    assert_eq!(api.call("PATCH", &path, &moved).await.status, 200);
    api.send("shop", "order.paid", json!({})).await;
    let [arrival] = &second.expect(1).await[..] else { panic!("one event, one request") };
    assert_eq!(arrival.header("authorization"), "Bearer of-the-second");
    assert!(arrival.is_signed_with(&endpoint.secret), "what it signs with tells nothing of the secret and stays");
    // Without them it moves as it likes.
    assert_eq!(api.call("PUT", &format!("{path}/headers"), &json!({ "headers": {} })).await.status, 204);
    assert_eq!(api.call("PATCH", &path, &json!({ "url": first.url() })).await.status, 200);
    assert!(second.arrivals().iter().all(|arrival| arrival.header("authorization") != TOKEN));
}

#[tokio::test]
async fn the_password_of_a_url_does_not_follow_it_to_another_host() {
    let (server, first, second) = (Server::start().await, Receiver::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let url = first.url().replace("://", "://till:pa55word@");
    let endpoint = api.endpoint("shop", &first, json!({ "url": url })).await;
    let path = format!("/app/shop/endpoint/{}", endpoint.id);
    let shown = api.get(&path).await["url"].as_str().expect("a URL").to_owned();
    let host = |receiver: &Receiver| receiver.url().replace("http://", "").replace("/hook", "");
    let elsewhere = shown.replace(&host(&first), &host(&second));
    for method in ["PATCH", "PUT"] {
        let refused = api.call(method, &path, &json!({ "url": elsewhere })).await;
        assert_eq!((refused.status, &refused.json()["detail"][0]["loc"]), (422, &json!(["body", "url"])), "{method}");
        assert_eq!(api.call(method, &path, &json!({ "url": shown })).await.status, 200, "{method}");
    }
    let bare = api.call("PATCH", &path, &json!({ "url": second.url() })).await;
    assert_eq!(bare.status, 200);
    api.send("shop", "order.paid", json!({})).await;
    let [arrival] = &second.expect(1).await[..] else { panic!("one event, one request") };
    assert!(arrival.headers.get("authorization").is_none(), "{arrival:?}");
}
