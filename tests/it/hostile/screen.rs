//! Nothing that a contact writes reaches a terminal raw, and all of it reaches programs.

use hither_proto::{
    message::{Body, Message, Ref},
    wire::peer::Content,
};
use hither_tests::lab::Lab;

use super::{befriended, id, rng};

const TRICKS: [&str; 9] = [
    "\u{1b}[2J\u{1b}[H\u{1b}[31mcleared and red",
    "\u{1b}]0;a new title\u{7}\u{1b}]52;c;Y29waWVk\u{7}",
    "\u{9b}31m\u{9d}0;title\u{9c}\u{90}q\u{9c}",
    "backwards \u{202e}exe.gpj\u{202c} \u{2067}and\u{2069} \u{200f}so \u{61c}on",
    "rewritten\rforged: over\u{8}\u{8}\u{8}the line",
    "one line\n12:00 carol: forged\n\u{2028}13:00 carol: forged\u{2029}\u{85}14:00 carol: forged",
    "\u{b}down\u{c}page\u{0}null\u{7f}delete\u{1a}end",
    "invisible\u{200b}\u{feff}\u{ad}\u{e0041}\u{180e}marks",
    "\n\n\n\n",
];

#[test]
fn what_a_contact_writes_is_harmless_on_a_screen_and_whole_for_programs() {
    let lab = Lab::new("terminal tricks");
    let (_server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    let mut path = mallory.calls(&bobs).dials(&mut rng());
    path.greets();
    for (number, trick) in (0..).zip(TRICKS) {
        path.texts(id(number), trick);
        path.hears_receipt_of(id(number));
    }
    for command in [&["list", "messages"][..], &["receive"]] {
        let seen = bob.reads(command);
        let screen = format!("{}{}", seen.shows(), seen.stderr);
        let obeyed = |c: char| c.is_control() && c != '\n' || is_invisible(c);
        let obeyed: Vec<char> = screen.chars().filter(|c| obeyed(*c)).collect();
        assert_eq!(obeyed, [], "{command:?}: {screen:?}");
        let forged =
            |line: &str| line.starts_with(|c: char| c.is_ascii_digit()) && line.contains("carol");
        assert!(!screen.lines().any(forged), "{command:?}: {screen}");
        assert!(screen.contains("cleared and red"), "{command:?}: {screen}");
    }
    assert_eq!(bob.history(), TRICKS);
    let again = bob.receives_with(&["--since", "0"]);
    assert_eq!(again.into_iter().map(|message| message.text).collect::<Vec<_>>(), TRICKS);
}

#[test]
fn signs_edits_and_what_is_not_known_yet_are_harmless_on_a_screen_too() {
    let lab = Lab::new("more terminal tricks");
    let (_server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    let mut path = mallory.calls(&bobs).dials(&mut rng());
    path.greets();
    path.texts(id(100), "harmless");
    path.hears_receipt_of(id(100));
    for (number, trick) in (0..).zip(TRICKS) {
        let sign: String = trick.chars().take(12).collect();
        let bodies = [
            Body::Reaction { of: Ref { id: id(100), own: true }, emoji: sign },
            Body::Edit { of: id(100), text: trick.to_owned() },
            Body::Unknown { kind: 99, body: trick.as_bytes().to_vec() },
        ];
        for (part, body) in (0..).zip(bodies) {
            let id = id(10 * number + part + 101);
            path.sends(id, body);
            path.hears_receipt_of(id);
        }
        for command in [&["list", "messages"][..], &["history", "mallory"], &["list"]] {
            let seen = bob.reads(command);
            let screen = format!("{}{}", seen.shows(), seen.stderr);
            let obeyed = |c: &char| c.is_control() && *c != '\n' || is_invisible(*c);
            assert_eq!(screen.chars().find(obeyed), None, "{command:?}: {screen:?}");
        }
    }
}

#[test]
fn whatever_clock_a_contact_claims_to_have_the_text_is_shown() {
    let lab = Lab::new("strange clocks");
    let (_server, bob, mut mallory, bobs) = befriended(&lab, "bob");
    let mut path = mallory.calls(&bobs).dials(&mut rng());
    path.greets();
    let clocks = [0, 1 << 47, 253_402_300_800_000, i64::MAX as u64, u64::MAX];
    for (number, sent_at) in (0..).zip(clocks) {
        let body = Body::text(format!("at {sent_at}"));
        path.says(&Content::Message(Message { id: id(number), sent_at, seen: None, body }));
        path.hears_receipt_of(id(number));
    }
    let texts = clocks.map(|clock| format!("at {clock}"));
    for command in [&["list", "messages"][..], &["receive"]] {
        let seen = bob.reads(command);
        assert!(texts.iter().all(|text| seen.shows().contains(text)), "{seen}");
    }
    let again = bob.receives_with(&["--since", "0"]);
    assert_eq!(again.into_iter().map(|message| message.text).collect::<Vec<_>>(), texts);
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}')
}
