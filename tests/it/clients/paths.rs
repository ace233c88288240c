//! Paths that mean something else to whoever takes them apart.

use super::Shop;
use super::wire::exchange;
use crate::support::Setup;

#[tokio::test]
async fn a_path_means_what_it_says_and_leads_nowhere_else() {
    let shop = Shop::open(Setup::new()).await;
    let url = shop.server.url();
    let id = shop.api.get("/app/shop").await["id"].as_str().expect("an id").to_owned();
    let long = "a/".repeat(20_000);
    for (path, status) in [
        ("/api/v1/app/../app/shop".to_owned(), 404),
        ("/api/v1/../v1/app/shop".to_owned(), 404),
        ("/api/v1/app/%2e%2e/app/shop".to_owned(), 404),
        ("/api/v1/app/shop/%2e%2e/shop".to_owned(), 404),
        ("/api/v1/app/.".to_owned(), 404),
        ("/api/v1/app/%2e".to_owned(), 404),
        ("//api/v1/app/shop".to_owned(), 404),
        ("/api/v1//app/shop".to_owned(), 404),
        ("/api/v1/app//shop".to_owned(), 404),
        ("/api/v1/app/shop/".to_owned(), 404),
        ("/api/v1/app/shop%2f".to_owned(), 404),
        ("/api/v1/app%2fshop".to_owned(), 404),
        ("/api/v1/app/shop%2fmsg".to_owned(), 404),
        ("/api/v1/app/shop%5c".to_owned(), 404),
        ("/api/v1/app/shop%00".to_owned(), 404),
        ("/api/v1/app/shop%0d%0ax:y".to_owned(), 404),
        ("/api/v1/app/shop;x=y".to_owned(), 404),
        ("/api/v1/app/shop%3fx".to_owned(), 404),
        ("/api/v1/app/SHOP".to_owned(), 404),
        ("/API/v1/app/shop".to_owned(), 404),
        ("/api/v1/app/%73hop".to_owned(), 200),
        ("/api/v1/app/%2573hop".to_owned(), 404),
        (format!("/api/v1/app/{id}"), 200),
        (format!("/api/v1/app/{}", id.to_uppercase()), 404),
        (format!("/api/v1/app/{id}%20"), 404),
        ("/api/v1/app/%".to_owned(), 404),
        ("/api/v1/app/%ff".to_owned(), 422),
        ("/api/v1/app/%zz".to_owned(), 404),
        (format!("/api/v1/app/{}", "a".repeat(10_000)), 404),
        (format!("/{long}"), 404),
        (format!("/api/v1/app/{}", "a".repeat(100_000)), 431),
        ("*".to_owned(), 404),
        ("http://elsewhere/api/v1/app/shop".to_owned(), 200),
    ] {
        let auth = format!("host: x\r\nauthorization: Bearer {}\r\n", shop.token);
        let request = format!("GET {path} HTTP/1.1\r\n{auth}connection: close\r\n\r\n");
        let answers = exchange(&url, request).await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [status], "{path:.100}: {answers:?}");
    }
    shop.unharmed().await;
}
