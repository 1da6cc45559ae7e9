//! The vault at the server, kept in step with the contacts that it holds.

use super::{Change, Event, Node, contacts::Request};
use crate::{vault::Vault, wire::server::Request as ServerRequest};

impl Node {
    /// Puts the vault at the server in step, if it is not, the server is there, and no version is under way.
    pub fn put_vault(&mut self) {
        self.put_vault_version(false);
    }

    /// Whether the server has been sent a version of the vault and has not answered. [`Event::VaultSettled`]
    /// tells when that is over.
    pub fn vault_is_under_way(&self) -> bool {
        self.requests.values().any(|request| matches!(request, Request::Vault { .. }))
    }

    /// Goes before the change itself: a crash between the two must not leave a vault that is taken to be
    /// in step.
    pub(super) fn vault_will_change(&mut self) {
        self.vault_dirty = true;
        self.store(Change::Vault { counter: self.vault_counter, dirty: true });
    }

    pub(super) fn vault_stored(&mut self, counter: u64) {
        self.vault_counter = counter;
        let dirty = self.vault_dirty;
        self.store(Change::Vault { counter, dirty });
        self.put_vault();
        self.tell_if_vault_settled();
    }

    /// The next change, login or logout tries again.
    pub(super) fn vault_refused(&mut self) {
        self.vault_dirty = true;
        self.tell_if_vault_settled();
    }

    /// The server has another version than the one this is the successor of. Nobody else writes while
    /// this session lasts, so it is our own, and its answer was lost with a connection or a crash.
    pub(super) fn vault_conflict(&mut self, counter: u64, again: bool) {
        self.vault_dirty = true;
        if !again {
            self.vault_counter = counter;
            self.store(Change::Vault { counter, dirty: true });
            self.put_vault_version(true);
        }
        self.tell_if_vault_settled();
    }

    fn put_vault_version(&mut self, again: bool) {
        if !self.vault_dirty || !self.server_up || self.vault_is_under_way() {
            return;
        }
        let counter = self.vault_counter + 1;
        let vault = Vault {
            seed: self.identity.seed().duplicate(),
            server_pin: self.server_pin.clone(),
            contacts: self.contacts.values().cloned().collect(),
        };
        // `CONTACTS_MAX` contacts fit; were they not to, the vault stays dirty and local.
        let Ok(sealed) = self.vault_key.seal(&mut self.rng, &self.name, counter, &vault) else {
            return;
        };
        let Ok(request) = self.next_request(Request::Vault { counter, again }) else { return };
        self.vault_dirty = false;
        self.tell_server(&ServerRequest::PutVault { request, vault: sealed });
    }

    fn tell_if_vault_settled(&mut self) {
        if !self.vault_is_under_way() {
            self.event(Event::VaultSettled);
        }
    }
}
