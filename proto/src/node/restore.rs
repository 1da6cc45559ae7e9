//! What a machine remembers, and what comes back from the vault: which of the two is right.

use std::collections::BTreeMap;

use crate::vault::{Contact, Vault};

/// What is remembered of contacts, and how the vault stands to it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Remembered {
    /// Everybody this person has to do with.
    pub contacts: Vec<Contact>,
    /// The newest version of the vault that this machine has seen at the server.
    pub vault_counter: u64,
    /// Whether something has changed here since.
    pub vault_dirty: bool,
}

/// What holds after a login with a password. `here` is what this machine remembers of the account, if it
/// has been here before.
///
/// A vault newer than the one last seen is right, but for what was changed here and not yet put into it.
/// The one last seen holds nothing that is not remembered here, and perhaps somebody who has been removed
/// since. A vault older than that is a server's lie or an old backup: what is remembered here stays, and
/// goes up again.
pub fn restore(here: Option<Remembered>, counter: u64, vault: Vault) -> Remembered {
    let Some(here) = here else {
        return Remembered { contacts: vault.contacts, vault_counter: counter, vault_dirty: false };
    };
    if counter < here.vault_counter {
        return Remembered { vault_counter: counter, vault_dirty: true, ..here };
    }
    if counter == here.vault_counter && here.vault_dirty {
        return here;
    }
    if !here.vault_dirty {
        return Remembered { contacts: vault.contacts, vault_counter: counter, vault_dirty: false };
    }
    let by_name = |contact: Contact| (contact.name.clone(), contact);
    let mut contacts: BTreeMap<_, _> = vault.contacts.into_iter().map(by_name).collect();
    contacts.extend(here.contacts.into_iter().map(by_name));
    Remembered {
        contacts: contacts.into_values().collect(),
        vault_counter: counter,
        vault_dirty: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{crypto::secret::Secret, reach::Policy, vault::Standing};

    fn contact(name: &str, standing: Standing) -> Contact {
        Contact {
            name: name.parse().unwrap(),
            identity: None,
            standing,
            verified: false,
            blocked: false,
            policy: Policy::default(),
        }
    }

    fn vault(contacts: Vec<Contact>) -> Vault {
        Vault { seed: Secret::new([0; 32]), server_pin: String::new(), contacts }
    }

    fn here(names: &[&str], vault_counter: u64, vault_dirty: bool) -> Option<Remembered> {
        let contacts = names.iter().map(|name| contact(name, Standing::Accepted)).collect();
        Some(Remembered { contacts, vault_counter, vault_dirty })
    }

    #[test]
    fn the_newer_side_is_right_and_nothing_unsaved_is_lost() {
        let check = |here: Option<Remembered>, counter, expected: &[&str], dirty| {
            let old = contact("old", Standing::Pending);
            let restored = restore(here, counter, vault(vec![old]));
            let names: Vec<_> = restored.contacts.iter().map(|c| c.name.as_str()).collect();
            assert_eq!((&names[..], restored.vault_dirty), (expected, dirty));
            assert_eq!(restored.vault_counter, counter);
        };
        check(None, 5, &["old"], false);
        check(here(&["new"], 5, false), 5, &["old"], false);
        check(here(&["new"], 4, false), 5, &["old"], false);
        check(here(&["new"], 5, true), 5, &["new"], true);
        check(here(&["new"], 4, true), 5, &["new", "old"], true);
        check(here(&["new"], 6, false), 5, &["new"], true);
        let mine =
            restore(here(&["old"], 4, true), 5, vault(vec![contact("old", Standing::Pending)]));
        assert_eq!(mine.contacts, [contact("old", Standing::Accepted)]);
    }
}
