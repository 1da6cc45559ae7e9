//! Processes that are killed, and what is still there afterwards.

use std::{os::unix::fs::FileTypeExt, process::Command, sync::mpsc, thread};

use hither_tests::{
    lab::{DEADLINE, Lab, Person, is_running, kill},
    search::entries_below,
};

#[test]
fn what_was_said_to_be_delivered_survives_a_crash_of_the_receiver() {
    let lab = Lab::new("crash after delivery");
    let server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    for round in 0..4 {
        let text = format!("delivered before crash {round}");
        let agent = bob.agent();
        let send = ["send", "bob", "--wait", "60s"];
        let mut sending = alice.starts(&send, Some(text.as_bytes()));
        let said = sending.lines(1).remove(0);
        kill(agent);
        assert!(said.contains("\"delivered\""), "{said}");
        assert_eq!(bob.hears(1), [text]);
        assert_ne!(bob.agent(), agent);
    }
}

#[test]
fn a_crash_of_the_server_loses_no_account_and_no_contact() {
    let lab = Lab::new("server crash");
    let mut server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let carol = lab.person("carol");
    carol.registers(&server);
    let identities = [&alice, &bob, &carol].map(Person::identity);
    carol.adds("alice");
    server.dies();
    server.starts_again();

    alice.accepts("carol");
    carol.sees_accepted("alice");
    for person in [&alice, &bob, &carol] {
        person.logs_out();
    }
    let everybody = [&alice, &bob, &carol].map(Person::elsewhere);
    for person in &everybody {
        person.logs_in(&server);
    }
    assert_eq!(everybody.each_ref().map(Person::identity), identities);
    let [alice, bob, carol] = everybody;
    alice.sees_accepted("bob");
    alice.delivers("bob", "still friends");
    alice.delivers("carol", "friends by now");
    assert_eq!(bob.hears(1), ["still friends"]);
    assert_eq!(carol.hears(1), ["friends by now"]);
}

#[test]
fn agents_come_back_online_by_themselves() {
    let lab = Lab::new("agents return");
    let mut server = lab.server();
    let [alice, bob] = lab.friends(&server, ["alice", "bob"]);
    let agents = [alice.agent(), bob.agent()];
    server.dies();
    for person in [&alice, &bob] {
        person.is_offline();
    }
    server.starts_again();
    for (person, other) in [(&alice, "bob"), (&bob, "alice")] {
        person.is_online();
        person.sees_online(other);
    }
    assert_eq!([alice.agent(), bob.agent()], agents, "the same agents");
    alice.delivers("bob", "here we are");
}

#[test]
fn a_second_agent_on_the_same_profile_is_refused() {
    let lab = Lab::new("second agent");
    let alice = lab.person("alice");
    let first = alice.agent();
    let error = alice.runs(&["agent", "run"]).error();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&first.to_string()), "it says which one runs: {message}");
    assert_ne!(error["code"], "internal", "{error}");
    assert_eq!(alice.agent(), first, "the first goes on");
    alice.runs(&["-p", "work", "agent", "start"]).done();
    assert_eq!(alice.agent(), first, "another profile has an agent of its own");
}

#[test]
fn what_a_killed_agent_leaves_behind_is_no_obstacle() {
    let lab = Lab::new("stale socket");
    let server = lab.server();
    let [alice] = lab.people(&server, ["alice"]);
    let killed = alice.agent();
    kill(killed);
    let sockets = entries_below(alice.home()).into_iter().filter(|path| {
        path.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_socket())
    });
    assert_eq!(sockets.count(), 1, "the socket is still there");
    alice.runs(&["--no-autostart", "status"]).fails(9, "agent_unavailable");
    alice.is_online();
    assert_ne!(alice.agent(), killed);
}

#[test]
fn commands_that_start_at_once_share_one_agent() {
    let lab = Lab::new("commands at once");
    let alice = lab.person("alice");
    for _ in 0..3 {
        let agents = thread::scope(|scope| {
            let commands: [_; 6] = std::array::from_fn(|_| scope.spawn(|| alice.agent()));
            commands.map(|command| command.join().unwrap())
        });
        assert!(agents.iter().all(|agent| *agent == agents[0]), "{agents:?}");
        assert!(is_running(agents[0]));
        kill(agents[0]);
    }
}

#[test]
fn an_agent_lets_go_of_the_pipes_of_the_command_that_started_it() {
    let lab = Lab::new("pipes of the starter");
    let alice = lab.person("alice");
    let mut command = Command::new(hither_tests::lab::binaries().join("hither"));
    command.arg("--home").arg(alice.home()).args(["agent", "start"]);
    let (ended, end) = mpsc::channel();
    // Like `x=$(hither agent start 2>&1)`: it reads until nobody has the other end any more.
    thread::spawn(move || ended.send(command.output()));
    let output = end.recv_timeout(DEADLINE).expect("the pipes are closed").unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(is_running(alice.agent()));
}
