//! `check`, `health` and `link`: what a server says of itself to whoever runs it.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use hither_tests::lab::Lab;
use serde_json::Value;

#[test]
fn a_server_that_is_well_says_so_whether_it_runs_or_not() {
    let lab = Lab::new("check");
    let mut server = lab.server();
    let running = checks(&server.administers(&["check"]).done());
    let names = ["configuration", "keys", "database", "port", "clock", "disk", "buffers"];
    assert_eq!(running.iter().map(|(check, _)| check.as_str()).collect::<Vec<_>>(), names);
    assert!(running.iter().all(|(_, state)| state != "fail"), "{running:?}");
    server.stops().shows();
    let stopped = checks(&server.administers(&["check"]).done());
    assert_eq!(stopped, running);
}

#[test]
fn what_is_wrong_is_named_and_the_rest_is_looked_at_all_the_same() {
    let lab = Lab::new("failed check");
    let mut server = lab.server();
    server.stops().shows();
    let key = server.data().join("identity.key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    fs::write(server.data().join("hitherd.toml"), "lisden = \"[::]:1\"\n").unwrap();
    let error = server.administers(&["check"]).fails(1, "unhealthy");
    let found = checks(&error);
    let failed = found.iter().filter(|(_, state)| state == "fail").map(|(check, _)| check.as_str());
    assert_eq!(failed.collect::<Vec<_>>(), ["configuration", "keys"], "{error}");
    let text = error["checks"].to_string();
    for told in ["chmod 600", "line 1, lisden", "did you mean `listen`?"] {
        assert!(text.contains(told), "{told}: {text}");
    }
}

#[test]
fn health_is_a_handshake_with_this_very_server() {
    let lab = Lab::new("health");
    let mut server = lab.server();
    let healthy = server.administers(&["health"]).done();
    assert_eq!(healthy["healthy"], true);
    assert_eq!(healthy["listen"], server.address().to_string());
    server.stops().shows();
    let address = server.address();
    let data = server.data().to_owned();
    fs::write(data.join("hitherd.toml"), format!("listen = \"{address}\"\n")).unwrap();
    server.administers(&["health"]).fails(3, "server_unreachable");

    // Another server where this one used to listen.
    server.moves_to(&lab.path("another"));
    let init: [OsString; 3] = ["init".into(), "--data".into(), lab.path("another").into()];
    lab.transcript().start("hitherd", &init, &[], None).wait().shows();
    server.starts_again();
    let health: [OsString; 4] = ["health".into(), "--data".into(), data.into(), "--json".into()];
    let health = lab.transcript().start("hitherd", &health, &[], None).wait();
    health.fails(3, "server_identity_mismatch");
    server.administers(&["health"]).done();
}

#[test]
fn the_link_can_be_drawn() {
    let lab = Lab::new("link as a picture");
    let server = lab.server();
    let args: [OsString; 4] = ["link".into(), "--qr".into(), "--data".into(), server.data().into()];
    let shown = lab.transcript().start("hitherd", &args, &[], None).wait();
    let (picture, link) = shown.shows().trim_end().rsplit_once('\n').expect("a picture and a link");
    assert_eq!(link, server.link());
    assert!(picture.lines().count() > 10 && picture.contains('▀'), "{picture}");
    assert_eq!(server.administers(&["link", "--qr"]).done()["link"], server.link());
}

/// Each check with its state.
fn checks(object: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let checks = object["checks"].as_array().expect("checks").iter();
    checks.map(|found| (text(&found["check"]), text(&found["state"]))).collect()
}
