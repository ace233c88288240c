//! Which local users may send.

/// The users that the door is open to.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    owners: Vec<u32>,
    guests: Vec<u32>,
}

/// What a peer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Send for any tenant.
    Owner,
    /// Send for the socket's tenant.
    Guest,
}

impl Peers {
    /// Root and the server's own user are owners, `allowed` are guests.
    pub(crate) fn new(own_uid: u32, allowed: &[u32]) -> Self {
        Self { owners: vec![0, own_uid], guests: allowed.to_vec() }
    }

    /// Nobody at all, not even the user that runs the tests.
    #[cfg(test)]
    pub(crate) const fn nobody() -> Self {
        Self { owners: Vec::new(), guests: Vec::new() }
    }

    /// `None` if the user may not send at all.
    pub(crate) fn access(&self, uid: u32) -> Option<Access> {
        match uid {
            uid if self.owners.contains(&uid) => Some(Access::Owner),
            uid if self.guests.contains(&uid) => Some(Access::Guest),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_users_get_in() {
        let peers = Peers::new(1000, &[1001]);
        assert_eq!(peers.access(0), Some(Access::Owner));
        assert_eq!(peers.access(1000), Some(Access::Owner));
        assert_eq!(peers.access(1001), Some(Access::Guest));
        assert_eq!(peers.access(1002), None);
    }
}
