//! Processes of this program that play a part beside the server, so that what
//! each costs can be told apart.
//!
//! ```text
//!   benchmark -- role in the arguments --> the same program, again
//!       |                                     |
//!       +------ questions, one at a time ---->|
//!       |<----- answers ----------------------+     it ends when the benchmark does
//! ```

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::usage::Usage;
use super::wire::Wire;
use super::{Failure, end, front, receiver, sender};

/// The argument before a role.
const MARK: &str = "--play";
/// How long a process lives at most, whatever becomes of the benchmark.
const LIFE: Duration = Duration::from_secs(3_600);

/// What a process of this program can be.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    Receiver(receiver::Setup),
    Sender(sender::Setup),
    Front(front::Setup),
}

/// A process that plays a role, and ends when this is dropped.
pub(crate) struct Actor {
    child: Child,
    wire: Wire,
}

impl Actor {
    /// Starts one; gives what it says first.
    pub(crate) async fn start<T: DeserializeOwned>(role: &Role) -> Result<(Self, T), Failure> {
        let (own, its) = UnixStream::pair()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args([MARK, &serde_json::to_string(role)?]).stdin(OwnedFd::from(its)).stdout(Stdio::null());
        let mut actor = Self { child: command.spawn()?, wire: Wire::over(own)? };
        let said = actor.hear().await?;
        Ok((actor, said))
    }

    /// Asks something and waits for the answer.
    pub(crate) async fn ask<T: DeserializeOwned>(&mut self, question: &impl Serialize) -> Result<T, Failure> {
        self.wire.say(question).await?;
        self.hear().await
    }

    /// Asks for numbers.
    pub(crate) async fn ask_numbers(&mut self, question: &impl Serialize) -> Result<Vec<u64>, Failure> {
        self.ask::<()>(question).await?;
        self.wire.hear_numbers().await
    }

    async fn hear<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let said: Option<Result<T, String>> = self.wire.hear().await?;
        Ok(said.ok_or("a process of the benchmark has ended")??)
    }

    /// What it has used.
    pub(crate) fn usage(&self) -> Result<Usage, Failure> {
        Usage::of(self.child.id())
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plays a role, if this process was started for one.
pub(crate) fn play() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next()? != MARK {
        return None;
    }
    let role = arguments.next().unwrap_or_default();
    Some(end(play_role(&role).map(|()| true)))
}

fn play_role(role: &str) -> Result<(), Failure> {
    let stream = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let role = serde_json::from_str(role)?;
    let mut runtime = match role {
        // One that answers for the server has as many threads.
        Role::Front(_) => tokio::runtime::Builder::new_multi_thread(),
        Role::Receiver(_) | Role::Sender(_) => tokio::runtime::Builder::new_current_thread(),
    };
    runtime.enable_all().build()?.block_on(async {
        let wire = Wire::over(stream)?;
        let played = async {
            match role {
                Role::Receiver(setup) => receiver::play(setup, wire).await,
                Role::Sender(setup) => sender::play(setup, wire).await,
                Role::Front(setup) => front::play(setup, wire).await,
            }
        };
        tokio::time::timeout(LIFE, played).await?
    })
}

/// An answer, as the other side hears it.
pub(crate) fn answer<T>(answer: Result<T, Failure>) -> Result<T, String> {
    answer.map_err(|failure| failure.to_string())
}
