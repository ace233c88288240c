//! Headers that keep browsers from making more of an answer than it is.

use crate::support::Server;

#[tokio::test]
async fn every_answer_is_what_it_says_and_is_kept_by_nobody() {
    let server = Server::start().await;
    let (socket, tcp) = (server.api(), server.api_over_tcp(None));
    socket.app("shop").await;
    for (door, method, path, status) in [
        (&socket, "GET", "/api/v1/app", 200),
        (&socket, "GET", "/api/v1/app/none", 404),
        (&socket, "POST", "/api/v1/app/shop/msg", 422),
        (&tcp, "GET", "/api/v1/app", 401),
        (&tcp, "GET", "/api/v1/openapi.json", 200),
        (&tcp, "GET", "/health/live", 200),
        (&tcp, "GET", "/nowhere", 404),
        (&tcp, "PUT", "/health/live", 405),
        (&server.metrics_door(), "GET", "/metrics", 200),
    ] {
        let answer = door.ask(method, path, &[], "").await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{method} {path}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{method} {path}");
        // Browsers would believe it of what they got in clear, too, if they were not told not to.
        for name in ["strict-transport-security", "server"] {
            assert!(!answer.headers.contains_key(name), "{method} {path}: {name}");
        }
    }
}

#[tokio::test]
async fn the_page_for_people_may_load_nothing_and_be_framed_by_nobody() {
    let page = Server::start().await.api_over_tcp(None).ask("GET", "/docs", &[], "").await;
    assert_eq!(page.status, 200);
    let policy = page.headers["content-security-policy"].to_str().expect("a text");
    for part in ["default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("script"), "{policy}");
    for (name, value) in
        [("referrer-policy", "no-referrer"), ("x-frame-options", "DENY"), ("x-content-type-options", "nosniff")]
    {
        assert_eq!(page.headers[name], value);
    }
}
