//! Requests of which two servers could see two different things (RFC 9112,
//! section 11.2).

use super::Shop;
use super::wire::exchange;
use crate::support::Setup;

const BODY: &str = r#"{"eventType":"order.paid","payload":{}}"#;

impl Shop {
    /// One message, with these header lines and these bytes behind the head, and
    /// then a second request that would delete the application.
    async fn smuggle(&self, headers: &str, body: &str) -> Vec<u16> {
        let auth = format!("host: x\r\nauthorization: Bearer {}\r\n", self.token);
        let hidden = format!("DELETE /api/v1/app/shop HTTP/1.1\r\n{auth}connection: close\r\n\r\n");
        let request = format!("POST /api/v1/app/shop/msg HTTP/1.1\r\n{auth}{headers}\r\n{body}{hidden}");
        exchange(&self.server.url(), request).await.iter().map(|answer| answer.status).collect()
    }
}

#[tokio::test]
async fn a_request_whose_length_is_not_certain_is_refused_with_all_that_follows() {
    let shop = Shop::open(Setup::new()).await;
    let length = BODY.len();
    let chunked = format!("{length:x}\r\n{BODY}\r\n0\r\n\r\n");
    for (headers, body) in [
        (format!("content-length: {length}\r\ncontent-length: 0\r\n"), BODY),
        (format!("content-length: {length}, 0\r\n"), BODY),
        (format!("content-length: +{length}\r\n"), BODY),
        ("content-length: -1\r\n".to_owned(), BODY),
        (format!("content-length: 0x{length:x}\r\n"), BODY),
        ("content-length: 18446744073709551616\r\n".to_owned(), BODY),
        ("content-length: 18446744073709551615\r\n".to_owned(), BODY),
        ("content-length:\r\n".to_owned(), BODY),
        (format!("content-length : {length}\r\n"), BODY),
        (format!("x: y\r\n content-length: {length}\r\n"), BODY),
        ("transfer-encoding: identity\r\n".to_owned(), BODY),
        ("transfer-encoding: xchunked\r\n".to_owned(), &chunked),
        ("transfer-encoding: chunked, identity\r\n".to_owned(), &chunked),
        ("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n".to_owned(), &chunked),
        ("transfer-encoding: gzip, chunked\r\n".to_owned(), &chunked),
        ("transfer-encoding: identity, chunked\r\n".to_owned(), &chunked),
        ("transfer-encoding: chunked, chunked\r\n".to_owned(), &chunked),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n".to_owned(), &chunked),
        ("transfer-encoding : chunked\r\n".to_owned(), &chunked),
        ("transfer-encoding: \u{b}chunked\r\n".to_owned(), &chunked),
    ] {
        let statuses = shop.smuggle(&headers, body).await;
        // A length that no memory holds is "too large" to the HTTP library.
        let expected = if headers.contains("18446744073709551615") { 431 } else { 400 };
        assert_eq!(statuses, [expected], "{headers:?}");
    }
    shop.unharmed().await;
}

#[tokio::test]
async fn a_chunk_that_is_none_ends_the_request_and_the_connection() {
    let shop = Shop::open(Setup::new()).await;
    let length = BODY.len();
    for body in [
        format!("zz\r\n{BODY}\r\n0\r\n\r\n"),
        format!("-1\r\n{BODY}\r\n0\r\n\r\n"),
        format!("+{length:x}\r\n{BODY}\r\n0\r\n\r\n"),
        format!("0x{length:x}\r\n{BODY}\r\n0\r\n\r\n"),
        format!("fffffffffffffffff\r\n{BODY}\r\n0\r\n\r\n"),
        format!("{length:x}\r\n{BODY}xx0\r\n\r\n"),
        format!("1\r\n{BODY}\r\n0\r\n\r\n"),
        format!("\r\n{BODY}\r\n0\r\n\r\n"),
        format!("{length:x};{}\r\n{BODY}\r\n0\r\n\r\n", "x".repeat(100_000)),
        format!("{length:x}\n{BODY}\r\n0\r\n\r\n"),
    ] {
        let statuses = shop.smuggle("transfer-encoding: chunked\r\n", &body).await;
        assert_eq!(statuses, [400], "{body:.60}");
    }
    shop.unharmed().await;
}

/// What is chunked is read so, and nothing that comes behind it (RFC 9112, section 6.1).
#[tokio::test]
async fn after_a_request_with_both_lengths_nothing_is_read() {
    let shop = Shop::open(Setup::new()).await;
    let chunked = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    for headers in
        ["content-length: 4\r\ntransfer-encoding: chunked\r\n", "transfer-encoding: chunked\r\ncontent-length: 0\r\n"]
    {
        assert_eq!(shop.smuggle(headers, &chunked).await, [202], "{headers:?}");
    }
    shop.receiver.expect(2).await;
    shop.unharmed().await;
}
