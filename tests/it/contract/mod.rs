//! What the OpenAPI document says, held against the real binary: every
//! operation that is in it, without a list by hand.

mod bodies;
mod document;
mod fields;
mod lookups;
mod names;
mod shop;
mod values;

use self::document::Document;
use self::shop::Shop;

/// A server with something in it, and its own description.
async fn shop() -> (Shop, Document) {
    let shop = Shop::open().await;
    let document = Document::read(&shop.api().get("/openapi.json").await);
    (shop, document)
}
