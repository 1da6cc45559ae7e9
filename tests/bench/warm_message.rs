//! How long one message takes from the request to `delivered`, on a path that stands.

use hither_tests::lab::Lab;
use serde_json::json;

use crate::{
    api::Api,
    disk::{Log, TEXT_BYTES},
    flow::Pair,
    loopback::Echo,
    report::{Row, Target, Unit},
    samples::{Samples, alternately, seconds},
};

const WARM_UP: usize = 50;
const MESSAGES: usize = 400;

pub(crate) fn measure() -> Vec<Row> {
    let lab = Lab::new("warm-message");
    let pair = Pair::meet(&lab);
    let mut api = Api::of(&pair.alice);
    let text = "x".repeat(TEXT_BYTES);
    let mut send = || {
        let params = json!({ "to": "bob", "text": text, "wait_ms": 10_000 });
        let sent = api.call("message.send", params);
        assert_eq!(sent["state"], "delivered", "{sent}");
    };
    // One flush here, a round trip, and one flush there before the answer.
    let (mut ours, mut theirs) = (Log::create(&lab.path("ours")), Log::create(&lab.path("theirs")));
    let mut echo = Echo::after(move || theirs.append());
    let mut bare = || {
        ours.append();
        echo.ask();
    };
    for _ in 0..WARM_UP {
        send();
        bare();
    }
    let (measured, floor) = alternately(MESSAGES, || seconds(&mut send), || seconds(&mut bare));
    let at = |share| {
        let of = |samples: &Samples| Samples::once(samples.quantile(share));
        (of(&measured), of(&floor))
    };
    let row = |what, (measured, floor), target| Row {
        area: "warm-message",
        what,
        unit: Unit::Seconds,
        measured,
        floor: Some(floor),
        peer: None,
        target,
    };
    vec![
        row("from request to `delivered`, p10", at(0.1), None),
        row("p50", (measured.clone(), floor.clone()), Some(Target::Times(1.5))),
        row("p99", at(0.99), Some(Target::Times(1.5))),
    ]
}
