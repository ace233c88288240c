//! What deliveries that wait cost in memory.

use crate::common::case::{Case, Target};
use crate::common::server::Server;
use crate::common::usage::Usage;
use crate::common::{Failure, note};
use crate::fill::{self, Refusing};
use crate::options::Options;
use crate::watch::{MIB, Standing, standing};

/// One endpoint that refuses connections, and ten million deliveries behind it.
pub(crate) async fn behind_one(options: &Options) -> Result<Case, Failure> {
    /// What 9.9 million deliveries more may cost.
    const GROWTH_MB: f64 = 20.0;
    let large = options.events(10_000_000);
    let small = large.min(options.scaled(100_000));
    let server = Server::start(&options.shared.dir())?;
    let refusing = Refusing::new()?;
    fill::register(&server, 0..1, 1, &refusing.url()?).await?;
    fill::send(&server, 0..small, 1, options.body_bytes).await?;
    let few = standing(&server).await?;
    few.expect(small)?;
    note(&format!("{:.1} MB with {small} pending behind one dead endpoint", few.resident / 1e6));
    fill::send(&server, small..large, 1, options.body_bytes).await?;
    let many = standing(&server).await?;
    many.expect(large)?;
    note(&format!("{:.1} MB with {large}, {} in the journal only", many.resident / 1e6, many.behind_window));
    let growth = (many.resident - few.resident) / 1e6;
    let case = Case::alone("memory-of-backlog", Target::AtMost(GROWTH_MB), "MB", vec![growth]);
    let case = with_peak(&server, case)?;
    server.stop()?;
    Ok(Case { limit: format!("{large} pending behind one dead endpoint: MB more than with {small}"), ..case })
}

/// Ten thousand endpoints, and a hundred deliveries behind each.
pub(crate) async fn spread(options: &Options) -> Result<Case, Failure> {
    const BYTES_EACH: f64 = 100.0;
    /// Of one application.
    const ENDPOINTS: usize = 100;
    let applications = options.scaled(100);
    let endpoints = applications * ENDPOINTS;
    let pending = options.events(1_000_000).next_multiple_of(endpoints);
    let server = Server::start(&options.shared.dir())?;
    // Nothing is tried: what an attempt costs is another matter.
    server.pause().await?;
    let refusing = Refusing::new()?;
    fill::register(&server, 0..applications, ENDPOINTS, &refusing.url()?).await?;
    let none = standing(&server).await?;
    note(&format!("{:.1} MB with {endpoints} endpoints", none.resident / 1e6));
    fill::send(&server, 0..pending / ENDPOINTS, applications, options.body_bytes).await?;
    let many = standing(&server).await?;
    many.expect(pending)?;
    note(&format!("{:.1} MB with {pending} pending, {} in the journal only", many.resident / 1e6, many.behind_window));
    let each = (many.resident - none.resident) / pending as f64;
    let case = Case::alone("memory-of-many-lanes", Target::AtMost(BYTES_EACH), "bytes", vec![each]);
    let case = with_peak(&server, case)?;
    server.stop()?;
    Ok(Case { limit: format!("{pending} pending behind {endpoints} endpoints: bytes for each"), ..case })
}

fn with_peak(server: &Server, case: Case) -> Result<Case, Failure> {
    let peak = Usage::of(server.pid())?.peak_rss_bytes as f64 / MIB;
    Ok(Case { peak_mib: Some(peak), ..case })
}

impl Standing {
    /// All that was sent must wait: else something else was measured.
    fn expect(&self, pending: usize) -> Result<(), Failure> {
        if self.pending == pending as f64 {
            return Ok(());
        }
        Err(format!("{} deliveries wait where {pending} were sent", self.pending).into())
    }
}
