//! SIGTERM and SIGINT drain; the second one ends the process at once. SIGHUP
//! reloads.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::exit::Exit;

/// Requests that wait; a server that starts or stops looks at none.
const WAITING: usize = 8;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To end cleanly.
    Stop,
    /// To read the configuration anew.
    Reload,
}

/// Begins to listen. From now on none of these signals ends the process by
/// itself, but the second request to stop does, whatever the process is doing:
/// the journal is made for that.
///
/// # Errors
/// The system refuses.
pub(crate) fn listen() -> std::io::Result<mpsc::Receiver<Asked>> {
    let signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hang_up: signal(SignalKind::hangup())?,
    };
    let (requests, asked) = mpsc::channel(WAITING);
    tokio::spawn(pass_on(signals, requests));
    Ok(asked)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}

async fn pass_on(mut signals: Signals, requests: mpsc::Sender<Asked>) {
    let mut stopping = false;
    loop {
        let asked = signals.next().await;
        if asked == Asked::Stop && std::mem::replace(&mut stopping, true) {
            exit_now();
        }
        // Further reloads add nothing to those that wait. A stop that finds no
        // room is as good as lost, so the process ends.
        if requests.try_send(asked).is_err() && asked == Asked::Stop {
            exit_now();
        }
    }
}

#[expect(clippy::exit, reason = "the person has asked twice and does not want to wait for anything")]
fn exit_now() {
    std::process::exit(Exit::Failure as i32);
}
