//! The agent's local API, in the hands of a program that makes mistakes.

use hither_tests::lab::Lab;
use serde_json::{Value, json};

#[test]
fn a_line_that_is_no_request_is_told_what_is_wrong_with_it_and_the_next_one_is_answered() {
    let lab = Lab::new("lines that are no requests");
    let mut agent = lab.person("alice").talks_to_agent();
    let cases = [
        (r#"{"id":1,"method":"agent.hello""#, Value::Null, -32_700),
        (r#"{"id":1,"method":"agent.hello"}}"#, Value::Null, -32_700),
        (r#"[{"id":1,"method":"agent.hello"}]"#, Value::Null, -32_600),
        (r#"{"id":2}"#, json!(2), -32_600),
        (r#"{"id":"three","method":["agent.hello"]}"#, json!("three"), -32_600),
        (r#"{"id":4,"method":"agent.goodbye"}"#, json!(4), -32_601),
        (r#"{"id":5,"method":"message.send"}"#, json!(5), -32_602),
        (
            r#"{"id":6,"method":"message.send","params":{"to":"bob","text":["hello"]}}"#,
            json!(6),
            -32_602,
        ),
    ];
    for (line, id, code) in cases {
        agent.says(line);
        let answer = agent.hears();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(code)), "{line}");
    }
    // Nobody waits for an answer to this.
    agent.says(r#"{"method":"agent.status","params":null}"#);
    agent.says(r#"{"jsonrpc":"2.0","params":null,"method":"agent.h\u0065llo","id":7,"more":{}}"#);
    let answer = agent.hears();
    assert_eq!((&answer["id"], &answer["result"]["api"]), (&json!(7), &json!(1)), "{answer}");
}
