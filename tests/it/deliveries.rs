//! Lists of deliveries and of dead letters.

use serde_json::{Value, json};

use crate::support::{Api, Receiver, Reply, Setup};

fn messages(list: &Value) -> Vec<String> {
    let members = list["data"].as_array().expect("a list has members").iter();
    members.map(|delivery| delivery["msgId"].as_str().expect("it has a message").to_owned()).collect()
}

/// All that a list shows in this order, in pages of three; walking back from the
/// end shows the same.
async fn walk(api: &Api, path: &str, order: &str) -> Vec<String> {
    let page = async |iterator: &str| {
        let list = api.get(&format!("{path}?limit=3&order={order}&iterator={iterator}")).await;
        assert!(messages(&list).len() <= 3, "{list}");
        list
    };
    let (mut forward, mut pages) = (vec![], vec![page("").await]);
    loop {
        let last = pages.last().expect("there is one");
        forward.extend(messages(last));
        if last["done"] == true {
            break;
        }
        pages.push(page(last["iterator"].as_str().expect("it leads on")).await);
    }
    let members = |page: &&Value| !messages(page).is_empty();
    let mut last = pages.iter().rfind(members).expect("the list is not empty").clone();
    let mut back = messages(&last);
    loop {
        last = page(last["prevIterator"].as_str().expect("it leads back")).await;
        back.splice(0..0, messages(&last));
        if last["done"] == true {
            break;
        }
    }
    assert_eq!(back, forward, "{path} {order}");
    forward
}

#[tokio::test]
async fn deliveries_and_dead_letters_are_listed_both_ways() {
    let setup = Setup::new().set("retry.schedule", "0").set("limits.lane_window", "4");
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    receiver.always(Reply::Status(400));
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let mut sent = [vec![], vec![]];
    for _ in 0..8 {
        let message = api.send("shop", "order.paid", json!({})).await;
        api.until_state(&endpoint, &message, "dead").await;
        sent[0].push(message);
    }
    api.set(&endpoint, "paused").await;
    // Most of these lie behind the window.
    for _ in 0..11 {
        sent[1].push(api.send("shop", "order.paid", json!({})).await);
    }
    let server = server.kill().await.start().await;
    let api = server.api();
    for (list, sent) in [("dead-letter", &sent[0]), ("delivery", &sent[1])] {
        for path in [format!("/app/shop/{list}"), format!("/{list}")] {
            assert_eq!(walk(&api, &path, "ascending").await, *sent, "{path}");
            let newest_first: Vec<_> = sent.iter().rev().cloned().collect();
            assert_eq!(walk(&api, &path, "descending").await, newest_first, "{path}");
        }
    }
    assert_eq!(messages(&api.get("/app/shop/delivery?state=dead&order=ascending").await), sent[0]);
    let cancelled = api.post("/app/shop/delivery/cancel", json!({})).await;
    assert_eq!(cancelled, json!({ "cancelled": 11 }), "those behind the window, too");
    assert_eq!(messages(&api.get("/delivery").await), Vec::<String>::new());
    assert_eq!(messages(&api.get("/dead-letter?order=ascending").await), sent[0]);
}

#[tokio::test]
async fn deliveries_are_listed_and_cancelled_by_due_time() {
    let setup = Setup::new().set("retry.schedule", "0,3600");
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    receiver.next([Reply::Status(500), Reply::Held]);
    let api = server.api();
    let endpoint = api.register("shop", &receiver).await;
    let later = api.send("shop", "order.paid", json!({})).await;
    let later_due = api.until_waits(&endpoint, &later, "not_due").await["waits"]["until"].clone();
    let flying = api.send("shop", "order.paid", json!({})).await;
    receiver.expect(2).await;
    let flying_due = api.until_waits(&endpoint, &flying, "in_flight").await["dueAt"].clone();

    let text = |due: &Value| due.as_str().expect("it has a due time").to_owned();
    let (soon, late) = (text(&flying_due), text(&later_due));
    for (query, expected) in [
        ("state=scheduled".to_owned(), vec![&flying, &later]),
        ("state=in_flight".to_owned(), vec![&flying]),
        (format!("due_before={late}"), vec![&flying]),
        (format!("due_after={soon}"), vec![&later]),
        (format!("due_after={soon}&due_before={late}"), vec![]),
        (format!("state=in_flight&due_after={soon}"), vec![]),
    ] {
        for path in ["/app/shop/delivery", "/delivery"] {
            let listed = messages(&api.get(&format!("{path}?{query}")).await);
            assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{path}?{query}");
        }
    }
    let listed = server.run(&["delivery", "list", "--due-after", &soon]).json();
    assert_eq!(messages(&listed), [later.as_str()]);
    let listed = server.run(&["delivery", "list", "--app", "shop", "--in-flight"]).json();
    assert_eq!(messages(&listed), [flying.as_str()]);

    let cancelled = server.run(&["delivery", "cancel", "--app", "shop", "--due-after", &soon, "--all"]).json();
    assert_eq!(cancelled, json!({ "cancelled": 1 }));
    assert_eq!(api.delivery(&endpoint, &later).await["state"], "cancelled");
    receiver.release();
    api.until_state(&endpoint, &flying, "delivered").await;
}

#[tokio::test]
async fn lists_of_a_tenant_tell_nothing_of_another() {
    const LISTS: [&str; 4] = [
        "delivery?order=ascending",
        "delivery?order=descending",
        "dead-letter?order=ascending",
        "dead-letter?order=descending",
    ];
    let setup = Setup::new().set("retry.schedule", "0");
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    receiver.always(Reply::Status(400));
    let token = server.run(&["token", "create", "--org", "org_0ERdjjO8mz4LTB1vMSiOjvaTlO7"]).json();
    let (large, small) = (server.api(), server.api_over_tcp(token["token"].as_str()));
    // Lists go by endpoint, in the order in which they were made.
    for (api, app, count) in [(&large, "before", 5), (&small, "own", 2), (&large, "after", 5)] {
        let endpoint = api.register(app, &receiver).await;
        for _ in 0..count {
            let message = api.send(app, "order.paid", json!({})).await;
            api.until_state(&endpoint, &message, "dead").await;
        }
        api.set(&endpoint, "paused").await;
        for _ in 0..count {
            api.send(app, "order.paid", json!({})).await;
        }
    }
    for list in LISTS {
        let page = async |iterator: &str| {
            let page = small.get(&format!("/{list}&limit=2&iterator={iterator}")).await;
            assert_eq!(page, small.get(&format!("/app/own/{list}&limit=2&iterator={iterator}")).await, "{list}");
            page
        };
        let all = page("").await;
        assert_eq!((messages(&all).len(), &all["done"]), (2, &json!(true)), "{list}: {all}");
        // Neither does what lies beyond them.
        for end in ["iterator", "prevIterator"] {
            let beyond = page(all[end].as_str().expect("it names a member")).await;
            assert_eq!((messages(&beyond).len(), &beyond["done"]), (0, &json!(true)), "{list}: {beyond}");
        }
    }
    assert_eq!(walk(&large, "/delivery", "ascending").await.len(), 10);
}
