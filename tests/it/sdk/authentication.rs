//! `svix.authentication()`.

use svix::api::Svix;

use super::{World, client, refused};

#[tokio::test]
async fn who_has_no_token_is_told_so_in_the_clients_words() {
    let world = World::start().await;
    let nobody: Svix = client(&world.server, "nonsense".into());
    let refusal = refused("a list", nobody.application().list(None)).await;
    assert_eq!(refusal, (401, "authentication_failed".into()));
}
