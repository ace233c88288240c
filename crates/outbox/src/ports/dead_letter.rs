//! One dead letter, by name.

use postrider_model::delivery::DeliveryState;
use postrider_model::endpoint::Hold;
use postrider_model::id::{AppId, EndpointId, MessageId};
use postrider_model::query::{Delivery, DeliveryFilter, QueryError};

use crate::record::DeliveryRef;
use crate::shared::Shared;

impl Shared {
    pub(super) fn dead_letter(
        &self,
        app: AppId,
        message: MessageId,
        endpoint: EndpointId,
    ) -> Result<Option<Delivery>, QueryError> {
        match self.find_dead_letter(app, message, endpoint) {
            Some((delivery, stands)) => self.delivery_if(&DeliveryFilter::default(), &delivery, stands),
            None => Ok(None),
        }
    }

    /// A dead letter, what it is, and why its endpoint is held, if it is: one that is resent is still there. The
    /// message is not read, so this finds one whose payload is damaged, too.
    pub(super) fn find_dead_letter(
        &self,
        app: AppId,
        message: MessageId,
        endpoint: EndpointId,
    ) -> Option<(DeliveryRef, (DeliveryState, Option<Hold>))> {
        let sequence = self.mask.position(message.0);
        let state = self.state.lock();
        let lane = state.lanes.get(&endpoint).filter(|lane| lane.app == app)?;
        let dead = lane.dead.get(&sequence).filter(|dead| dead.message == message)?;
        Some((dead.delivery(app, endpoint, sequence), (lane.state(sequence)?, self.hold(endpoint))))
    }
}
