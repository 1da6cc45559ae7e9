//! People who have talked today: their path sleeps, and the next word wakes it.

use hither_tests::{
    lab::{Lab, Person},
    natlab::{Ending, Kind, Meeting, NatLab},
};

use super::ROUND_TRIP;

#[test]
fn a_path_that_sleeps_is_woken_from_wherever_its_ends_are() {
    let Some(mut meeting) = Meeting::arrange("again", ROUND_TRIP, 0.0) else { return };
    let home = Kind::PortRestricted;
    for (caller, callee) in
        [(Kind::Open, Kind::Open), (home, home), (Kind::CarrierPortRestricted, home)]
    {
        let endings = meeting.meet_again(caller, callee, 2);
        println!("{caller} to {callee}, again: {endings:?}");
        let arrives = |ending: &Ending| matches!(ending, Ending::Delivered { .. });
        assert!(endings.iter().all(arrives), "{caller} to {callee}: {endings:?}");
    }
}

#[test]
fn what_wakes_is_the_path_that_slept_and_no_other() {
    let Some(net) = NatLab::new(ROUND_TRIP, 0.0) else { return };
    let homes = [net.home(Kind::PortRestricted), net.home(Kind::PortRestricted)];
    let lab = Lab::new("the same path");
    let server = net.server(&lab);
    let link = net.link(&server, Kind::PortRestricted);
    let [alice, bob] = ["alice", "bob"].map(|name| lab.person(name));
    for (home, person) in homes.iter().zip([&alice, &bob]) {
        home.within(|| {
            person.tries_to_register(&link).done();
            person.lets_paths_rest_after("1s");
        });
    }
    alice.befriends(&bob);
    alice.delivers("bob", "before");
    let since = |person: &Person, name: &str| {
        person.runs(&["net", "path", name]).done()["path"]["since"].as_str().map(str::to_owned)
    };
    let began = since(&alice, "bob");
    assert!(began.is_some());
    for (one, other) in [(&alice, &bob), (&bob, &alice)] {
        one.loses_path_to(other.name());
    }
    homes[0].forgets_flows_with(&homes[1]);
    homes[1].forgets_flows_with(&homes[0]);
    alice.delivers("bob", "after");
    assert_eq!(bob.hears(2), ["before", "after"]);
    assert_eq!(since(&alice, "bob"), began);
    drop((server, lab));
}
