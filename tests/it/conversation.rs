//! What two people can say to each other, and that both see the same of it.

use hither_proto::message::Body;
use hither_tests::lab::{Lab, Person, until_true};
use serde_json::{Value, json};

use crate::hostile::{befriended, id, rng};

#[test]
fn a_reply_names_what_it_answers_and_every_message_what_its_writer_had_seen() {
    let lab = Lab::new("reply");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let question = alice.says("bob", "tea or coffee?");
    let flags = ["--reply-to", &question, "--wait", "60s"];
    let answer = bob.sends_with("alice", "tea", &flags).done();
    let answer = answer["id"].as_str().unwrap();
    for (person, other) in both(&alice, &bob) {
        let [first, second] = person.conversation(other).try_into().unwrap();
        assert_eq!((&first["id"], &second["id"]), (&json!(question), &json!(answer)));
        assert_eq!((&first["from"], &second["from"]), (&json!("alice"), &json!("bob")));
        assert_eq!((&first["reply_to"], &second["reply_to"]), (&Value::Null, &json!(question)));
        assert_eq!((&first["after"], &second["after"]), (&Value::Null, &json!(question)));
        assert_eq!((&first["kind"], &second["kind"]), (&json!("text"), &json!("text")));
    }
    let heard = parsed(alice.runs(&["receive"]).shows());
    assert_eq!(heard[0]["reply_to"], question);
    let nothing = id(1).to_string();
    alice.sends_with("bob", "to what?", &["--reply-to", &nothing]).fails(10, "not_found");
}

#[test]
fn an_edit_takes_the_place_of_the_text_at_both_ends() {
    let lab = Lab::new("edit");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let typo = alice.says("bob", "see you at seven");
    let other = alice.says("bob", "bring a coat");
    let edit = alice.changes(&["edit", &typo, "see", "you", "at", "eight"]);
    assert_ne!(edit["id"], typo, "an edit is a message of its own");
    for (person, name) in both(&alice, &bob) {
        let texts: Vec<Value> = texts(&person.conversation(name));
        assert_eq!(texts, ["see you at eight", "bring a coat"]);
        assert_eq!(person.message(name, &typo)["edited"], true);
        assert_eq!(person.message(name, &other)["edited"], false);
    }
    assert_eq!(bob.hears(2), ["see you at eight", "bring a coat"], "once, as it is worded now");
    alice.changes(&["edit", &typo, "see you at nine"]);
    assert_eq!(texts(&bob.conversation("alice")), ["see you at nine", "bring a coat"]);
    assert_eq!(bob.contact("alice").unwrap()["unread"], 0);
    bob.kills_agent();
    assert_eq!(texts(&bob.conversation("alice")), ["see you at nine", "bring a coat"]);
}

#[test]
fn an_edit_of_what_still_waits_arrives_behind_it() {
    let lab = Lab::new("edit while queued");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.stops_agent();
    alice.sees_offline("bob");
    let waiting = alice.queues("bob", "first wording");
    alice.runs(&["edit", &waiting, "second wording"]).fails(7, "queued");
    let edited = alice.runs(&["edit", &waiting, "third wording", "--queue-ok"]).done();
    assert_eq!((&edited["state"], &edited["of"]), (&json!("queued"), &json!(waiting)));
    assert_eq!(texts(&alice.conversation("bob")), ["third wording"]);
    alice.kills_agent();
    assert_eq!(texts(&alice.conversation("bob")), ["third wording"]);
    bob.starts_agent();
    until_true("the queue is empty", || alice.queue().is_empty());
    assert_eq!(bob.hears(1), ["third wording"]);
    assert_eq!(bob.message("alice", &waiting)["edited"], true);
}

#[test]
fn what_is_taken_back_is_gone_at_both_ends_and_shown_as_gone() {
    let lab = Lab::new("delete");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let read = alice.says("bob", "a read indiscretion");
    bob.hears(1);
    let unread = alice.says("bob", "an unread indiscretion");
    let kept = alice.says("bob", "the weather");
    for id in [&read, &unread] {
        alice.changes(&["delete", id]);
    }
    for (person, name) in both(&alice, &bob) {
        let conversation = person.conversation(name);
        assert_eq!(texts(&conversation), [Value::Null, Value::Null, json!("the weather")]);
        let deleted: Vec<&Value> = conversation.iter().map(|one| &one["deleted"]).collect();
        assert_eq!(deleted, [true, true, false]);
        assert_eq!(person.finds(&["indiscretion"]), [0; 0]);
        let screen = person.reads(&["history", name]);
        assert!(screen.shows().contains("deleted"), "{screen}");
    }
    assert_eq!(bob.hears(1), ["the weather"], "what is gone does not have to be read");
    assert_eq!(bob.conversation("alice")[2]["id"], kept);
}

#[test]
fn what_is_deleted_before_it_was_sent_never_leaves() {
    let lab = Lab::new("delete while queued");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.stops_agent();
    alice.sees_offline("bob");
    let regretted = alice.queues("bob", "regretted");
    alice.queues("bob", "meant");
    let deleted = alice.runs(&["delete", &regretted]).done();
    assert_eq!(deleted["state"], "cancelled");
    assert_eq!(alice.queue().len(), 1);
    bob.starts_agent();
    assert_eq!(bob.hears(1), ["meant"]);
    until_true("the queue is empty", || alice.queue().is_empty());
    assert_eq!(bob.conversation("alice").len(), 1);
}

#[test]
fn what_is_removed_here_stays_there() {
    let lab = Lab::new("delete here");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let hers = alice.says("bob", "hers");
    let his = bob.says("alice", "his");
    for id in [&hers, &his] {
        alice.runs(&["delete", id, "--here"]).done();
    }
    assert_eq!(alice.conversation("bob"), [0; 0]);
    assert_eq!(texts(&bob.conversation("alice")), ["hers", "his"]);
}

#[test]
fn a_sign_takes_the_place_of_the_one_before_and_can_be_taken_back() {
    let lab = Lab::new("reactions");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let hers = alice.says("bob", "it is done");
    bob.changes(&["react", &hers, "👍"]);
    alice.changes(&["react", &hers, "🤔"]);
    bob.changes(&["react", &hers, "🎉"]);
    for (person, name) in both(&alice, &bob) {
        let mut signs = person.message(name, &hers)["reactions"].as_array().unwrap().clone();
        signs.sort_by_key(|sign| sign["from"].to_string());
        let expected =
            json!([{ "from": "alice", "emoji": "🤔" }, { "from": "bob", "emoji": "🎉" }]);
        assert_eq!(json!(signs), expected);
        assert_eq!(person.conversation(name).len(), 1, "a sign is no message to be read");
    }
    bob.changes(&["react", &hers, "--remove"]);
    for (person, name) in both(&alice, &bob) {
        let signs = &person.message(name, &hers)["reactions"];
        assert_eq!(*signs, json!([{ "from": "alice", "emoji": "🤔" }]));
    }
    assert_eq!(alice.contact("bob").unwrap()["unread"], 0);
}

#[test]
fn what_was_read_is_shown_as_read_to_its_writer() {
    let lab = Lab::new("read receipts");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let ids = ["one", "two", "three"].map(|text| alice.says("bob", text));
    let read = bob.runs(&["read", "alice", "--up-to", &ids[1]]).done();
    assert_eq!((&read["name"], &read["read"]), (&json!("alice"), &json!(2)));
    for id in &ids[..2] {
        alice.sees("bob", id, "state", "read");
    }
    assert_eq!(alice.message("bob", &ids[2])["state"], "delivered");
    assert_eq!(bob.hears(1), ["three"], "what is read is not printed again");
    alice.sees("bob", &ids[2], "state", "read");
    assert_eq!(bob.runs(&["read", "alice"]).done()["read"], 0);
    alice.kills_agent();
    assert!(ids.iter().all(|id| alice.message("bob", id)["state"] == "read"));
    assert_eq!(alice.conversation("bob").len(), 3, "a receipt is not shown");
    assert_eq!(bob.conversation("alice").len(), 3);
}

#[test]
fn who_switches_read_receipts_off_tells_nobody_what_was_read() {
    let lab = Lab::new("no read receipts");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    bob.runs(&["config", "set", "messages.read_receipts", "false"]).done();
    let ids = ["one", "two"].map(|text| alice.says("bob", text));
    bob.hears(2);
    bob.runs(&["read", "alice"]).done();
    // A receipt would have come before this, for messages of one machine keep their order.
    bob.says("alice", "read, but untold");
    assert_eq!(alice.hears(1), ["read, but untold"]);
    assert!(ids.iter().all(|id| alice.message("bob", id)["state"] == "delivered"));

    bob.runs(&["config", "set", "messages.read_receipts", "true"]).done();
    let told = alice.says("bob", "three");
    bob.hears(1);
    alice.sees("bob", &told, "state", "read");
    assert!(ids.iter().all(|id| alice.message("bob", id)["state"] == "delivered"));
}

#[test]
fn a_message_disappears_once_its_time_is_up_and_its_time_begins_when_it_is_read() {
    let lab = Lab::new("disappearing");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let before = alice.says("bob", "before the timer");
    let set = alice.runs(&["timer", "bob", "1s"]).done();
    assert_eq!((&set["name"], &set["seconds"]), (&json!("bob"), &json!(1)));
    until_true("bob's timer", || bob.runs(&["timer", "alice"]).done()["seconds"] == 1);
    let short = alice.says("bob", "a short life");
    // For its writer the time begins with the delivery. When it is up here, it would be up there, too.
    alice.sees_no_more("bob", &short);
    assert_eq!(bob.message("alice", &short)["text"], "a short life", "nobody has read it");
    let answer = bob.says("alice", "the timer is for both");
    assert_eq!(bob.hears(2), ["before the timer", "a short life"]);
    bob.sees_no_more("alice", &short);
    assert_eq!(bob.finds(&["life"]), [0; 0]);
    bob.sees_no_more("alice", &answer);

    assert_eq!(alice.hears(1), ["the timer is for both"]);
    alice.kills_agent();
    alice.sees_no_more("bob", &answer);
    bob.runs(&["timer", "alice", "off"]).done();
    until_true("no timer", || alice.runs(&["timer", "bob"]).done()["seconds"].is_null());
    let stays = alice.says("bob", "this one stays");
    bob.hears(1);
    for (person, name) in both(&alice, &bob) {
        for id in [&before, &stays] {
            assert_eq!(person.message(name, id)["expires_at"], Value::Null);
            assert!(person.message(name, id)["text"].is_string());
        }
    }
}

#[test]
fn a_kind_from_a_newer_version_is_kept_shown_and_acknowledged() {
    let lab = Lab::new("newer kind");
    let (_server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    let mut path = mallory.calls(&bobs).dials(&mut rng());
    path.greets();
    let poll = id(7).to_string();
    path.sends(id(7), Body::Unknown { kind: 77, body: b"\x82\x63tea\x66coffee".to_vec() });
    path.hears_receipt_of(id(7));
    assert_eq!(bob.contact("mallory").unwrap()["unread"], 1);
    let [heard] = parsed(bob.runs(&["receive"]).shows()).try_into().unwrap();
    assert_eq!((&heard["id"], &heard["kind"]), (&json!(poll), &json!("unknown")));
    bob.kills_agent();
    let shown = bob.message("mallory", &poll);
    let kind = (&shown["kind"], &shown["unknown_kind"], &shown["text"]);
    assert_eq!(kind, (&json!("unknown"), &json!(77), &Value::Null));
    let screen = bob.reads(&["history", "mallory"]);
    assert!(screen.shows().contains("77"), "{screen}");
}

#[test]
fn typing_reaches_who_listens_and_is_never_stored() {
    let lab = Lab::new("typing");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    alice.says("bob", "a path for typing");
    bob.hears(1);
    let mut listener = bob.talks_to_agent();
    listener.asks("events.subscribe", &json!({ "kinds": ["typing"] }));
    let mut typist = alice.talks_to_agent();
    for on in [true, false] {
        typist.asks("message.typing", &json!({ "to": "bob", "on": on }));
        let event = listener.hears_event();
        let told = (&event["kind"], &event["from"], &event["on"]);
        assert_eq!(told, (&json!("typing"), &json!("alice"), &json!(on)));
        assert!(event.get("cursor").is_none(), "it is not to be found again: {event}");
    }
    assert_eq!(bob.conversation("alice").len(), 1);
    assert_eq!(bob.receives_with(&["--since", "0"]).len(), 1);
    bob.stops_agent();
    alice.sees_offline("bob");
    typist.asks("message.typing", &json!({ "to": "bob" }));
    assert!(alice.queue().is_empty());
}

#[test]
fn a_follower_hears_of_edits_deletions_and_signs() {
    let lab = Lab::new("follow changes");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let mut follower = bob.starts(&["receive", "-F"], None);
    let id = alice.says("bob", "hello");
    alice.changes(&["edit", &id, "hello, you"]);
    alice.changes(&["react", &id, "👋"]);
    alice.changes(&["delete", &id]);
    let heard = parsed(&follower.lines(4).join("\n"));
    let kinds: Vec<&Value> = heard.iter().map(|line| &line["kind"]).collect();
    assert_eq!(kinds, ["text", "edit", "reaction", "delete"]);
    assert!(heard[1..].iter().all(|line| line["of"] == id), "{heard:?}");
    let cursors: Vec<u64> =
        heard.iter().map(|line| line["cursor"].as_str().unwrap().parse().unwrap()).collect();
    assert!(cursors.is_sorted(), "{cursors:?}");
    drop(follower);
    assert_eq!(parsed(bob.runs(&["receive"]).shows()), [0; 0], "nothing of it is left to read");
}

#[test]
fn a_long_conversation_is_read_page_by_page() {
    let lab = Lab::new("pages");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let ids: Vec<String> = (0..7).map(|n| alice.says("bob", &n.to_string())).collect();
    let page = |flags: &[&str]| {
        let page = bob.runs(&[&["history", "alice"], flags].concat()).done();
        let page = page["messages"].as_array().unwrap().clone();
        page.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(page(&[]), ids);
    assert_eq!(page(&["--limit", "3"]), ids[4..]);
    assert_eq!(page(&["--limit", "3", "--before", &ids[4]]), ids[1..4]);
    assert_eq!(page(&["--limit", "3", "--before", &ids[1]]), ids[..1]);
    assert_eq!(page(&["--before", &ids[0]]), [""; 0]);
    let nothing = id(1).to_string();
    bob.runs(&["history", "alice", "--before", &nothing]).fails(10, "not_found");
    bob.runs(&["history", "nobody"]).fails(10, "not_found");
}

#[test]
fn a_search_finds_every_word_in_any_spelling_newest_first() {
    let lab = Lab::new("search");
    let server = lab.server();
    let [alice, bob, carol] = lab.friends(&server, ["alice", "bob", "carol"]);
    let first = alice.says("bob", "Grüße aus KÖLN am Rhein");
    let second = bob.says("alice", "Köln? Im Regen? Grüße!");
    let third = carol.says("alice", "grüße aus köln");
    let found = |args: &[&str]| {
        let found = alice.finds(args).into_iter();
        found.map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(&["köln"]), [third.as_str(), &second, &first]);
    assert_eq!(found(&["GRÜSSE", "rhein"]), [""; 0], "letters are folded, not spelled anew");
    assert_eq!(found(&["RHEIN", "grüße"]), [first.as_str()]);
    assert_eq!(found(&["köl", "--with", "bob"]), [second.as_str(), &first]);
    assert_eq!(found(&["köln", "--limit", "1"]), [third.as_str()]);
    assert_eq!(found(&["paris"]), [""; 0]);
    alice.changes(&["edit", &first, "Grüße aus Bonn"]);
    assert_eq!(found(&["bonn"]), [first.as_str()]);
    assert_eq!(found(&["köln", "--with", "bob"]), [second.as_str()]);
    bob.changes(&["delete", &second]);
    assert_eq!(found(&["köln", "--with", "bob"]), [""; 0]);
    alice.kills_agent();
    assert_eq!(found(&["köln"]), [third.as_str()]);
}

#[test]
fn what_cannot_be_changed_is_refused_with_the_reason() {
    let lab = Lab::new("not yours");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let his = bob.says("alice", "his");
    let hers = alice.says("bob", "hers");
    let gone = alice.says("bob", "gone");
    alice.changes(&["delete", &gone]);
    alice.runs(&["edit", &his, "mine now"]).fails(11, "refused");
    alice.runs(&["delete", &his]).fails(11, "refused");
    alice.runs(&["cancel", &his]).fails(11, "refused");
    let error = alice.runs(&["cancel", &hers]).fails(11, "refused");
    assert!(error["hint"].as_str().unwrap().contains("delete"), "{error}");
    let nothing = id(1).to_string();
    for id in [&gone, &nothing] {
        alice.runs(&["edit", id, "again"]).fails(10, "not_found");
        alice.runs(&["delete", id]).fails(10, "not_found");
        alice.runs(&["react", id, "👍"]).fails(10, "not_found");
        alice.runs(&["cancel", id]).fails(10, "not_found");
    }
    alice.runs(&["edit", "nonsense", "text"]).fails(2, "usage");
    alice.runs(&["react", &his, "two words"]).fails(2, "usage");
    alice.runs(&["edit", &hers, &"x".repeat(64 * 1024 + 1)]).fails(2, "usage");
    for (person, name) in both(&alice, &bob) {
        assert_eq!(texts(&person.conversation(name)), [json!("his"), json!("hers"), Value::Null]);
    }
}

fn both<'a>(alice: &'a Person, bob: &'a Person) -> [(&'a Person, &'static str); 2] {
    [(alice, "bob"), (bob, "alice")]
}

fn texts(messages: &[Value]) -> Vec<Value> {
    messages.iter().map(|message| message["text"].clone()).collect()
}

#[track_caller]
fn parsed(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
}
