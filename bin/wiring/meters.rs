//! Where the metrics of all parts come together.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::exit::Failure;

/// Bounds of the histograms in seconds: from a sync on a fast disk to an
/// attempt's deadline, and beyond it for what waits.
const SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];
/// Bounds of the histograms in bytes.
const BYTES: [f64; 8] = [256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0];
/// Bounds of the histograms of records in a frame.
const RECORDS: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 5000.0];
/// Bounds of the histograms of messages in a batch.
const MESSAGES: [f64; 7] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0];
/// How often what histograms have gathered is put in order.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Installs the recorder that all parts record to. Once a process, and before
/// any part is made.
pub(crate) fn install() -> Result<PrometheusHandle, Failure> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".into()), &BYTES)?
        .set_buckets_for_metric(Matcher::Suffix("_records".into()), &RECORDS)?
        .set_buckets_for_metric(Matcher::Suffix("_messages".into()), &MESSAGES)?;
    let handle = builder.install_recorder()?;
    postrider_dispatcher::metrics::describe();
    postrider_outbox::describe_metrics();
    super::verifying::describe_metrics();
    Ok(handle)
}

/// Keeps the recorder's memory small when nobody scrapes.
pub(super) async fn upkeep(handle: PrometheusHandle) {
    let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        interval.tick().await;
        handle.run_upkeep();
    }
}
