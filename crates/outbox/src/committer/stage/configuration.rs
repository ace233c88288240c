//! A change of the configuration in a frame.

use postrider_model::command::{self, Command, Environment, Reply};
use postrider_model::config::ConfigChange;
use postrider_model::id::RawId;
use postrider_model::ports::{ControlError, Unavailable};
use postrider_model::position::Position;
use postrider_model::secret::{NEW_SECRET_BYTES, SealedSecret, Secret, SignatureKind};
use postrider_model::signature::Signature;
use postrider_model::time::UnixMs;
use postrider_model::verification::VerificationSetting;
use zeroize::Zeroizing;

use super::{Answer, Committer, Frame};
use crate::committer::request::{ReplyTo, Urgent};
use crate::ids;
use crate::journal::FrameBuilder;
use crate::record::Record;
use crate::shared::Shared;

impl Committer {
    pub(super) fn stage_command(
        &mut self,
        command: Command,
        reply: ReplyTo<Reply>,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) {
        if frame.config_changed {
            return self.waiting_urgent.push_back(Urgent::Command(command, reply));
        }
        match self.stage_config(command, builder, frame) {
            Ok(done) => frame.answers.push(Answer::Command(reply, done)),
            Err(error) => reply.send(Err(error)),
        }
    }

    pub(super) fn stage_config(
        &mut self,
        command: Command,
        builder: &mut FrameBuilder,
        frame: &mut Frame,
    ) -> Result<Reply, ControlError> {
        let mut env = CommitEnvironment { shared: &self.shared, now: frame.now, position: builder.next_position() };
        let executed = command::execute(&self.shared.config.read(), command, &mut env)?;
        let (changes, reply) = executed;
        for change in changes {
            frame.config_changed = true;
            if !self.push(builder, frame, Record::Config(ConfigChange::clone(&change))) {
                return Err(Unavailable::DiskFull.into());
            }
        }
        Ok(reply)
    }
}

/// Time, ids, randomness and the store's key for a command.
struct CommitEnvironment<'a> {
    shared: &'a Shared,
    now: UnixMs,
    position: Position,
}

impl Environment for CommitEnvironment<'_> {
    fn now(&self) -> UnixMs {
        self.now
    }

    fn new_id(&mut self) -> RawId {
        self.shared.mask.clone().id(self.now, self.position, ids::random())
    }

    fn new_secret(&mut self, signature: Signature) -> Secret {
        let random = Zeroizing::new(ids::random::<NEW_SECRET_BYTES>());
        let kind =
            if signature.takes_text() { SignatureKind::HmacSha256 } else { self.shared.options.default_signature };
        Secret::from_random(kind, &random)
    }

    fn seal(&mut self, secret: &Secret) -> SealedSecret {
        self.shared.sealer.seal(secret)
    }

    fn open(&self, sealed: &SealedSecret) -> Option<Secret> {
        self.shared.sealer.open(sealed).ok()
    }

    fn endpoint_limit(&self) -> usize {
        self.shared.options.endpoints_per_application
    }

    fn signature(&self) -> Signature {
        self.shared.options.signature
    }

    fn verification(&self) -> &VerificationSetting {
        &self.shared.options.verification
    }
}
