//! Whether very many endpoints with an event each cost what one with all of them does.

use crate::common::case::{Case, Pair, Target};
use crate::common::usage::Usage;
use crate::common::{Failure, note};
use crate::options::Options;
use crate::stage::Stage;
use crate::watch::{MIB, quiet};

/// What is about the same.
const TIMES: f64 = 1.25;
/// Bytes of one event's body.
const BODY_BYTES: usize = 1_024;

/// Two servers that take turns: one with an endpoint for each event, one with one for
/// all. All endpoints are on one host, so that connections cost both the same.
pub(crate) async fn compare(options: &Options) -> Result<Case, Failure> {
    let events = options.events(100_000);
    let all = events * (options.rounds() + 1);
    note(&format!("{events} applications with one endpoint each"));
    let mut many = Stage::start(options, events, BODY_BYTES, all).await?;
    let mut one = Stage::start(options, 1, BODY_BYTES, all).await?;
    let mut pairs = vec![];
    for round in 0..=options.rounds() {
        let pair = if round % 2 == 0 {
            let limit = cost_us(&mut one, events).await?;
            Pair { value: cost_us(&mut many, events).await?, limit }
        } else {
            Pair { value: cost_us(&mut many, events).await?, limit: cost_us(&mut one, events).await? }
        };
        note(&format!("{:.1} us of processor time an event; {:.1} with one endpoint", pair.value, pair.limit));
        // The first warms up.
        if round > 0 {
            pairs.push(pair);
        }
    }
    let peak = Usage::of(many.server.pid())?.peak_rss_bytes as f64 / MIB;
    many.server.stop()?;
    one.server.stop()?;
    let case = Case::new("many-endpoints", "one endpoint with all events", Target::AtMost(TIMES), "us", &pairs);
    let per_1000 = |us: f64| Some(us / 1e3);
    let limit_cpu_s_per_1000_events = case.limit_value.and_then(per_1000);
    Ok(Case { cpu_s_per_1000_events: per_1000(case.value), limit_cpu_s_per_1000_events, peak_mib: Some(peak), ..case })
}

/// Microseconds of processor time that the server takes for each event, with what
/// it does afterwards.
async fn cost_us(stage: &mut Stage, events: usize) -> Result<f64, Failure> {
    let before = stage.cpu()?;
    stage.deliver(events, None).await?;
    quiet(&stage.server).await?;
    Ok(stage.cpu()?.saturating_sub(before).as_secs_f64() * 1e6 / events as f64)
}
