//! How long a start takes with deliveries that wait, beside reading their bytes once.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{SeekFrom, seek};
use tempfile::TempDir;

use crate::common::case::{Case, Pair, Target};
use crate::common::server::Server;
use crate::common::usage::Usage;
use crate::common::{Failure, note};
use crate::fill::{self, Refusing};
use crate::options::Options;
use crate::watch::{MIB, quiet};

/// A start may take as often as long as reading the bytes of the journal.
const TIMES: f64 = 4.0;
/// Bytes read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// How the server before has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Clean,
    Killed,
}

/// Starts with a store in which so many deliveries wait behind one dead endpoint.
pub(crate) async fn starts(
    options: &Options,
    pending: usize,
    [clean, killed]: [&'static str; 2],
) -> Result<[Case; 2], Failure> {
    let data = Arc::new(tempfile::Builder::new().prefix("bench-").tempdir_in(options.shared.dir())?);
    let mut server = Server::on(&data)?;
    let refusing = Refusing::new()?;
    fill::register(&server, 0..1, 1, &refusing.url()?).await?;
    fill::send(&server, 0..pending, 1, options.body_bytes).await?;
    quiet(&server).await?;
    let mut sides = [Side::new(clean, End::Clean), Side::new(killed, End::Killed)];
    for _ in 0..options.rounds() {
        for side in &mut sides {
            let started = again(server, &data, side.end)?;
            let Pair { value, limit } = started.pair;
            note(&format!("{pending} pending, {:?}: {value:.3} s, reading {limit:.3} s", side.end));
            server = started.server;
            let used = Usage::of(server.pid())?;
            side.rounds.push(started.pair);
            side.cpu_s += used.cpu.as_secs_f64();
            side.peak = side.peak.max(used.peak_rss_bytes as f64 / MIB);
            quiet(&server).await?;
        }
    }
    server.stop()?;
    Ok(sides.map(|side| side.case(pending)))
}

/// Starts after one kind of end.
struct Side {
    name: &'static str,
    end: End,
    rounds: Vec<Pair>,
    /// Processor time of all starts.
    cpu_s: f64,
    peak: f64,
}

impl Side {
    fn new(name: &'static str, end: End) -> Self {
        Self { name, end, rounds: vec![], cpu_s: 0.0, peak: 0.0 }
    }

    fn case(self, pending: usize) -> Case {
        let starts = self.rounds.len().max(1) as f64;
        Case {
            cpu_s_per_1000_events: Some(self.cpu_s / starts / pending as f64 * 1e3),
            peak_mib: Some(self.peak),
            ..Case::new(self.name, "reading the journal's bytes once", Target::AtMost(TIMES), "s", &self.rounds)
        }
    }
}

/// A server that was just started.
struct Started {
    server: Server,
    pair: Pair,
}

/// Ends a server and starts it again. The bytes are read just before, so that they
/// are as near at hand for the server as they were for that.
fn again(server: Server, data: &Arc<TempDir>, end: End) -> Result<Started, Failure> {
    match end {
        End::Clean => server.stop()?,
        // It is killed where it stands.
        End::Killed => drop(server),
    }
    let journal = data.path().join("journal");
    read(&journal)?;
    let limit = read(&journal)?.as_secs_f64();
    let server = Server::on(data)?;
    let value = server.ready_after.as_secs_f64();
    Ok(Started { server, pair: Pair { value, limit } })
}

/// How long it takes to read all that was written into the files of a directory: not the
/// room that was made for what comes, which the system would make zeros of.
fn read(directory: &Path) -> Result<Duration, Failure> {
    let began = Instant::now();
    let mut chunk = vec![0; CHUNK_BYTES];
    for entry in fs::read_dir(directory)? {
        let file = File::open(entry?.path())?;
        let mut at = 0;
        while let Ok(data) = seek(&file, SeekFrom::Data(at)) {
            at = seek(&file, SeekFrom::Hole(data))?;
            (&file).seek(io::SeekFrom::Start(data))?;
            let mut left = (&file).take(at - data);
            while left.read(&mut chunk)? > 0 {}
        }
    }
    Ok(began.elapsed())
}
