//! Client certificates, and authorities in the place of the system's.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto, version};

use crate::support::{Receiver, Server, Setup, in_time, run};

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn issuer(name: &str) -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// A client certificate and its key, in PEM form.
fn identity(issuer: &Issuer, name: &str) -> (String, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2120, 1, 1));
    let key = KeyPair::generate().expect("a key");
    (params.signed_by(&key, issuer).expect("a certificate").pem(), key.serialize_pem())
}

/// A receiver at an address of this host that wants a certificate of `clients`; says which it got,
/// and answers 200.
async fn demanding(servers: &Issuer, clients: &Issuer) -> (String, mpsc::UnboundedReceiver<Vec<u8>>) {
    let mut roots = RootCertStore::empty();
    roots.add(clients.der().clone()).expect("an authority");
    let provider = Arc::new(crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    let certificate: CertificateDer<'static> = params.signed_by(&key, servers).expect("a certificate").into();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .expect("supported versions")
        .with_client_cert_verifier(verifier.expect("a verifier"))
        .with_single_cert(vec![certificate], key)
        .expect("the key belongs to the certificate");
    let tls = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let url = format!("https://{}/hook", listener.local_addr().expect("it is bound"));
    let (say, said) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (tls, say) = (tls.clone(), say.clone());
            tokio::spawn(async move {
                let mut stream = tls.accept(tcp).await?;
                let peer = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                let peer = peer.map(|certificate| certificate.to_vec()).unwrap_or_default();
                if stream.read(&mut [0; 16 << 10]).await? == 0 {
                    return Ok(());
                }
                let _ = say.send(peer);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
                stream.shutdown().await
            });
        }
    });
    (url, said)
}

#[tokio::test]
async fn an_endpoint_gets_the_certificate_that_was_set_for_it_and_nobody_sees_the_key() {
    let (servers, clients) = (issuer("servers"), issuer("clients"));
    let (url, mut said) = demanding(&servers, &clients).await;
    let server = Server::start().await;
    let api = server.api();
    api.app("shop").await;
    let (certificate, key) = identity(&clients, "a shop");
    let tls = json!({ "clientCertificate": certificate, "clientKey": key, "ca": servers.pem() });
    let made = api.post("/app/shop/endpoint", json!({ "url": url, "uid": "main", "tls": tls })).await;
    let shown = json!({ "clientCertificate": certificate, "clientKey": "***", "ca": servers.pem() });
    assert_eq!(made["tls"], shown);
    let [client, ca] = &made["certificates"].as_array().expect("a list")[..] else { panic!("two: {made}") };
    assert_eq!((&client["role"], &client["subject"]), (&json!("client"), &json!("CN=a shop")));
    assert_eq!(client["expiresAt"], "2120-01-01T00:00:00.000Z");
    assert_eq!(client["fingerprint"].as_str().map(str::len), Some(64));
    assert_eq!((&ca["role"], &ca["subject"]), (&json!("ca"), &json!("CN=servers")));

    // What is shown may be written back, and the server started anew.
    api.patch("/app/shop/endpoint/main", json!({ "tls": shown, "description": "x" })).await;
    let server = server.stop().await.start().await;
    server.api().send("shop", "order.paid", json!({})).await;
    let got = in_time("the request", said.recv()).await.expect("the receiver runs");
    let own = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
    assert_eq!(got, own.to_vec());
    let file = server.setup.home().join("key.pem");
    std::fs::write(&file, &key).expect("it can be written");
    let certificate_file = server.setup.home().join("certificate.pem");
    std::fs::write(&certificate_file, &certificate).expect("it can be written");
    let [file, certificate_file] = [&file, &certificate_file].map(|path| path.to_str().expect("UTF-8"));
    let updated =
        server.run(&["endpoint", "update", "--app", "shop", "main", "--tls-cert", certificate_file, "--tls-key", file]);
    assert_eq!(updated.json()["tls"], json!({ "clientCertificate": certificate, "clientKey": "***" }));
    let removed = server.run(&["endpoint", "update", "--app", "shop", "main", "--no-tls"]);
    assert_eq!((&removed.json()["tls"], &removed.json()["certificates"]), (&Value::Null, &json!([])));
}

/// A file that its owner alone can read.
fn file(setup: &Setup, name: &str, content: &str) -> String {
    let path = setup.home().join(name);
    std::fs::write(&path, content).expect("it can be written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("it is ours");
    path.to_str().expect("UTF-8").to_owned()
}

#[tokio::test]
async fn an_endpoint_without_a_certificate_gets_the_servers() {
    let (servers, clients) = (issuer("servers"), issuer("clients"));
    let (url, mut said) = demanding(&servers, &clients).await;
    let ((certificate, key), (own, own_key)) = (identity(&clients, "the server"), identity(&clients, "a shop"));
    let setup = Setup::new();
    let with = [
        ("dispatch.ca_file", file(&setup, "ca.pem", &servers.pem())),
        ("dispatch.client_cert", file(&setup, "client.pem", &certificate)),
        ("dispatch.client_key", file(&setup, "client.key", &key)),
    ];
    let server = with.iter().fold(setup, |setup, (name, path)| setup.set(name, path)).start().await;
    let api = server.api();
    api.app("shop").await;
    api.post("/app/shop/endpoint", json!({ "url": url, "uid": "main" })).await;
    let (only_ca, its_own) =
        (json!({ "ca": servers.pem() }), json!({ "clientCertificate": own, "clientKey": own_key }));
    for (tls, expected) in
        [(Value::Null, &certificate), (only_ca, &certificate), (its_own, &own), (Value::Null, &certificate)]
    {
        api.patch("/app/shop/endpoint/main", json!({ "tls": tls })).await;
        api.send("shop", "order.paid", json!({})).await;
        let got = in_time("the request", said.recv()).await.expect("the receiver runs");
        let expected = CertificateDer::from_pem_slice(expected.as_bytes()).expect("a certificate");
        assert_eq!(got, expected.to_vec(), "{tls}");
    }
    let shown = api.get("/app/shop/endpoint/main").await;
    assert_eq!((&shown["tls"], &shown["certificates"]), (&Value::Null, &json!([])), "it is not the endpoint's");
}

#[tokio::test]
async fn a_bad_certificate_of_the_servers_is_refused_by_name_before_anything_is_sent() {
    let clients = issuer("clients");
    let ((certificate, key), (_, other_key)) = (identity(&clients, "a"), identity(&clients, "b"));
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for (cert, key, mode, says) in [
        (&certificate, &other_key, 0o600, "dispatch.client_key: PATH/key.pem is not the key of the certificate"),
        (&key, &key, 0o600, "dispatch.client_cert: PATH/cert.pem holds no certificate in PEM form"),
        (&certificate, &certificate, 0o600, "dispatch.client_key: PATH/key.pem holds no private key in PEM form"),
        (&certificate, &encrypted, 0o600, "takes the passphrase off"),
        (&certificate, &key, 0o644, "dispatch.client_key: PATH/key.pem is open to all users (mode 0644)"),
        (&certificate, &key, 0, "dispatch.client_key: failed to read PATH/key.pem: No such file"),
    ] {
        let setup = Setup::new();
        let (cert, key) = (file(&setup, "cert.pem", cert), file(&setup, "key.pem", key));
        match mode {
            0 => std::fs::remove_file(&key).expect("it is there"),
            mode => std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).expect("it is ours"),
        }
        let says = says.replace("PATH", setup.home().to_str().expect("UTF-8"));
        let sets = [format!("dispatch.client_cert={cert}"), format!("dispatch.client_key={key}")];
        let checked = run(setup.data_dir(), &["check-config", "--set", &sets[0], "--set", &sets[1]]);
        let started = setup.set("dispatch.client_cert", &cert).set("dispatch.client_key", &key).refused().await;
        assert_eq!((started.code, checked.code), (Some(64), Some(64)), "{started:?} {checked:?}");
        assert!(started.stderr.contains(&says) && checked.stderr.contains(&says), "{says}\n{started:?}\n{checked:?}");
    }
}

#[tokio::test]
async fn the_command_line_reads_it_from_files_and_says_what_is_wrong_with_them() {
    let (servers, clients) = (issuer("servers"), issuer("clients"));
    let (url, mut said) = demanding(&servers, &clients).await;
    let server = Server::start().await;
    server.api().app("shop").await;
    let (certificate, key) = identity(&clients, "a shop");
    let file = |name: &str, text: &str| {
        let path = server.setup.home().join(name);
        std::fs::write(&path, text).expect("it can be written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (ca, junk) = (file("ca.pem", &servers.pem()), file("junk.pem", "no certificate"));
    let (own, own_key) = (file("own.pem", &certificate), file("own.key", &key));
    let run = |what: &[&str], flags: &[&str]| server.run(&[&["endpoint"], what, &["--app", "shop"], flags].concat());
    let create = |flags: &[&str]| run(&["create", "--url", &url], flags);
    let update = |flags: &[&str]| run(&["update", "main"], flags);
    let all = ["--uid", "main", "--tls-cert", &own, "--tls-key", &own_key, "--tls-ca", &ca];
    let made = create(&all);
    let shown = json!({ "clientCertificate": certificate, "clientKey": "***", "ca": servers.pem() });
    assert_eq!(made.json()["tls"], shown);
    server.api().send("shop", "order.paid", json!({})).await;
    in_time("the request", said.recv()).await.expect("the receiver runs");

    let missing = format!("{ca}.none");
    for (flags, code, says) in [
        (&["--tls-ca", &missing][..], 64, &*missing),
        (&["--tls-cert", &own], 64, "--tls-key"),
        (&["--tls-key", &own_key], 64, "--tls-cert"),
        (&["--tls-ca", &junk], 1, "tls.ca: "),
        (&["--tls-ca", &own_key], 1, "tls.ca: "),
        (&["--tls-cert", &junk, "--tls-key", &own_key], 1, "tls.clientCertificate: "),
        (&["--tls-cert", &own, "--tls-key", &junk], 1, "tls.clientKey: "),
    ] {
        for ran in [create(flags), update(flags)] {
            assert!(ran.code == Some(code) && ran.stderr.contains(says), "{flags:?}: {ran:?}");
            assert!(!key.lines().any(|line| line.len() > 40 && ran.stderr.contains(line)), "{ran:?}");
        }
    }
    let both = update(&["--tls-ca", &ca, "--no-tls"]);
    assert!(both.code == Some(64) && both.stderr.contains("--no-tls"), "{both:?}");
    let there = server.api().get("/app/shop/endpoint").await;
    assert_eq!(there["data"].as_array().map(Vec::len), Some(1), "{there}");
    assert_eq!(there["data"][0]["tls"], shown, "nothing has changed");

    let alone = update(&["--tls-ca", &ca]);
    assert_eq!(alone.json()["tls"], json!({ "ca": servers.pem() }), "given alone it takes the certificate away");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name_and_changes_nothing() {
    let (server, receiver) = (Server::start().await, Receiver::start().await);
    let api = server.api();
    api.app("shop").await;
    let clients = issuer("clients");
    let ((certificate, key), (_, other_key)) = (identity(&clients, "a"), identity(&clients, "b"));
    let url = "https://example.com/hook";
    let tls = json!({ "clientCertificate": certificate, "clientKey": key });
    api.post("/app/shop/endpoint", json!({ "url": url, "uid": "main", "tls": tls })).await;
    let before = api.get("/app/shop/endpoint").await;
    let both = format!("{certificate}{key}");
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for (tls, place) in [
        (json!({}), "tls"),
        (json!({ "clientCertificate": certificate }), "clientKey"),
        (json!({ "clientKey": key }), "clientCertificate"),
        (json!({ "clientCertificate": certificate, "clientKey": other_key }), "clientKey"),
        (json!({ "clientCertificate": certificate, "clientKey": encrypted }), "clientKey"),
        (json!({ "clientCertificate": certificate, "clientKey": "x" }), "clientKey"),
        (json!({ "clientCertificate": "x", "clientKey": key }), "clientCertificate"),
        (json!({ "clientCertificate": both, "clientKey": key }), "clientCertificate"),
        (json!({ "clientCertificate": clients.pem(), "clientKey": "***" }), "clientKey"),
        (json!({ "ca": "x" }), "ca"),
        (json!({ "ca": "" }), "ca"),
        (json!({ "ca": both }), "ca"),
        (json!({ "ca": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" }), "ca"),
        (json!({ "ca": "x".repeat(32_769) }), "ca"),
        (json!({ "ca": clients.pem(), "certs": "x" }), "certs"),
    ] {
        let answer = api.call("PATCH", "/app/shop/endpoint/main", &json!({ "tls": tls })).await;
        assert_eq!(answer.status, 422, "{tls}: {answer:?}");
        let expected = if place == "tls" { json!(["body", "tls"]) } else { json!(["body", "tls", place]) };
        assert_eq!(answer.json()["detail"][0]["loc"], expected, "{tls}: {answer:?}");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!key.lines().any(|line| line.len() > 40 && text.contains(line)), "{text}");
    }
    // For another place the key must be given anew, and without TLS it is of no use.
    for url in ["https://elsewhere.example/hook".to_owned(), receiver.url()] {
        let answer = api.call("PATCH", "/app/shop/endpoint/main", &json!({ "url": url })).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        assert_eq!(answer.json()["detail"][0]["loc"][1], "tls", "{answer:?}");
    }
    assert_eq!(api.get("/app/shop/endpoint").await, before, "nothing has changed");
}
