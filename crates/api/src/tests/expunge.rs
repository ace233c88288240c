use http::StatusCode;
use serde_json::json;

use super::attempt::{Setup, setup};
use super::client::token_of;
use super::fake::org;

#[tokio::test]
async fn a_payload_is_removed_by_the_messages_id_or_event_id_and_once_more_is_no_error() {
    let Setup { world, message, .. } = setup().await;
    let path = format!("/api/v1/app/shop/msg/{message}");
    for name in [message.as_str(), "e", "e"] {
        let answer = world.delete(&format!("/api/v1/app/shop/msg/{name}/content")).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::NO_CONTENT, 0));
    }
    assert_eq!(world.get(&path).await.is(StatusCode::OK)["payload"], json!({"expired": true}));
    let bare = world.get(&format!("{path}?with_content=false")).await.is(StatusCode::OK);
    assert_eq!(bare["payload"], json!({}));
    let listed = world.get("/api/v1/app/shop/msg").await.is(StatusCode::OK);
    assert_eq!(listed["data"][0]["payload"], json!({"expired": true}));
}

#[tokio::test]
async fn an_answer_is_removed_and_says_so() {
    let Setup { world, message, attempts, .. } = setup().await;
    let path = |attempt: &str| format!("/api/v1/app/shop/msg/{message}/attempt/{attempt}");
    for attempt in &attempts {
        let answer = world.delete(&format!("{}/content", path(attempt))).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
    let shown = world.get(&path(&attempts[0])).await.is(StatusCode::OK);
    assert_eq!((&shown["response"], &shown["responseStatusCode"]), (&json!("EXPUNGED"), &json!(500)));
    // Without an answer the class of the failure is all that is ever shown.
    assert_eq!(world.get(&path(&attempts[1])).await.is(StatusCode::OK)["response"], "connect");
    let list = world.get(&format!("/api/v1/app/shop/attempt/msg/{message}?with_content=false")).await;
    assert_eq!(list.is(StatusCode::OK)["data"][0]["response"], "");
}

#[tokio::test]
async fn what_is_not_there_or_somebody_elses_is_not_removed() {
    let Setup { world, message, attempts, .. } = setup().await;
    world.app("other").await;
    let other = world.message("shop", "b").await;
    let writes = world.writes();
    for path in [
        "shop/msg/msg_x/content".to_owned(),
        "shop/msg/unknown/content".to_owned(),
        "nowhere/msg/e/content".to_owned(),
        format!("other/msg/{message}/content"),
        format!("shop/msg/{message}/attempt/atmpt_x/content"),
        format!("shop/msg/{other}/attempt/{}/content", attempts[0]),
        format!("other/msg/{message}/attempt/{}/content", attempts[0]),
    ] {
        world.delete(&format!("/api/v1/app/{path}")).await.is_error(StatusCode::NOT_FOUND, "not_found");
    }
    let stranger = world.with_token(token_of(org(2)));
    let path = format!("/api/v1/app/shop/msg/{message}/content");
    stranger.delete(&path).await.is_error(StatusCode::NOT_FOUND, "not_found");
    assert_eq!(world.writes(), writes);
}
