//! Two people who are both there.

use std::collections::BTreeSet;

use hither_tests::lab::{Lab, Message};
use rustix::process::Signal;

/// The longest text there is, in bytes.
const LONGEST: usize = 64 * 1024;

#[test]
fn the_first_message_in_each_direction_is_delivered() {
    let lab = Lab::new("first messages");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let sent = alice.delivers("bob", "hello bob");
    assert!(sent["elapsed_ms"].is_u64(), "{sent}");
    let [message] = bob.awaits(1).try_into().unwrap();
    assert_eq!((message.from.as_str(), message.text.as_str()), ("alice", "hello bob"));
    assert_eq!(message.id, sent["id"], "the same id at both ends");

    bob.delivers("alice", "hello alice");
    assert_eq!(alice.hears(1), ["hello alice"]);
    assert_eq!(alice.path_to("bob").as_deref(), sent["remote"].as_str(), "over the path shown");
    for person in [&alice, &bob] {
        assert_eq!(person.history(), ["hello bob", "hello alice"]);
    }
}

#[test]
fn a_text_arrives_byte_for_byte() {
    let lab = Lab::new("byte for byte");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let longest = "ä€𝄞x".chars().cycle().take(LONGEST / 10 * 4).collect::<String>();
    let longest = longest + &"y".repeat(LONGEST % 10);
    assert_eq!(longest.len(), LONGEST);
    let texts = [
        "grüße, Ελλάδα, 日本語, עברית, 👩‍👩‍👧‍👦 and e\u{301} is not é",
        "three\nlines\n\nand a blank one",
        "two final newlines\n\n",
        "windows\r\n",
        "  spaces and a tab around\t ",
        "--help",
        "\u{feff}marked \u{1b}[1m \u{202e} \u{0} \u{7f} \u{9b} \u{fffd} \u{10ffff}",
        "{\"v\":1,\"text\":\"\\u0041\"}",
        longest.as_str(),
    ];
    for text in texts {
        alice.delivers("bob", text);
    }
    assert_eq!(bob.hears(texts.len()), texts);
    assert_eq!(alice.history(), texts);
}

#[test]
fn words_on_the_command_line_are_joined_by_spaces() {
    let lab = Lab::new("words as arguments");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    alice.runs(&["send", "bob", "--wait", "60s", "see", "you  at", "eight"]).done();
    assert_eq!(bob.hears(1), ["see you  at eight"]);
}

#[test]
fn what_cannot_be_sent_is_refused_whole() {
    let lab = Lab::new("unsendable texts");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    alice.sends("bob", &"x".repeat(LONGEST + 1)).fails(2, "usage");
    for bytes in [&b"not \xff UTF-8"[..], b"cut \xe2\x82", b"surrogate \xed\xa0\x80"] {
        alice.starts(&["send", "bob"], Some(bytes)).wait().fails(2, "usage");
    }
    alice.sends_with("bob", "with a strange id", &["--id", "nonsense"]).fails(2, "usage");
    alice.sends_with("bob", "with a strange time", &["--wait", "soon"]).fails(2, "usage");
    alice.delivers("bob", "this one is fine");
    assert_eq!(bob.hears(1), ["this one is fine"]);
    assert_eq!(alice.history(), ["this one is fine"]);
}

#[test]
fn sending_again_with_the_same_id_delivers_once() {
    let lab = Lab::new("the same id");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let sent = alice.delivers("bob", "once");
    let id = sent["id"].as_str().unwrap();
    for _ in 0..3 {
        let again = alice.sends_with("bob", "once", &["--wait", "60s", "--id", id]).done();
        assert_eq!((&again["id"], &again["state"]), (&sent["id"], &"delivered".into()));
    }
    let other = alice.sends_with("bob", "another text", &["--id", id]);
    assert_ne!(other.exit, 0, "one id is one message: {other}");
    alice.delivers("bob", "and on");
    assert_eq!(bob.hears(2), ["once", "and on"]);
    assert_eq!(alice.history(), ["once", "and on"]);
}

#[test]
fn fifty_messages_keep_their_order() {
    let lab = Lab::new("fifty messages");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let numbered = |name: &str| (0..50).map(|n| format!("{n} of {name}")).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        for (from, to) in [(&alice, "bob"), (&bob, "alice")] {
            scope.spawn(move || {
                for text in numbered(from.name()) {
                    from.delivers(to, &text);
                }
            });
        }
    });
    let heard = bob.awaits(50);
    let ids: Vec<&String> = heard.iter().map(|message| &message.id).collect();
    assert!(ids.is_sorted(), "ids sort by time");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 50);
    assert_eq!(heard.into_iter().map(|m| m.text).collect::<Vec<_>>(), numbered("alice"));
    assert_eq!(alice.hears(50), numbered("bob"));
}

#[test]
fn people_see_a_harmless_text_and_programs_the_whole_one() {
    let lab = Lab::new("escape sequences");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let forged = "alice  12:00  forged";
    let text = format!("seen \u{1b}[31mred\u{7}\u{9b}2J\u{202e}gnp.exe\u{2066}\r\u{8}\n{forged}");
    alice.delivers("bob", &text);

    let seen = bob.reads(&["receive"]);
    let screen = format!("{}{}", seen.shows(), seen.stderr);
    assert!(screen.contains("seen"), "the text is shown: {screen:?}");
    assert!(screen.contains(forged), "all of it: {screen:?}");
    let dangerous = |c: char| (c.is_control() && c != '\n' && c != '\t') || is_direction(c);
    assert!(!screen.contains(dangerous), "{screen:?}");
    assert!(!screen.lines().any(|line| line.starts_with(forged)), "no forged line: {screen:?}");

    assert_eq!(bob.history(), [text]);
    let seen = bob.reads(&["list", "messages"]);
    assert!(!seen.shows().contains(dangerous), "{seen}");
}

#[test]
fn receive_follows_and_ends_when_it_was_told_to() {
    let lab = Lab::new("receive -F");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    alice.delivers("bob", "unread");
    let mut follower = bob.starts(&["receive", "-F", "--max", "3"], None);
    follower.lines(1);
    alice.delivers("bob", "live");
    follower.lines(2);
    alice.delivers("bob", "last");
    let seen = follower.wait();
    let texts: Vec<_> = seen.shows().lines().map(|line| Message::parse(line).text).collect();
    assert_eq!(texts, ["unread", "live", "last"]);

    bob.runs(&["receive", "-F", "--timeout", "100ms"]).shows();

    let mut endless = bob.starts(&["receive", "-F"], None);
    alice.delivers("bob", "before the interruption");
    endless.lines(1);
    endless.signal(Signal::INT);
    assert_eq!(endless.wait().exit, 130);
}

#[test]
fn receive_starts_where_its_reader_stopped() {
    let lab = Lab::new("receive --since");
    let server = lab.server();
    let [alice, bob, carol] = lab.friends(&server, ["alice", "bob", "carol"]);
    for text in ["one", "two", "three"] {
        alice.delivers("bob", text);
    }
    let all = bob.awaits(3);
    assert!(bob.receives().is_empty(), "what was read is read");
    let again = bob.receives_with(&["--since", &all[0].cursor]);
    assert_eq!(again.into_iter().map(|m| m.text).collect::<Vec<_>>(), ["two", "three"]);

    alice.delivers("bob", "four");
    carol.delivers("bob", "five");
    let from_carol = bob.receives_with(&["--from", "carol"]);
    assert_eq!(from_carol.into_iter().map(|m| m.text).collect::<Vec<_>>(), ["five"]);
    alice.delivers("bob", "six");
    let first = bob.receives_with(&["--max", "1"]);
    assert_eq!(first.into_iter().map(|m| m.text).collect::<Vec<_>>(), ["four"]);
    assert_eq!(bob.hears(1), ["six"]);
}

/// The characters that change the direction of what stands around them.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}
