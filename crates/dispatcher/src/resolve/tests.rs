//! Against a name server of the test's own.

use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::config::NameServerConfig;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME};
use hickory_resolver::proto::rr::{RData, Record};
use postrider_model::job::FailureKind;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;

use super::*;
use crate::connect::{ConnectError, Connector};
use crate::connections::Connections;
use crate::guard::Guard;
use crate::origin::Origin;

/// Far more than an answer takes; a test that waits for it fails.
const PATIENT: Duration = Duration::from_secs(30);

#[test]
fn names_of_the_hosts_file_give_all_their_addresses() {
    let mut hosts = Hosts::default();
    hosts.read_hosts_conf(&b"192.0.2.7 a.test b.test\n2001:db8::7 a.test\n"[..]).expect("a valid hosts file");
    let addresses = |name: &str| {
        let mut name = Name::from_utf8(name).expect("a valid name");
        name.set_fqdn(true);
        in_hosts(&hosts, &name)
    };
    let v4: IpAddr = [192, 0, 2, 7].into();
    assert_eq!(addresses("a.test"), [v4, "2001:db8::7".parse().expect("an address")]);
    assert_eq!(addresses("b.test"), [v4]);
    assert!(addresses("c.test").is_empty());
}

fn resolver(config: ResolverConfig) -> SystemResolver {
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    SystemResolver(Mutex::new(build(builder, Hosts::default()).expect("a valid configuration")))
}

#[tokio::test]
async fn localhost_resolves_without_a_name_server() {
    let resolver = resolver(ResolverConfig::from_name_servers(Vec::new()));
    let addresses = resolver.resolve("localhost").await.expect("localhost has an address");
    assert!(!addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
    assert!(resolver.resolve("hooks.example").await.is_err());
}

/// What a name server says to a question.
#[derive(Clone)]
enum Says {
    /// These records.
    Records(Vec<RData>),
    /// That something is wrong.
    Code(ResponseCode),
    /// Something that is no message.
    Garbage,
    /// The answer to another question.
    AnotherId(RData),
    Nothing,
}

/// A name server that is asked for names and families. Its answers hold for so many seconds.
async fn name_server(ttl_s: u32, says: impl Fn(&str, RecordType) -> Says + Send + 'static) -> NameServerConfig {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let port = socket.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            let query = Message::from_vec(buffer.get(..length).unwrap_or_default()).expect("a DNS message");
            let question = query.queries.first().expect("one question").clone();
            let mut id = query.metadata.id;
            let (records, code) = match says(&question.name().to_string(), question.query_type()) {
                Says::Records(records) => (records, ResponseCode::NoError),
                Says::Code(code) => (vec![], code),
                Says::AnotherId(record) => {
                    id = id.wrapping_add(1);
                    (vec![record], ResponseCode::NoError)
                }
                Says::Garbage => {
                    socket.send_to(&[0xff; 100], peer).await.expect("loopback works");
                    continue;
                }
                Says::Nothing => continue,
            };
            let mut response = Message::response(id, query.metadata.op_code);
            response.metadata.response_code = code;
            for record in records {
                response.add_answer(Record::from_rdata(question.name().clone(), ttl_s, record));
            }
            response.add_query(question);
            let bytes = response.to_vec().expect("it can be written");
            socket.send_to(&bytes, peer).await.expect("loopback works");
        }
    });
    let mut config = NameServerConfig::udp("127.0.0.1".parse().expect("an address"));
    config.connections.iter_mut().for_each(|connection| connection.port = port);
    config
}

#[tokio::test]
async fn a_name_is_asked_for_as_it_stands_and_remembered() {
    let (asked, mut questions) = mpsc::unbounded_channel();
    let says = move |name: &str, family| {
        asked.send(name.to_owned()).expect("the test listens");
        match family {
            _ if name != "hooks.example." => Says::Code(ResponseCode::NXDomain),
            RecordType::A => Says::Records(vec![RData::A(A::new(192, 0, 2, 9))]),
            _ => Says::Records(vec![RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9))]),
        }
    };
    let mut config = ResolverConfig::from_name_servers(vec![name_server(60, says).await]);
    config.add_search(Name::from_utf8("corp.internal.").expect("a valid name"));
    let resolver = resolver(config);
    for _ in 0..2 {
        let addresses = resolver.resolve("hooks.example").await.expect("the server knows it");
        let v6: IpAddr = "2001:db8::9".parse().expect("an address");
        assert_eq!(addresses, [[192, 0, 2, 9].into(), v6]);
    }
    assert!(resolver.resolve("wiki").await.is_err());
    let mut names: Vec<String> = std::iter::from_fn(|| questions.try_recv().ok()).collect();
    let of_known = names.iter().filter(|name| *name == "hooks.example.").count();
    assert_eq!(of_known, 2, "one question for each family: {names:?}");
    names.retain(|name| name != "hooks.example.");
    assert!(!names.is_empty() && names.iter().all(|name| name == "wiki."), "{names:?}");
}

/// What comes of connecting to a port of `rebinding.example`, with a guard that lets this through.
async fn connect(
    resolver: &Arc<SystemResolver>,
    allowed: &[&str],
    port: u16,
    timeout: Duration,
) -> Result<(), ConnectError> {
    let allowed = allowed.iter().map(|network| network.parse().expect("a network")).collect();
    let guard = Guard::new(true, allowed);
    let resolver: Arc<dyn Resolve> = Arc::clone(resolver) as _;
    let connector = Connector::new(
        guard,
        resolver,
        (crate::socket::Dial::default(), crate::tls::Tls::none(), None),
        Connections::new(10, 10),
        timeout,
        1_000,
    );
    let uri = format!("http://rebinding.example:{port}/").parse().expect("a valid URI");
    let origin = Origin::of(&uri).expect("it has a host");
    let until = connector.deadline();
    let slot = connector.slot(&origin, until).await?;
    connector.open(&origin, slot, until).await.map(drop)
}

async fn asking(says: impl Fn(&str, RecordType) -> Says + Send + 'static) -> Arc<SystemResolver> {
    Arc::new(resolver(ResolverConfig::from_name_servers(vec![name_server(0, says).await])))
}

#[tokio::test]
async fn a_name_that_changes_its_mind_never_leads_inward() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let turn = AtomicUsize::new(0);
    let turns: [&[[u8; 4]]; 4] =
        [&[[127, 0, 0, 1]], &[[127, 0, 0, 2]], &[[10, 0, 0, 7], [169, 254, 169, 254]], &[[127, 0, 0, 1]]];
    let resolver = asking(move |_, family| match family {
        RecordType::A => {
            let addresses = turns.get(turn.fetch_add(1, Ordering::SeqCst)).copied().unwrap_or_default();
            Says::Records(addresses.iter().map(|[a, b, c, d]| RData::A(A::new(*a, *b, *c, *d))).collect())
        }
        _ => Says::Records(vec![]),
    })
    .await;
    let mut kinds = Vec::new();
    for _ in turns {
        // Its answers are for this moment only, so it is asked each time.
        kinds.push(connect(&resolver, &["127.0.0.1/32"], port, PATIENT).await.err().map(|error| error.kind()));
    }
    let refused = Some(FailureKind::AddressRefused);
    assert_eq!(kinds, [None, refused, refused, None]);
}

#[tokio::test]
async fn a_name_that_is_another_name_for_this_machine_is_refused() {
    let local = || Name::from_ascii("localhost.").expect("a valid name");
    let inner = || RData::AAAA(AAAA::new(0, 0, 0, 0, 0, 0xffff, 0x7f00, 2));
    for records in [vec![RData::CNAME(CNAME(local()))], vec![inner()]] {
        let resolver = asking(move |_, _| Says::Records(records.clone())).await;
        let error = connect(&resolver, &[], 1, PATIENT).await.expect_err("it leads inward");
        assert_eq!(error.kind(), FailureKind::AddressRefused, "{error}");
    }
}

#[tokio::test]
async fn a_name_server_that_misbehaves_costs_its_own_name_the_time_and_no_more() {
    let itself = || Name::from_ascii("rebinding.example.").expect("a valid name");
    for (says, expected) in [
        (Says::Code(ResponseCode::NXDomain), FailureKind::Dns),
        (Says::Code(ResponseCode::ServFail), FailureKind::Dns),
        (Says::Code(ResponseCode::Refused), FailureKind::Dns),
        (Says::Records(vec![]), FailureKind::Dns),
        (Says::Records(vec![RData::CNAME(CNAME(itself()))]), FailureKind::Dns),
        (Says::Nothing, FailureKind::Timeout),
        (Says::Garbage, FailureKind::Timeout),
        (Says::AnotherId(RData::A(A::new(127, 0, 0, 1))), FailureKind::Timeout),
    ] {
        let resolver = asking(move |_, _| says.clone()).await;
        let patience = if expected == FailureKind::Timeout { Duration::from_millis(300) } else { PATIENT };
        let error = connect(&resolver, &[], 1, patience).await.expect_err("there is no address");
        assert_eq!(error.kind(), expected, "{error}");
    }
}
