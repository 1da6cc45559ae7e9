//! Whom this person lets know where they are.

use super::{Node, Refused};
use crate::{
    name::Name,
    reach::Policy,
    time::Time,
    vault::{Contact, Standing},
    wire::server::Request,
};

impl Node {
    /// Decides which addresses pass between this person and a contact. What passed before stays known.
    pub fn set_policy(&mut self, now: Time, name: &Name, policy: Policy) -> Result<(), Refused> {
        let contact = self.contacts.get(name).ok_or(Refused::NoContact)?;
        if contact.policy == policy {
            return Ok(());
        }
        self.remember(Contact { policy, ..contact.clone() });
        self.tell_reach();
        // A path may run where the policy allows none any more.
        self.abort_attempts(|attempt| attempt.name == *name);
        self.close_path(now, name);
        self.seek_path(now, name);
        Ok(())
    }

    /// Tells the server who must not be told what it sees.
    pub(super) fn tell_reach(&mut self) {
        let hidden = self.contacts.values().filter(|contact| {
            contact.standing != Standing::Stranger && contact.policy.hides_observed()
        });
        let hidden_from = hidden.map(|contact| contact.name.clone()).collect();
        if self.server_up {
            self.tell_server(&Request::Reach { hidden_from });
        }
    }
}
