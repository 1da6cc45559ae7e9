//! How long it takes to find a word among a hundred thousand messages, none of which is readable on the disk.

use std::hint::black_box;

use hither_proto::crypto::{
    rng::Rng,
    seal::{open_at_rest, seal_at_rest},
    secret::Secret,
};
use hither_tests::lab::Lab;
use serde_json::json;

use crate::{
    api::Api,
    crowd::{Doorway, Friend, write_all},
    ratchet::rng,
    report::{Row, Target, Unit},
    samples::{Samples, seconds},
};

const MESSAGES: usize = 100_000;
const AT_ONCE: usize = 400;
const TEXT_BYTES: usize = 100;

/// Texts that a store could keep sealed together.
const BLOCK_BYTES: usize = 64 << 10;

const STARTS: usize = 5;
const LATER: usize = 10;
const ANSWERS: usize = 50;

/// A word in every text, in one of them, and in none.
const COMMON: &str = "the";
const RARE: &str = "quincunx";
const ABSENT: &str = "zyzzyva";

pub(crate) fn measure() -> Vec<Row> {
    let lab = Lab::new("search");
    let server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    let mut friends = [Friend::of(&Doorway::new(&alice, &server), "bob")];
    let texts = texts(&mut rng());
    for texts in texts.chunks(AT_ONCE) {
        write_all(&mut friends, |_| texts.to_vec());
    }
    let blocks = Blocks::seal(&texts);
    let [mut first, mut common, mut rare, mut absent, mut floor] =
        [(); 5].map(|()| Samples::default());
    for _ in 0..STARTS {
        alice.stops_agent();
        alice.starts_agent();
        let mut api = Api::of(&alice);
        let mut search = |word: &str, hits: usize| {
            let params = json!({ "text": word, "limit": ANSWERS });
            let mut found = 0;
            let took = seconds(|| {
                let answer = api.call("message.search", params);
                found = answer["messages"].as_array().expect("a list of messages").len();
            });
            assert_eq!(found, hits, "{word}");
            took
        };
        // The worst case: nothing is in memory, and everything has to be looked through.
        first.push(search(ABSENT, 0));
        for _ in 0..LATER {
            common.push(search(COMMON, ANSWERS));
            rare.push(search(RARE, 1));
            absent.push(search(ABSENT, 0));
            floor.push(seconds(|| assert_eq!(blocks.count(ABSENT), 0)));
        }
    }
    let row = |what, measured| Row {
        area: "search",
        what,
        unit: Unit::Seconds,
        measured,
        floor: Some(floor.clone()),
        peer: None,
        target: Some(Target::AtMost(0.1)),
    };
    vec![
        row("no hit, the first search after a start", first),
        row("no hit", absent),
        row("one hit, in the oldest text", rare),
        row("many hits", common),
    ]
}

/// Texts of made-up words.
fn texts(rng: &mut Rng) -> Vec<String> {
    let syllables =
        ["ba", "co", "di", "fu", "ge", "ho", "li", "mu", "no", "pa", "re", "si", "to", "va"];
    let word = |random: [u8; 3]| random.map(|byte| syllables[usize::from(byte) % 14]).concat();
    let mut texts: Vec<String> = (0..MESSAGES)
        .map(|_| {
            let mut text = COMMON.to_owned();
            while text.len() < TEXT_BYTES {
                text = format!("{text} {}", word(rng.bytes()));
            }
            text
        })
        .collect();
    texts[0] = format!("the {RARE}");
    texts
}

/// All texts, sealed many together: what has to be opened and looked through at least.
struct Blocks {
    key: Secret<32>,
    sealed: Vec<Vec<u8>>,
}

impl Blocks {
    fn seal(texts: &[String]) -> Self {
        let (key, mut rng) = (Secret::new([1; 32]), rng());
        let texts = texts.join("\n");
        let blocks = texts.as_bytes().chunks(BLOCK_BYTES);
        let sealed = blocks.map(|block| seal_at_rest(&mut rng, &key, &[], block)).collect();
        Self { key, sealed }
    }

    fn count(&self, word: &str) -> usize {
        let opened = self.sealed.iter().map(|block| open_at_rest(&self.key, &[], block).unwrap());
        opened.map(|block| black_box(String::from_utf8_lossy(&block)).matches(word).count()).sum()
    }
}
