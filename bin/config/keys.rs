//! Every key, once: name, type, default, bounds, meaning. A key that ends in
//! `=> reload` takes effect at SIGHUP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use postrider_dispatcher::SignatureHeaders;
use postrider_model::bounds::wide;
use postrider_model::event_type::Validation;
use postrider_model::format::{EventSource, Format};
use postrider_model::id::OrgId;
use postrider_model::order::{AfterDead, OrderBy};
use postrider_model::policy::{BreakerFailures, BreakerPauseMs, DisableAfterS, JitterPercent, MaxAgeS, MaxInFlight};
use postrider_model::rate::{Per, RateBurst, RateCount};
use postrider_model::retry::RetrySchedule;
use postrider_model::secret::SignatureKind;
use postrider_model::signature::Signature;
use postrider_model::status_pattern::StatusPattern;
use postrider_model::validate::TimeoutMs;
use postrider_model::verification;

use super::choice::LogFormat;
use super::secret::{JwtSecret, ProxySetting, StoreKey};
use super::table::{Key, Section, assign, settings};
use super::value::{LogLevel, Mode, Span, Value};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const MAX_REQUESTS: u64 = 1_000_000;
const TEN_YEARS_S: u64 = 10 * 365 * 86_400;

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

settings! {
    top {
        /// The directory of the store. One server at a time uses it.
        data_dir: PathBuf = PathBuf::from("./postrider-data");
    }

    /// The HTTP API.
    api: Api {
        /// Where the HTTP API listens. Requests need a token here. Where others than this machine reach it, set `api.tls.cert`.
        listen: SocketAddr = loopback(8071);
        /// The HTTP API's Unix socket; at most 107 bytes. If not set, `api.sock` in the data directory,
        /// which is made for its owner only.
        socket: Option<PathBuf> = None;
        /// The permissions of the HTTP API's socket file. The data directory is made for its owner
        /// only (0700), so a socket for other users must lie elsewhere: see `api.socket`.
        socket_mode: Mode = Mode(0o600);
        /// The group of the HTTP API's socket file, by name or number. If not set, the server's own.
        socket_group: Option<String> = None;
        /// User ids that may use the HTTP API's socket besides the server's own user and root.
        /// The data directory is closed to them, so `api.socket` must lie elsewhere.
        allow_uids: Vec<u32> = vec![];
        /// Requests a second of one token over TCP; further ones get 429. 0 is no limit.
        requests_per_second_per_token: u64 = 0, in 0..=MAX_REQUESTS;
        /// How many of them may come at once after a quiet time. If not set, as many as in a second.
        request_burst_per_token: Option<u64> = None, in 1..=MAX_REQUESTS;
        /// Requests a second of one address over TCP, but for those about health; further ones get 429, whatever their
        /// token. 0 is no limit. Addresses of IPv6 count together by their first 64 bits.
        requests_per_second_per_address: u64 = 0, in 0..=MAX_REQUESTS;
        /// How many of them may come at once after a quiet time. If not set, as many as in a second.
        request_burst_per_address: Option<u64> = None, in 1..=MAX_REQUESTS;
        /// Requests a second of one address over TCP without a good token; further ones get 429 in place of 401. A good
        /// token is never refused for them. 0 is no limit.
        refusals_per_second_per_address: u64 = 10, in 0..=MAX_REQUESTS;
        /// How many of them may come at once after a quiet time.
        refusal_burst_per_address: u64 = 50, in 1..=MAX_REQUESTS;
        /// Networks of proxies in front that speak TLS with the clients. A request from one of them counts for the last
        /// address in its `x-forwarded-for` that is not in these networks, and its `x-forwarded-proto` is believed.
        trusted_proxies: Vec<IpNet> = vec![];
    }

    /// TLS for the HTTP API over TCP. Both files are read again at SIGHUP, and by themselves when they have changed.
    api_tls: ApiTls {
        /// A file with the certificate in PEM form, and after it those that lead from it to an authority. If it is set,
        /// only TLS is spoken at `api.listen`.
        cert: Option<PathBuf> = None;
        /// A file with the certificate's private key in PEM form, not encrypted, that users outside of its group cannot
        /// read.
        key: Option<PathBuf> = None;
        /// Whether browsers are told to ask this host over TLS only, for a year (`strict-transport-security`). They do so
        /// for everything at that host name, whatever the port, so leave it off for `localhost`.
        hsts: bool = false;
    }

    /// Events from local programs, one JSON object a line.
    ingest: Ingest {
        /// The ingest socket; at most 107 bytes. If not set, `ingest.sock` in the data directory,
        /// which is made for its owner only.
        socket: Option<PathBuf> = None;
        /// The permissions of the ingest socket file. The data directory is made for its owner
        /// only (0700), so a socket for other users must lie elsewhere: see `ingest.socket`.
        socket_mode: Mode = Mode(0o600);
        /// The group of the ingest socket file, by name or number. If not set, the server's own.
        socket_group: Option<String> = None;
        /// User ids that may use the ingest socket besides the server's own user and root.
        /// The data directory is closed to them, so `ingest.socket` must lie elsewhere.
        allow_uids: Vec<u32> = vec![];
    }

    /// The key that the store is encrypted with. It is looked for here in this order, then as the credential
    /// `postrider.store.key` that systemd gives, then as `store.key` in the data directory, where one is made for a new store.
    store: Store {
        /// A file with the key, such as `/etc/postrider/store.key`. Users outside of its group cannot read it, or it is
        /// refused.
        key_file: Option<PathBuf> = None;
        /// The key itself, or the text of a key file after `key rotate`; best given by the environment.
        key: Option<StoreKey> = None;
    }

    /// Figures for Prometheus.
    metrics: Metrics {
        /// Where `/metrics` is served, without a token and without TLS.
        listen: SocketAddr = loopback(8072);
    }

    /// Who may use the HTTP API over TCP.
    auth: Auth {
        /// The secret that tokens are signed with (HS256). If neither this nor `auth.jwt_secret_file` is set, it is the
        /// credential `postrider.jwt-secret` that systemd gives; if there is none, one is made at the first start and kept
        /// in the data directory, readable by its owner only.
        jwt_secret: Option<JwtSecret> = None;
        /// A file with that secret, such as `/etc/postrider/jwt-secret`. It counts before `auth.jwt_secret`. Users outside
        /// of its group cannot read it, or it is refused.
        jwt_secret_file: Option<PathBuf> = None;
        /// The tenant for which the sockets, the command line and a plain `token create` speak.
        /// If not set, one is made at the first start and kept.
        default_org: Option<OrgId> = None;
    }

    /// How requests to endpoints are made.
    dispatch: Dispatch {
        /// Refuse to connect to addresses that are not public: loopback, private networks, link-local, metadata services.
        guard: bool = true;
        /// Networks that may be reached although the guard would refuse them.
        allow_networks: Vec<IpNet> = vec![];
        /// The deadline of an attempt over resolving, connecting, TLS, headers and body, in milliseconds.
        /// An endpoint may set its own.
        timeout_ms: u64 = 15_000, in wide::<TimeoutMs>();
        /// The part of the deadline that resolving, connecting and the TLS handshake may take, in milliseconds.
        connect_timeout_ms: u64 = 5_000, in 100..=30_000;
        /// Connections to one host and port at most.
        connections_per_host: u64 = 256, in 1..=4_096;
        /// Threads that make requests, at most `dispatch.connections_per_host`. Requests to one endpoint are all made by
        /// the same. If not set, half as many as there are processors.
        threads: Option<u64> = None, in 1..=256;
        /// A file of certificates in PEM form that are trusted besides the system's.
        ca_file: Option<PathBuf> = None;
        /// A file with the client certificate that requests come with whose endpoint has none of its own (`tls`), in PEM
        /// form, and after it those that lead from it to an authority. Every server that asks gets to see it, so it should
        /// open nothing that customers must not reach. It is read at the start.
        client_cert: Option<PathBuf> = None;
        /// A file with the certificate's private key in PEM form, not encrypted, that users outside of its group cannot
        /// read. It is read at the start.
        client_key: Option<PathBuf> = None;
        /// The proxy that requests go through unless their endpoint names another: `http://` (`CONNECT`), `socks5://` or
        /// `socks5h://`, then host and port, with user and password before them or without. It may be at any address.
        proxy: Option<ProxySetting> = None;
        /// By which scheme requests to a new endpoint are signed that names none: as Standard Webhooks has it, as
        /// GitHub, as Stripe, or by RFC 9421. What an endpoint has stays when this changes, for its receiver verifies by it.
        signature: Signature = Signature::Standard;
        /// What the headers of the signature are called: `webhook-id`, `webhook-timestamp` and `webhook-signature` as
        /// Standard Webhooks has it, `svix-id` and so on for receivers that were written for Svix, or both.
        signature_headers: SignatureHeaders = SignatureHeaders::Webhook;
        /// How requests are signed for an endpoint that gets a new secret and is not given one: with a key that it
        /// shares (`whsec_`), or with a key pair of which it gets the public half (`whpk_`).
        default_signature: SignatureKind = SignatureKind::HmacSha256;
        /// What requests carry, unless the endpoint says otherwise: the payload alone, an object with `type`, `timestamp` and
        /// `data` as Standard Webhooks has it, or a CloudEvent with its attributes in headers or around the payload.
        format: Format = Format::Payload;
        /// The `source` of CloudEvents, a URI reference. `{app}` in it stands for the application's id.
        cloudevents_source: EventSource = EventSource::default();
    }

    /// How an endpoint shows that it wants what is sent to it; until it has, its deliveries wait.
    verification: Verification {
        /// What a new endpoint has to pass that does not say itself.
        default: verification::Verification = verification::Verification::None;
        /// Who asks endpoints for leave, a DNS name, such as `events.example.com`. Without it there is no `cloudevents`.
        origin: Option<String> = None;
        /// The rate that `cloudevents` asks for, in requests per minute. If not set, none is asked for.
        request_rate_per_minute: Option<u64> = None, in 1..=600_000;
    }

    /// What Postrider tells of itself, as messages to an application.
    operational_events: OperationalEvents {
        /// The application of the default tenant that is told, by uid or id. If not set, nothing is told.
        application: Option<String> = None;
        /// After so many failed attempts of one delivery `message.attempt.failing` is sent.
        failing_after: u64 = 4, in 1..=100;
    }

    /// When a failed delivery is attempted again.
    retry: Retry {
        /// The delay before each attempt, in seconds, 1 to 100 of them. After the last the delivery is a dead letter.
        /// Each is spread at random: by half of it up to 10 minutes, by a tenth above.
        schedule: RetrySchedule = RetrySchedule::default() => reload;
        /// By how many percent of itself each delay differs at random, in place of the spread above.
        jitter_percent: Option<u64> = None, in wide::<JitterPercent>() => reload;
        /// From this age on a delivery gets one attempt more and is then a dead letter; if not set, the schedule alone
        /// decides.
        max_age: Option<Span> = None, in wide::<MaxAgeS>() => reload;
        /// Answers after which a delivery is a dead letter at once, such as `404` or `4xx`.
        final_statuses: Vec<StatusPattern> = vec![] => reload;
        /// The longest `Retry-After` that is honoured, in seconds.
        retry_after_max_s: u64 = 86_400, in 1..=2_592_000;
    }

    /// When an endpoint that fails is left alone for a while.
    breaker: Breaker {
        /// Failures in a row after which nothing is sent for a pause. Then one attempt probes the endpoint.
        failures: u64 = 5, in wide::<BreakerFailures>() => reload;
        /// The first pause, in milliseconds; doubled with every probe that fails. A pause is spread by a fifth.
        pause_min_ms: u64 = 1_000, in wide::<BreakerPauseMs>() => reload;
        /// The longest pause, in milliseconds.
        pause_max_ms: u64 = 60_000, in wide::<BreakerPauseMs>() => reload;
        /// An endpoint that has had nothing but failures for this long is disabled; its deliveries wait.
        /// `0s` is never.
        disable_after: Span = Span::days(5), in 0..=*wide::<DisableAfterS>().end() => reload;
    }

    /// How many attempts may start at one endpoint in what time, unless its policy says otherwise.
    rate: Rate {
        /// Attempts in each second or minute at most, as `rate.per` says: 1 to 10000 a second, 1 to 600000 a minute.
        /// If not set, there is no such limit.
        count: Option<u64> = None, in wide::<RateCount>() => reload;
        /// The time that attempts are counted in.
        per: Per = Per::Second => reload;
        /// How many of them may start at once after a quiet time, at most half of `rate.count`. What a burst may take is taken
        /// from the steady rate.
        burst: u64 = 1, in wide::<RateBurst>() => reload;
    }

    /// In which order endpoints get their messages, unless their policies say otherwise. Counts from the next start on.
    order: Order {
        /// What is in one order: messages with the same order key, all messages of an endpoint, or nothing.
        by: OrderBy = OrderBy::Key;
        /// What becomes of messages that come after a dead letter in the same order: they go on, or wait until it is
        /// delivered, cancelled or purged.
        after_dead: AfterDead = AfterDead::Continue;
    }

    /// The catalogue of event types.
    event_types: EventTypes {
        /// What becomes of messages whose payload differs from the newest schema of their event type, unless that says
        /// otherwise: nothing is compared, or they are accepted and counted, or they are refused.
        validation: Validation = Validation::Off;
    }

    /// The limit of everything that could grow. What is full waits, or refuses before accepting.
    limits: Limits {
        /// Bytes of one event's body.
        body_bytes: u64 = MIB, in KIB..=64 * MIB;
        /// Bytes of a batch's body; a message that has more by itself goes alone.
        batch_bytes: u64 = MIB, in KIB..=64 * MIB;
        /// Bytes of one line on the ingest socket.
        line_bytes: u64 = 2 * MIB, in KIB..=128 * MIB;
        /// Requests to endpoints in flight, in all.
        in_flight: u64 = 4_096, in 1..=65_536;
        /// Requests in flight to one endpoint, unless its policy says less or more.
        in_flight_per_endpoint: u64 = 32, in wide::<MaxInFlight>();
        /// Requests in flight to all endpoints of one application; never more than `limits.in_flight`.
        in_flight_per_application: u64 = 256, in 1..=65_536;
        /// Client connections at each door. At those of HTTP over TCP one address has a quarter of them at most, but for
        /// this machine and `api.trusted_proxies`.
        client_connections: u64 = 1_024, in 1..=65_536;
        /// Bytes of fresh bodies kept in memory; others are read from the journal.
        fresh_body_bytes: u64 = 64 * MIB, in 0..=16 * GIB;
        /// Pending deliveries of one application; above it, that application alone gets 429.
        pending_per_application: u64 = 10_000_000, in 1..=1_000_000_000;
        /// Endpoints of one application.
        endpoints_per_application: u64 = 1_000, in 1..=100_000;
        /// Idempotency keys and event ids of the last 24 hours that are remembered; further requests with a key are
        /// answered `overloaded`. Each takes two bytes of memory.
        idempotency_keys: u64 = 50_000_000, in 0..=1_000_000_000;
        /// Deliveries of one endpoint held in memory; the rest is read from the journal as it drains. Dead letters that
        /// are replayed may be 1,000 more, and what is accepted beside them a tenth.
        lane_window: u64 = 10_000, in 1..=1_000_000;
        /// Entries of the audit log about changes, about a hundred bytes of memory each; of those about refusals a tenth as
        /// many are kept. The oldest go first, also before `retention.audit` is over.
        audit_entries: u64 = 100_000, in 100..=10_000_000;
        /// Bytes read of an endpoint's answer.
        response_read_bytes: u64 = 64 * KIB, in KIB..=16 * MIB;
    }

    /// How long things are kept.
    retention: Retention {
        /// How long a message is kept from its acceptance.
        history: Span = Span::days(7), in 1..=TEN_YEARS_S;
        /// How long a dead letter is kept from its death.
        dead_letters: Span = Span::days(30), in 1..=TEN_YEARS_S;
        /// How long a delivery may wait on a disabled, paused or unverified endpoint before it is a dead letter.
        held: Span = Span::days(30), in 1..=TEN_YEARS_S;
        /// How long an entry of the audit log is kept.
        audit: Span = Span::days(90), in 1..=TEN_YEARS_S;
        /// How long nothing expires after a start and after the clock has jumped, so that a wrong clock
        /// cannot empty the store.
        grace: Span = Span(Duration::from_secs(3_600)), in 0..=86_400;
        /// Expunged payloads and answers are taken off the disk this long after that was asked for. Until then
        /// they are on disk, but shown and sent no more.
        expunge: Span = Span(Duration::from_secs(3_600)), in 0..=43_200;
        /// Bytes of the journal; delivered history goes first, oldest first. 0 means 80 % of the file system.
        max_bytes: u64 = 0, in 0..=1 << 60;
    }

    /// The journal: the files that are the truth.
    journal: Journal {
        /// Bytes of one segment file, at least four times `limits.body_bytes`.
        segment_bytes: u64 = 64 * MIB, in 64 * KIB..=GIB;
        /// Milliseconds until the outcome of an attempt is synced to disk, if nothing else is synced before.
        outcome_sync_ms: u64 = 50, in 0..=10_000;
    }

    /// What the server says on standard error.
    log: Log {
        /// Which lines are written.
        level: LogLevel = LogLevel("info".into()) => reload;
        /// How they are written; `auto` is for people on a terminal and JSON elsewhere.
        format: LogFormat = LogFormat::Auto;
    }

    /// Ending.
    stop: Stop {
        /// Milliseconds that requests in flight get to end after SIGTERM or SIGINT.
        drain_ms: u64 = 20_000, in 0..=600_000;
    }
}
