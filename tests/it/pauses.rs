//! What a person has paused: told to programs when it is done, and in the log of each start until it goes on.

use serde_json::{Value, json};

use crate::support::{Receiver, Server, Setup};

const ALL: &str = "all dispatch is paused";
const ENDPOINTS: &str = "endpoints are paused";

fn says(server: &Server) -> [bool; 2] {
    [ALL, ENDPOINTS].map(|text| server.log().contains(text))
}

#[tokio::test]
async fn a_start_says_what_is_paused_and_how_it_goes_on() {
    let (server, receiver) = (Setup::new().start().await, Receiver::start().await);
    server.api().app("shop").await;
    server.api().endpoint("shop", &receiver, json!({ "uid": "main" })).await;
    assert_eq!(says(&server), [false, false]);
    server.run(&["pause"]).ok();
    let server = server.stop().await.start().await;
    assert_eq!(says(&server), [true, false]);
    assert!(server.log().contains("resume with `postrider resume`"), "{}", server.log());
    server.run(&["resume"]).ok();
    server.run(&["pause", "--app", "shop", "--endpoint", "main"]).ok();
    let server = server.stop().await.start().await;
    assert_eq!(says(&server), [false, true]);
    assert!(server.log().contains("postrider resume --app APP"), "{}", server.log());
    server.run(&["resume", "--app", "shop", "--endpoint", "main"]).ok();
    let server = server.stop().await.start().await;
    assert_eq!(says(&server), [false, false]);

    let setup = Setup::new();
    assert_eq!(says(&setup.clone().argument("--paused").start().await), [true, false]);
    assert_eq!(says(&setup.start().await), [true, false], "it stays so");
}

#[tokio::test]
async fn what_was_done_is_told_to_programs_where_there_is_nothing_to_show() {
    let (server, receiver) = (Setup::new().start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    api.endpoint("shop", &receiver, json!({ "uid": "main" })).await;
    api.post("/event-type", json!({ "name": "a.b", "description": "" })).await;
    let one = ["--app", "shop", "--endpoint", "main"];
    let told: [(&[&str], Value); 7] = [
        (&["pause"], json!({ "app": null, "endpoint": null, "paused": true })),
        (&["resume"], json!({ "app": null, "endpoint": null, "paused": false })),
        (&[&["pause"], &one[..]].concat(), json!({ "app": "shop", "endpoint": "main", "paused": true })),
        (&[&["resume"], &one[..]].concat(), json!({ "app": "shop", "endpoint": "main", "paused": false })),
        (&["event-type", "delete", "a.b"], json!({ "name": "a.b", "archived": true })),
        (
            &["endpoint", "delete", "--app", "shop", "main"],
            json!({ "app": "shop", "endpoint": "main", "deleted": true }),
        ),
        (&["app", "delete", "shop"], json!({ "app": "shop", "deleted": true })),
    ];
    for (arguments, object) in told {
        assert_eq!(server.run(arguments).json(), object, "{arguments:?}");
    }
}
