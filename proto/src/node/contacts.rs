//! People: asking, accepting, refusing.

use std::net::SocketAddr;

use super::{Change, Conn, Event, Node, Output, Refused, RequestId};
use crate::{
    identity::{Entry, PublicIdentity},
    limits::{CONTACTS_MAX, PENDING_NOTES_MAX, REQUESTS_MAX},
    name::Name,
    note::{self, NoteKind},
    reach::Policy,
    time::Time,
    vault::{Contact, Standing},
    wire::server::{Request as ServerRequest, Withdrawal},
};

/// How somebody is doing, for a list.
#[derive(Clone, Debug)]
pub struct ContactView<'a> {
    /// What is remembered.
    pub contact: &'a Contact,
    /// Whether they are there: the server says so, or there is a path.
    pub online: bool,
    /// Whether their identity was last seen to be another than the pinned one.
    pub changed: bool,
    /// Where they are, if there is a path.
    pub path: Option<(Conn, SocketAddr)>,
}

/// What a request to the server is for.
#[derive(Debug)]
pub(super) enum Request {
    /// Asking somebody: their entry is awaited.
    Lookup { name: Name },
    /// Asking somebody, as the request numbered `for_request` says: the note is under way. They may have been
    /// asked `before`.
    Ask { for_request: u32, name: Name, before: bool },
    /// Accepting somebody, as the request numbered `for_request` says: the note is under way.
    Accept { for_request: u32, name: Name, identity: Option<PublicIdentity> },
    /// Accepting again somebody who asked again; nobody waits for it.
    Reassure,
    /// Taking consent back.
    Withdraw { name: Name, how: Withdrawal },
    /// The vault is under way, as this version; `again` if the version before it met with a conflict.
    Vault { counter: u64, again: bool },
}

/// What the server answered.
#[derive(Debug)]
pub(super) enum Answer {
    Conflict,
    Done,
    Entry(Entry),
    Refused(Refused),
}

impl Answer {
    /// Why nothing comes of what was asked.
    fn why(self) -> Refused {
        match self {
            Self::Refused(why) => why,
            _ => Refused::ServerUnavailable,
        }
    }
}

impl Node {
    pub(super) fn view<'a>(&'a self, contact: &'a Contact) -> ContactView<'a> {
        let conn = self.paths.get(&contact.name).copied();
        let peer = conn.and_then(|conn| self.peers.get(&conn));
        let remote = peer.map(|peer| peer.remote);
        ContactView {
            contact,
            online: conn.is_some() || self.present.contains_key(&contact.name),
            changed: self.changed.contains_key(&contact.name),
            path: conn.zip(remote),
        }
    }

    /// Asks somebody to be a contact; accepts them if they have asked.
    pub fn add(&mut self, name: &Name) -> Result<RequestId, Refused> {
        if *name == self.name {
            return Err(Refused::Oneself);
        }
        match self.contacts.get(name) {
            Some(contact) if contact.blocked => return Err(Refused::Blocked),
            Some(contact) if contact.standing == Standing::Pending => return self.accept(name),
            Some(contact) if contact.standing == Standing::Accepted => return self.nothing_to_do(),
            None if self.contacts.len() >= CONTACTS_MAX => return Err(Refused::Full),
            _ => {}
        }
        let request = self.next_request(Request::Lookup { name: name.clone() })?;
        self.tell_server(&ServerRequest::Lookup { request, name: name.clone() });
        Ok(RequestId(request))
    }

    /// Accepts somebody who has asked.
    pub fn accept(&mut self, name: &Name) -> Result<RequestId, Refused> {
        match self.contacts.get(name) {
            Some(contact) if contact.blocked => return Err(Refused::Blocked),
            // What is being refused is no request any more.
            Some(_) if self.withdraws_from(name) => return Err(Refused::NoRequest),
            Some(contact) if contact.standing == Standing::Pending => {}
            Some(contact) if contact.standing == Standing::Accepted => return self.nothing_to_do(),
            _ => return Err(Refused::NoRequest),
        }
        let for_request = self.take_number();
        self.send_acceptance(for_request, name)?;
        Ok(RequestId(for_request))
    }

    /// Takes consent back, or refuses it.
    pub fn withdraw(
        &mut self,
        now: Time,
        name: &Name,
        how: Withdrawal,
    ) -> Result<RequestId, Refused> {
        let contact = self.contacts.get(name);
        let pending = contact.is_some_and(|contact| contact.standing == Standing::Pending);
        let blocked = contact.is_some_and(|contact| contact.blocked);
        match how {
            _ if *name == self.name => return Err(Refused::Oneself),
            Withdrawal::Reject if !pending => return Err(Refused::NoRequest),
            Withdrawal::Unblock if !blocked => return Err(Refused::NoContact),
            Withdrawal::Remove if contact.is_none() => return Err(Refused::NoContact),
            Withdrawal::Block if contact.is_none() && self.contacts.len() >= CONTACTS_MAX => {
                return Err(Refused::Full);
            }
            _ => {}
        }
        let name = name.clone();
        let request = self.next_request(Request::Withdraw { name: name.clone(), how })?;
        if matches!(how, Withdrawal::Block | Withdrawal::Remove) {
            self.part_with(now, &name);
        }
        self.tell_server(&ServerRequest::Withdraw { request, name, how });
        Ok(RequestId(request))
    }

    /// Notes that the person has compared safety numbers with somebody.
    pub fn set_verified(&mut self, name: &Name) -> Result<(), Refused> {
        let contact = self.contacts.get(name).ok_or(Refused::NoContact)?;
        if contact.identity.is_none() {
            return Err(Refused::NotAccepted);
        }
        self.remember(Contact { verified: true, ..contact.clone() });
        Ok(())
    }

    pub(super) fn request_answered(&mut self, now: Time, request: u32, answer: Answer) {
        let Some(asked) = self.requests.remove(&request) else { return };
        match (asked, answer) {
            (Request::Lookup { name }, Answer::Entry(entry)) => {
                self.ask(request, name, &entry);
            }
            (Request::Ask { for_request, .. }, Answer::Done) => self.answer(for_request, Ok(())),
            (Request::Ask { for_request, name, before }, refused) => {
                // Nothing was asked, so nothing is remembered of it, but of what was asked before.
                if !before && self.is_requested(&name) {
                    self.forget(&name);
                }
                self.answer(for_request, Err(refused.why()));
            }
            (Request::Accept { for_request, name, identity }, Answer::Done) => {
                // Whoever was accepted is the one that the note was sealed to.
                if self.contacts.get(&name).is_some_and(|contact| contact.identity == identity) {
                    self.befriend(now, &name);
                    self.answer(for_request, Ok(()));
                } else {
                    self.identity_changed(&name);
                    self.answer(for_request, Err(Refused::IdentityChanged));
                }
            }
            (Request::Accept { for_request, .. }, refused) => {
                self.answer(for_request, Err(refused.why()));
            }
            (Request::Withdraw { name, how }, Answer::Done) => {
                self.withdrawn(now, request, &name, how);
            }
            (Request::Vault { counter, .. }, Answer::Done) => self.vault_stored(counter),
            (Request::Vault { counter, again }, Answer::Conflict) => {
                self.vault_conflict(counter, again);
            }
            (Request::Vault { .. }, _) => self.vault_refused(),
            (Request::Reassure, _) => {}
            (_, Answer::Refused(why)) => self.answer(request, Err(why)),
            (_, _) => self.answer(request, Err(Refused::ServerLies)),
        }
    }

    /// Everything that was under way when the server went.
    pub(super) fn fail_requests(&mut self) {
        for (request, asked) in std::mem::take(&mut self.requests) {
            match asked {
                Request::Vault { .. } => self.vault_refused(),
                Request::Reassure => {}
                Request::Ask { for_request, .. } | Request::Accept { for_request, .. } => {
                    self.answer(for_request, Err(Refused::ServerGone));
                }
                Request::Lookup { .. } | Request::Withdraw { .. } => {
                    self.answer(request, Err(Refused::ServerGone));
                }
            }
        }
    }

    pub(super) fn note_arrived(&mut self, now: Time, from: &Name, kind: NoteKind, sealed: &[u8]) {
        let Ok(identity) = note::open(&self.identity, &self.name, kind, from, sealed) else {
            return;
        };
        let known = self.contacts.get(from).cloned();
        if known.as_ref().is_some_and(|contact| contact.blocked) {
            return;
        }
        let standing = known.as_ref().map(|contact| contact.standing);
        let verified = known.as_ref().is_some_and(|contact| contact.verified);
        let policy = known.as_ref().map(|contact| contact.policy).unwrap_or_default();
        let pinned = known.and_then(|contact| contact.identity);
        match (standing, kind) {
            (Some(Standing::Requested | Standing::Accepted), _) if pinned != Some(identity) => {
                self.identity_changed(from);
            }
            // Numbers have been compared, and not for this key.
            (Some(_), _) if verified && pinned != Some(identity) => self.identity_changed(from),
            (Some(Standing::Requested), _) => {
                self.event(Event::ContactAccepted(from.clone()));
                self.befriend(now, from);
                if kind == NoteKind::Request {
                    // Our own request may never have reached them; if it has, this changes nothing.
                    let _ = self.send_note(Request::Reassure, from, NoteKind::Accept);
                }
            }
            // They have lost or removed us, and ask again; nothing stands between us.
            (Some(Standing::Accepted), NoteKind::Request) => {
                // If it cannot be sent now, they will ask again.
                let _ = self.send_note(Request::Reassure, from, NoteKind::Accept);
            }
            (_, NoteKind::Request) if standing.is_some() || self.has_room_for_a_request() => {
                self.remember(Contact {
                    name: from.clone(),
                    identity: Some(identity),
                    standing: Standing::Pending,
                    // The same note comes again until the server knows that it is here.
                    verified,
                    blocked: false,
                    policy,
                });
                self.event(Event::ContactRequested(from.clone()));
            }
            // An acceptance of nothing, or a request that no vault would hold.
            (_, _) => {}
        }
    }

    /// Strangers may ask, and must not fill the list that the person's own contacts are on.
    fn has_room_for_a_request(&self) -> bool {
        let pending = |contact: &&Contact| contact.standing == Standing::Pending;
        self.contacts.len() < CONTACTS_MAX
            && self.contacts.values().filter(pending).count() < PENDING_NOTES_MAX
    }

    pub(super) fn identity_changed(&mut self, name: &Name) {
        self.changed.insert(name.clone(), ());
        self.event(Event::IdentityChanged(name.clone()));
    }

    pub(super) fn remember(&mut self, contact: Contact) {
        self.vault_will_change();
        self.store(Change::Contact(contact.clone()));
        self.contacts.insert(contact.name.clone(), contact);
        self.neighbours.outdate();
        self.put_vault();
    }

    /// The person asked, and the server gave an entry: pins it, and sends the request.
    fn ask(&mut self, for_request: u32, name: Name, entry: &Entry) {
        let Some(identity) = entry.verified(&name) else {
            return self.answer(for_request, Err(Refused::ServerLies));
        };
        let known = self.contacts.get(&name);
        let verified = known.is_some_and(|contact| contact.verified);
        let same = known.is_some_and(|contact| contact.identity == Some(identity));
        let policy = known.map(|contact| contact.policy).unwrap_or_default();
        let before = known.is_some_and(|contact| contact.standing == Standing::Requested);
        // What has happened while the entry was awaited.
        match known.map(|contact| (contact.blocked, contact.standing)) {
            Some((true, _)) => return self.answer(for_request, Err(Refused::Blocked)),
            Some((_, Standing::Pending)) => return self.accept_for(for_request, &name),
            Some((_, Standing::Accepted)) => return self.answer(for_request, Ok(())),
            _ => {}
        }
        if verified && !same {
            self.identity_changed(&name);
            return self.answer(for_request, Err(Refused::ServerLies));
        }
        // Remembered before it is sent: an acceptance must find what it accepts, even after a crash.
        self.remember(Contact {
            name: name.clone(),
            identity: Some(identity),
            standing: Standing::Requested,
            verified,
            blocked: false,
            policy,
        });
        let ask = Request::Ask { for_request, name: name.clone(), before };
        if let Err(refused) = self.send_note(ask, &name, NoteKind::Request) {
            if !before {
                self.forget(&name);
            }
            self.answer(for_request, Err(refused));
        }
    }

    fn send_note(&mut self, asked: Request, to: &Name, kind: NoteKind) -> Result<(), Refused> {
        let pinned = self.contacts.get(to).and_then(|contact| contact.identity);
        let pinned = pinned.ok_or(Refused::NoContact)?;
        let recipient = (to, &pinned);
        let sealed = note::seal(&mut self.rng, &self.identity, &self.entry, kind, recipient);
        let note = sealed.map_err(|_| Refused::ServerLies)?;
        let request = self.next_request(asked)?;
        self.tell_server(&ServerRequest::SendNote { request, to: to.clone(), kind, note });
        Ok(())
    }

    fn befriend(&mut self, now: Time, name: &Name) {
        if let Some(contact) = self.contacts.get(name) {
            self.remember(Contact { standing: Standing::Accepted, ..contact.clone() });
            self.seek_path(now, name);
        }
    }

    fn withdraws_from(&self, whom: &Name) -> bool {
        let withdraws =
            |request: &Request| matches!(request, Request::Withdraw { name, .. } if name == whom);
        self.requests.values().any(withdraws)
    }

    fn is_requested(&self, name: &Name) -> bool {
        let requested = |contact: &Contact| contact.standing == Standing::Requested;
        self.contacts.get(name).is_some_and(requested)
    }

    fn withdrawn(&mut self, now: Time, request: u32, name: &Name, how: Withdrawal) {
        if how != Withdrawal::Unblock {
            // Until the server knew of it, they could still come.
            self.part_with(now, name);
        }
        let known = self.contacts.get(name).cloned();
        match (how, known) {
            (Withdrawal::Block, Some(contact)) => {
                self.remember(Contact { blocked: true, ..contact });
            }
            (Withdrawal::Block, None) => self.remember(Contact {
                name: name.clone(),
                identity: None,
                standing: Standing::Stranger,
                verified: false,
                blocked: true,
                policy: Policy::default(),
            }),
            (Withdrawal::Unblock, Some(contact)) if contact.standing != Standing::Stranger => {
                self.remember(Contact { blocked: false, ..contact.clone() });
                if contact.standing == Standing::Accepted {
                    // The server forgot with the block that there was consent before it.
                    return self.accept_for(request, name);
                }
            }
            (Withdrawal::Reject | Withdrawal::Unblock | Withdrawal::Remove, _) => self.forget(name),
        }
        self.answer(request, Ok(()));
    }

    /// Goes on with the request numbered `for_request` by accepting somebody.
    fn accept_for(&mut self, for_request: u32, name: &Name) {
        if let Err(refused) = self.send_acceptance(for_request, name) {
            self.answer(for_request, Err(refused));
        }
    }

    fn send_acceptance(&mut self, for_request: u32, name: &Name) -> Result<(), Refused> {
        let identity = self.contacts.get(name).and_then(|contact| contact.identity);
        let accept = Request::Accept { for_request, name: name.clone(), identity };
        self.send_note(accept, name, NoteKind::Accept)
    }

    /// Ends paths and attempts with somebody who is being blocked or removed.
    fn part_with(&mut self, now: Time, name: &Name) {
        self.present.remove(name);
        self.missed.remove(name);
        self.failures.remove(name);
        self.changed.remove(name);
        self.abort_attempts(|attempt| attempt.name == *name);
        self.close_path(now, name);
    }

    fn forget(&mut self, name: &Name) {
        self.vault_will_change();
        for id in self.outboxes.remove(name).unwrap_or_default().into_ids() {
            self.store(Change::Cancelled { to: name.clone(), id });
        }
        self.contacts.remove(name);
        self.neighbours.outdate();
        self.store(Change::ContactGone(name.clone()));
        self.put_vault();
    }

    fn nothing_to_do(&mut self) -> Result<RequestId, Refused> {
        let request = RequestId(self.take_number());
        self.event(Event::Answered(request, Ok(())));
        Ok(request)
    }

    pub(super) fn next_request(&mut self, asked: Request) -> Result<u32, Refused> {
        if !self.server_up {
            return Err(Refused::ServerGone);
        }
        if self.requests.len() >= REQUESTS_MAX {
            return Err(Refused::Full);
        }
        let request = self.take_number();
        self.requests.insert(request, asked);
        Ok(request)
    }

    fn take_number(&mut self) -> u32 {
        let number = self.next_request;
        self.next_request = self.next_request.wrapping_add(1);
        number
    }

    fn answer(&mut self, request: u32, result: Result<(), Refused>) {
        self.outputs.push_back(Output::Event(Event::Answered(RequestId(request), result)));
    }
}
