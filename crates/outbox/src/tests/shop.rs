//! A store in one thread with the application `shop`, and short words for what goes on in it.

use std::time::Duration;

use postrider_model::command::{Command, Reply};
use postrider_model::delivery::{DeliveryKey, Next};
use postrider_model::id::{AppId, EndpointId, RawId};
use postrider_model::job::Job;
use postrider_model::lane::DeliveryStore as _;
use postrider_model::message::{Accepted, NewMessage};
use postrider_model::order::{OrderBy, OrderRule};
use postrider_model::ports::{Accept as _, Configure as _, Control as _};

use super::stepper::{SimWorld, Stepper, app, endpoint, sim_dir};
use super::support::{ORG, message, options};
use crate::{Options, Outbox};

pub(super) const PAID: &str = "order.paid";
pub(super) const SENT: &str = "order.sent";
pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) struct Shop {
    pub(super) world: SimWorld,
    pub(super) stepper: Stepper,
    pub(super) app: AppId,
}

impl Shop {
    pub(super) fn open() -> Self {
        Self::with(options(&sim_dir()))
    }

    pub(super) fn with(options: Options) -> Self {
        let world = SimWorld::new();
        let mut stepper = world.start(options).expect("an empty directory opens");
        stepper.ask(stepper.outbox.clone().execute(app("shop"))).expect("it is new");
        let app = stepper.app_id("shop").expect("it was made");
        Self { world, stepper, app }
    }

    pub(super) fn outbox(&self) -> Outbox {
        self.stepper.outbox.clone()
    }

    pub(super) fn execute(&mut self, command: Command) -> Reply {
        self.stepper.ask(self.outbox().execute(command)).expect("the command is legal")
    }

    /// Another application, to which nothing belongs.
    pub(super) fn other_app(&mut self) -> AppId {
        self.execute(app("other"));
        self.stepper.app_id("other").expect("it was made")
    }

    pub(super) fn endpoint(&mut self, uid: &str, types: &[&str]) -> EndpointId {
        self.execute(endpoint("shop", uid, types));
        self.stepper.endpoint_id("shop", uid).expect("it was made")
    }

    /// The same with one message after the other, so that none passes another.
    pub(super) fn fifo_endpoint(&mut self, uid: &str, types: &[&str]) -> EndpointId {
        let mut command = endpoint("shop", uid, types);
        if let Command::Endpoint { edit, .. } = &mut command {
            let before = std::mem::replace(edit, Box::new(|_| {}));
            *edit = Box::new(move |fields| {
                before(fields);
                fields.policy.order = Some(OrderRule { by: OrderBy::Fifo, ..OrderRule::default() });
            });
        }
        self.execute(command);
        self.stepper.endpoint_id("shop", uid).expect("it was made")
    }

    pub(super) fn pause(&mut self, uid: &str) {
        self.execute(Command::PauseEndpoint { org: ORG, app: "shop".into(), endpoint: uid.into(), paused: true });
    }

    /// Takes in a message, a second after all that came before.
    pub(super) fn accept(&mut self, message: NewMessage) -> Accepted {
        self.world.clock.forward(SECOND);
        self.stepper.ask(self.outbox().accept(message)).expect("it is fine")
    }

    pub(super) fn send(&mut self, event_type: &str) -> Accepted {
        self.accept(message("shop", event_type, "1"))
    }

    pub(super) fn key(&self, to: EndpointId, of: &Accepted) -> DeliveryKey {
        DeliveryKey { endpoint: to, message: self.stepper.outbox.shared.mask.position(of.id.0) }
    }

    pub(super) fn job(&mut self, to: EndpointId, of: &Accepted) -> Job {
        let key = self.key(to, of);
        self.stepper.ask(self.outbox().job(key)).expect("it waits")
    }

    /// Makes an attempt, a second after all that came before.
    pub(super) fn attempt(&mut self, to: EndpointId, of: &Accepted, status: u16, next: Next) {
        self.world.clock.forward(SECOND);
        self.stepper.attempt(self.key(to, of), status, next).expect("it waits");
    }

    pub(super) fn cancel(&mut self, to: EndpointId, of: &Accepted) {
        self.stepper.ask(self.outbox().cancel(self.app, of.id, to)).expect("it waits");
    }

    /// An id that leads to the same place and is another one.
    pub(super) fn forged(&self, id: RawId) -> RawId {
        let shared = &self.stepper.outbox.shared;
        let forged = shared.mask.clone().id(id.time(), shared.mask.position(id), [7; 6]);
        assert_ne!(forged, id);
        forged
    }
}
