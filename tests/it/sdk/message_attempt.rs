//! `svix.message_attempt()`.

use svix::api::{MessageAttemptListByEndpointOptions, MessageAttemptListByMsgOptions};
use svix::api::{MessageAttemptTriggerType, MessageStatus, StatusCodeClass};

use super::{World, ok, refused};
use crate::support::{Reply, Setup};

#[tokio::test]
async fn attempts_are_listed_by_message_and_by_endpoint() {
    let world = World::with(Setup::new().set("retry.schedule", "0,0")).await;
    world.receiver.next([Reply::Status(500), Reply::Status(204)]);
    world.app("shop").await;
    let endpoint = world.endpoint("shop").await;
    let message = world.delivered("shop", &endpoint, "order.paid").await;
    let attempts = world.client.message_attempt();

    let list = ok("by message", attempts.list_by_msg("shop".into(), message.id.clone(), None)).await;
    let [second, first] = &list.data[..] else { panic!("two attempts: {list:?}") };
    assert_eq!((first.status, second.status), (MessageStatus::Fail, MessageStatus::Success));
    assert_eq!((first.response_status_code, second.response_status_code), (500, 204));
    assert_eq!((&first.url, first.trigger_type), (&world.receiver.url(), MessageAttemptTriggerType::Scheduled));
    assert_eq!((&first.msg_id, &first.endpoint_id), (&message.id, &endpoint.id));
    assert!(list.done && first.id.starts_with("atmpt_") && first.timestamp <= second.timestamp);
    let one = attempts.get("shop".into(), message.id.clone(), first.id.clone());
    assert_eq!(ok("get", one).await.id, first.id);

    let by_msg = async |options| {
        let list = attempts.list_by_msg("shop".into(), message.id.clone(), Some(options));
        ok("by message", list).await.data.into_iter().map(|attempt| attempt.id).collect::<Vec<_>>()
    };
    let none = MessageAttemptListByMsgOptions::default;
    assert_eq!(
        by_msg(MessageAttemptListByMsgOptions { status: Some(MessageStatus::Fail), ..none() }).await,
        std::slice::from_ref(&first.id)
    );
    let class = Some(StatusCodeClass::Code2xx);
    assert_eq!(
        by_msg(MessageAttemptListByMsgOptions { status_code_class: class, ..none() }).await,
        std::slice::from_ref(&second.id)
    );
    let id = Some(endpoint.id.clone());
    assert_eq!(by_msg(MessageAttemptListByMsgOptions { endpoint_id: id, ..none() }).await.len(), 2);

    let page = async |iterator| {
        let options = MessageAttemptListByEndpointOptions {
            limit: Some(1),
            iterator,
            event_types: Some(vec!["order.paid".to_owned()]),
            ..MessageAttemptListByEndpointOptions::default()
        };
        let list = attempts.list_by_endpoint("shop".into(), endpoint.id.clone(), Some(options));
        ok("by endpoint", list).await
    };
    let page_1 = page(None).await;
    let page_2 = page(page_1.iterator).await;
    assert_eq!(page_1.data[0].id, second.id);
    assert_eq!((&page_2.data[0].id, page_1.done, page_2.done), (&first.id, false, true));
    assert_eq!(page(page_2.prev_iterator).await.data[0].id, second.id);
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let world = World::start().await;
    world.app("shop").await;
    let attempts = world.client.message_attempt();
    let none = "msg_000000000000000000000000000".to_owned();
    let refusal = refused("by message", attempts.list_by_msg("shop".into(), none, None)).await;
    assert_eq!(refusal, (404, "not_found".into()));
    let none = "ep_000000000000000000000000000".to_owned();
    let refusal = refused("by endpoint", attempts.list_by_endpoint("shop".into(), none, None)).await;
    assert_eq!(refusal, (404, "not_found".into()));
}
